"""The intersection over union of all pixels at a threshold."""

import numpy as np

from metrics.pixels import PixelCounts


def iou(pixels: PixelCounts, threshold: float) -> float:
    """Intersection over union of all pixels at one threshold: ``TP / (TP + FP + FN)``.

    A pixel is predicted anomalous where its score is at or above the threshold. NaN where one class is missing or the
    threshold is NaN. It is ``dice / (2 - dice)``, so it ranks as Dice does.

    Raises
    ------
    MetricError
        If no normal pixels were counted at the threshold, see `PixelCounts.false_positives`.

    Source: Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 1912.

    Examples
    --------
    >>> from metrics import count_pixels
    >>> round(iou(count_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]], thresholds=[0.4]), threshold=0.4), 6)
    0.666667
    """
    if pixels.one_class or np.isnan(threshold):
        return np.nan
    return float(
        pixels.true_positives(threshold) / (pixels.false_positives(threshold) + pixels.anomalous_pixels)
    )
