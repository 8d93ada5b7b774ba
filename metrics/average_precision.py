"""Average precision, of image scores and of all pixels."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import checked_images
from metrics.pixels import PixelCounts


def image_ap(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision of image scores: ``sum over thresholds of (R_k - R_(k-1)) P_k``, without interpolation.

    R_k and P_k are recall and precision at the k-th highest distinct score. NaN where one class is missing.

    Parameters, errors: as `metrics.image_auroc`.

    Source: Saito and Rehmsmeier, "The precision-recall plot is more informative than the ROC plot ...",
    PLOS ONE 2015.

    Examples
    --------
    >>> round(image_ap([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8]), 6)
    0.833333
    """
    labels, scores, one_class = checked_images(labels, scores)
    if one_class:
        return np.nan
    anomalous = scores[labels]
    true, predicted = (at_or_above(each, anomalous) for each in (anomalous, scores))
    # the sum over thresholds as a mean over images, see `pixel_ap`: no rounding takes it outside [0, 1]
    return float(np.mean(true / predicted))


def at_or_above(scores: NDArray[np.floating], thresholds: NDArray[np.floating]) -> NDArray[np.intp]:
    """Count the scores at or above each threshold."""
    return scores.size - np.searchsorted(np.sort(scores), thresholds)


def pixel_ap(pixels: PixelCounts) -> float:
    """Average precision of all pixels: the mean over anomalous pixels of the precision at their score.

    This is the sum that `image_ap` gives; tied scores are one threshold. NaN where one class is missing.

    Source: as `image_ap`.

    Examples
    --------
    >>> from metrics import count_pixels
    >>> round(pixel_ap(count_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]])), 6)
    0.833333
    """
    if pixels.one_class:
        return np.nan
    true = pixels.anomalous_at_or_above
    return float(np.mean(true / (true + pixels.normal_at_or_above)))
