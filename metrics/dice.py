"""The Dice coefficient: of all pixels at a threshold, the largest over all thresholds, and of each image."""

import numpy as np

from metrics.pixels import PixelCounts
from metrics.slices import Stack, anomalous_images, open_stack


def dice(pixels: PixelCounts, threshold: float) -> float:
    """Dice coefficient of all pixels at one threshold: ``2 TP / (2 TP + FP + FN)``.

    A pixel is predicted anomalous where its score is at or above the threshold. NaN where one class is missing or the
    threshold is NaN.

    Raises
    ------
    MetricError
        If no normal pixels were counted at the threshold, see `PixelCounts.false_positives`.

    Source: Dice, "Measures of the amount of ecologic association between species", Ecology 1945.

    Examples
    --------
    >>> from metrics import count_pixels
    >>> dice(count_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]], thresholds=[0.4]), threshold=0.4)
    0.8
    """
    if pixels.one_class or np.isnan(threshold):
        return np.nan
    true, false = pixels.true_positives(threshold), pixels.false_positives(threshold)
    return float(2 * true / (true + false + pixels.anomalous_pixels))


def dice_max(pixels: PixelCounts) -> tuple[float, float]:
    """Return the largest Dice over all thresholds and its threshold, the highest among equals; an oracle.

    Between two anomalous scores a lower threshold only adds false positives, so the scores of anomalous pixels are
    all the candidates. (NaN, NaN) where one class is missing.

    Examples
    --------
    >>> from metrics import count_pixels
    >>> dice_max(count_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]]))
    (0.8, 0.5)
    """
    if pixels.one_class:
        return np.nan, np.nan
    true = pixels.anomalous_at_or_above
    values = 2 * true / (true + pixels.normal_at_or_above + pixels.anomalous_pixels)
    best = values.size - 1 - np.argmax(values[::-1])
    return float(values[best]), float(pixels.scores[best])


def dice_image(maps: Stack, masks: Stack, threshold: float) -> float:
    """Mean over anomalous images of each one's own Dice at one threshold.

    An image is anomalous if its mask has an anomalous pixel. NaN where the masks have no anomalous or no normal pixel,
    or the threshold is NaN.

    Parameters
    ----------
    maps : float array (N, H, W)
        Anomaly maps, read a few images at a time as by `metrics.count_pixels`.
    masks : bool or {0, 1} array (N, H, W)
        True where a pixel is anomalous.
    threshold : float
        In units of the maps; a pixel is predicted anomalous at or above it.

    Raises
    ------
    MetricError
        As `metrics.count_pixels`.

    Examples
    --------
    >>> maps = [[[0.1, 0.5], [0.5, 0.9]], [[0.9, 0.1], [0.1, 0.1]], [[0.9, 0.9], [0.9, 0.9]]]
    >>> masks = [[[0, 0], [1, 1]], [[1, 0], [0, 0]], [[0, 0], [0, 0]]]
    >>> dice_image(maps, masks, threshold=0.5)
    0.9
    """
    if np.isnan(threshold):
        return np.nan
    values = []
    normal_pixels = 0
    for scores, mask in anomalous_images(maps, masks):
        predicted = scores >= np.float64(
            threshold
        )  # a Python float would be rounded to the scores' precision
        true, anomalous = np.count_nonzero(predicted & mask), np.count_nonzero(mask)
        values.append(2 * true / (np.count_nonzero(predicted) + anomalous))
        normal_pixels += int(mask.size - anomalous)
    without_normal = not normal_pixels and len(values) == open_stack("maps", maps).shape[0]
    return np.nan if not values or without_normal else float(np.mean(values))
