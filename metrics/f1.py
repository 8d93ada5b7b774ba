"""F1 of images at a threshold, and the threshold that maximises it."""

import numpy as np
from numpy.typing import ArrayLike

from metrics.checks import checked_images
from metrics.confusion import count_verdicts


def image_f1(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """F1 of image predictions: ``2 TP / (2 TP + FP + FN)``, anomalous at or above the threshold.

    Parameters, errors: as `metrics.image_auroc`. NaN where one class is missing or the threshold is NaN.

    Source: van Rijsbergen, "Information Retrieval", 1979, chapter 7.

    Examples
    --------
    >>> image_f1([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8], threshold=0.4)
    0.8
    """
    labels, scores, one_class = checked_images(labels, scores)
    return np.nan if one_class or np.isnan(threshold) else count_verdicts(labels, scores, threshold).f1


def best_f1_threshold(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the image score that, used as threshold, maximises `image_f1`; an oracle.

    Only scores of the given images are candidates; among equally good ones the highest is taken, so that as few
    images as possible are predicted anomalous. NaN where one class is missing.

    Parameters, errors: as `metrics.image_auroc`.

    Examples
    --------
    >>> best_f1_threshold([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.4
    """
    labels, scores, one_class = checked_images(labels, scores)
    if one_class:
        return np.nan
    candidates = np.unique(scores)
    anomalous = np.count_nonzero(labels)
    true = anomalous - np.searchsorted(np.sort(scores[labels]), candidates)
    predicted = scores.size - np.searchsorted(np.sort(scores), candidates)
    f1 = 2 * true / (predicted + anomalous)
    return float(candidates[f1.size - 1 - np.argmax(f1[::-1])])
