"""Precision of images at a threshold."""

import numpy as np
from numpy.typing import ArrayLike

from metrics.checks import checked_images
from metrics.confusion import count_verdicts


def image_precision(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Share of the images judged anomalous that are: ``TP / (TP + FP)``, judged so at or above the threshold.

    Parameters, errors: as `metrics.image_auroc`. NaN where one class is missing, the threshold is NaN, or no image is
    judged anomalous.

    Source: van Rijsbergen, "Information Retrieval", 1979, chapter 7.

    Examples
    --------
    >>> image_precision([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8], threshold=0.4)
    0.6666666666666666
    """
    labels, scores, one_class = checked_images(labels, scores)
    return np.nan if one_class or np.isnan(threshold) else count_verdicts(labels, scores, threshold).precision
