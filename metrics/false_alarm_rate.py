"""The false-alarm rate of images where few anomalous ones may be missed."""

import numpy as np
from numpy.typing import ArrayLike

from metrics.checks import checked_images, fraction


def false_alarm_rate(labels: ArrayLike, scores: ArrayLike, misses: float = 0.02) -> float:
    """Lowest share of normal images at or above a threshold below which at most `misses` of the anomalous ones lie.

    The threshold is chosen with the labels of these images, so it is an oracle: what a line reaches with thresholds
    from other images is worse. With fewer than ``1 / misses`` anomalous images none may be missed.

    Parameters
    ----------
    labels, scores
        As for `metrics.image_auroc`.
    misses : float
        The limit of the false-negative rate, in (0, 1].

    Returns
    -------
    The false-positive rate; NaN where one class is missing.

    Examples
    --------
    >>> false_alarm_rate([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.3, 0.8])
    0.5
    >>> false_alarm_rate([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.3, 0.8], misses=0.5)
    0.0
    """
    labels, scores, one_class = checked_images(labels, scores)
    fraction("misses", misses)
    if one_class:
        return np.nan
    anomalous, normal = np.sort(scores[labels]), scores[~labels]
    # rounded: 0.02 * 50 is not 1 for every way to write 0.02
    missed = int(np.floor(np.round(misses * anomalous.size, 9)))
    threshold = anomalous[missed] if missed < anomalous.size else np.inf
    return float(np.mean(normal >= threshold))
