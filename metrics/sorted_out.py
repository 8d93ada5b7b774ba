"""What a line reaches at a fixed rate of errors: normal images that pass (PG), anomalous ones that are found (PB)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import checked_images, fraction

RATE = 0.02


def passed_good(labels: ArrayLike, scores: ArrayLike, misses: float = RATE) -> float:
    """Share of the normal images below the highest threshold that misses at most a rate of the anomalous ones; PG.

    The threshold is chosen with the labels of these images, so it is an oracle: what a line reaches with thresholds
    from other images is worse. With fewer than ``1 / misses`` anomalous images none may be missed.

    Parameters
    ----------
    labels, scores
        As for `metrics.image_auroc`; an image is judged anomalous at or above the threshold.
    misses : float
        The limit of the false-negative rate, in (0, 1].

    Returns
    -------
    The true-negative rate; NaN where one class is missing.

    Source: Baitieva et al., "Beyond Academic Benchmarks", CVPR Workshops 2025 (PG2 and PB2, at a rate of 2 %).

    Examples
    --------
    >>> passed_good([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.3, 0.8])
    0.5
    >>> passed_good([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.3, 0.8], misses=0.5)
    1.0
    """
    labels, scores, one_class = checked_images(labels, scores)
    fraction("misses", misses)
    if one_class:
        return np.nan
    return _share_below(scores[~labels], scores[labels], misses)


def found_bad(labels: ArrayLike, scores: ArrayLike, false_alarms: float = RATE) -> float:
    """Share of the anomalous images at or above the lowest threshold with at most a rate of false alarms; PB.

    An oracle, as `passed_good`; with fewer than ``1 / false_alarms`` normal images there may be no false alarm.

    Parameters
    ----------
    labels, scores
        As for `passed_good`.
    false_alarms : float
        The limit of the false-positive rate, in (0, 1].

    Returns
    -------
    The true-positive rate; NaN where one class is missing.

    Source: as `passed_good`.

    Examples
    --------
    >>> found_bad([0, 0, 1, 1, 1, 1], [0.1, 0.4, 0.3, 0.4, 0.5, 0.8])
    0.5
    >>> found_bad([0, 0, 1, 1, 1, 1], [0.1, 0.4, 0.3, 0.4, 0.5, 0.8], false_alarms=0.5)
    1.0
    """
    labels, scores, one_class = checked_images(labels, scores)
    fraction("false_alarms", false_alarms)
    if one_class:
        return np.nan
    return _share_below(-scores[labels], -scores[~labels], false_alarms)


def _share_below(scores: NDArray[np.floating], others: NDArray[np.floating], rate: float) -> float:
    """Return the share of scores below the highest threshold that at most a rate of the others lie below."""
    most = int(permitted(rate, others.size))
    threshold = np.sort(others)[most] if most < others.size else np.inf
    return float(np.mean(scores < threshold))


def permitted(rate: float, images: ArrayLike) -> NDArray[np.float64]:
    """Return the largest number of errors that is at most a rate of so many images."""
    return np.floor(np.round(rate * np.asarray(images), 9))  # 0.02 * 50 is not 1 for every way to write 0.02
