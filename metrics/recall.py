"""Recall of images at a threshold."""

import numpy as np
from numpy.typing import ArrayLike

from metrics.checks import checked_images
from metrics.confusion import count_verdicts


def image_recall(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Share of the anomalous images that are found: ``TP / (TP + FN)``, found at or above the threshold.

    The others are misses. Parameters, errors: as `metrics.image_auroc`. NaN where one class is missing or the
    threshold is NaN.

    Source: van Rijsbergen, "Information Retrieval", 1979, chapter 7.

    Examples
    --------
    >>> image_recall([0, 0, 1, 1], [0.1, 0.4, 0.2, 0.8], threshold=0.4)
    0.5
    """
    labels, scores, one_class = checked_images(labels, scores)
    return np.nan if one_class or np.isnan(threshold) else count_verdicts(labels, scores, threshold).recall
