"""Area under the ROC, of image scores and of all pixels."""

import numpy as np
from numpy.typing import ArrayLike

from metrics.checks import checked_images
from metrics.pixels import PixelCounts


def image_auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC of image scores, ties counted half. NaN where one class is missing.

    The probability that an anomalous image scores higher than a normal one, plus half the probability of a tie.

    Parameters
    ----------
    labels : bool or {0, 1} array (N,)
        True where an image is anomalous.
    scores : float array (N,)
        A higher score means more anomalous.

    Raises
    ------
    MetricError
        If the shapes differ, a label is not binary, or a score is NaN or infinite.

    Source: Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982.

    Examples
    --------
    >>> image_auroc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    labels, scores, one_class = checked_images(labels, scores)
    if one_class:
        return np.nan
    from sklearn.metrics import (
        roc_auc_score,
    )  # a second, for which a report that only reads names need not wait

    return float(roc_auc_score(labels, scores))


def pixel_auroc(pixels: PixelCounts) -> float:
    """Area under the ROC of all pixels of all images, exact, ties counted half.

    The mean over anomalous pixels of ``1 - (a + b) / 2``, where a is the fraction of normal pixels with a higher
    score and b the fraction with the same or a higher one. NaN where one class is missing.

    Source: Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982.

    Examples
    --------
    >>> from metrics import count_pixels
    >>> pixel_auroc(count_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]]))
    0.875
    """
    if pixels.one_class:
        return np.nan
    # whole numbers, divided once: the nearest number to the exact value, so never outside [0, 1]
    pairs = 2 * pixels.anomalous_pixels * pixels.normal_pixels
    return (pairs - int(pixels.normal_above.sum()) - int(pixels.normal_at_or_above.sum())) / pairs
