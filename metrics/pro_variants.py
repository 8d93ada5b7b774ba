"""PRO as released codes computed it, because published tables mix them.

Every variant integrates the per-region-overlap curve below a false positive rate, yet each samples and scales that
curve in its own way, so the same maps give values several points apart. `metrics.pro` is the definition; the others
exist to compare with numbers from the literature. Where the released code divides by zero or stops on valid input,
the value here is NaN.
"""

import numpy as np
from numpy.typing import NDArray

from metrics.checks import fraction
from metrics.pixels import PixelCounts, count_pixels, even_thresholds
from metrics.slices import Stack, anomalous_images


def pro_official_100(pixels: PixelCounts, fpr_limit: float = 0.3) -> float:
    """PRO of the MVTec 3D-AD evaluation code: 100 thresholds equidistant in rank.

    The thresholds are the normal scores at ranks ``floor(linspace(0, n - 1, 100))``. Each gives the rate
    ``1 - (rank + 1) / n``, which presumes distinct scores, and the mean covered part of the regions, strictly above
    the threshold; the point (1, 1) is added. The trapezoids end at the limit, where the curve is interpolated, and the
    area is divided by the limit. NaN where one class is missing.

    Source: MVTec 3D-AD evaluation code (Bergmann et al., VISAPP 2022), ``compute_pro`` and ``trapezoid``.

    Examples
    --------
    >>> from metrics import count_pixels
    >>> round(pro_official_100(count_pixels([[[0.1, 0.5], [0.6, 0.9]]], [[[0, 0], [0, 1]]])), 6)
    1.0
    """
    limit = fraction("fpr_limit", fpr_limit)
    if pixels.one_class:
        return np.nan
    n = pixels.normal_pixels
    # From the highest threshold down, so that the rates ascend.
    ranks = np.linspace(0, n - 1, 100, dtype=int)[::-1]
    rates = np.append(1 - (ranks + 1) / n, 1.0)
    # An anomalous pixel lies above the normal score of a rank if more normal pixels than that rank lie below it.
    normal_below = n - pixels.normal_at_or_above
    overlaps = np.append(_mean_overlap(pixels, np.searchsorted(normal_below, ranks, side="right")), 1.0)
    below = rates < limit
    x = np.append(rates[below], limit)
    y = np.append(overlaps[below], np.interp(limit, rates, overlaps))
    return _area(x, y) / limit


def pro_per_image_200(maps: Stack, masks: Stack, fpr_limit: float = 0.3) -> float:
    """PRO of the released reverse-distillation code: one image at a time, 200 linear thresholds.

    For each image with an anomalous pixel, thresholds go from the lowest score of its own map to the highest, in 200
    steps and without the highest itself; a pixel is predicted strictly above. Points with a rate below the limit are
    kept, their rates divided by the largest of them, and the area taken by trapezoids; nothing is added at rate 0. The
    value is the mean over those images. NaN where there is none, or where on one of them all pixels are anomalous, the
    map is constant, fewer than two points are kept, or all their rates are 0.

    Parameters
    ----------
    maps : float array (N, H, W)
        Anomaly maps, read a few images at a time as by `metrics.count_pixels`.
    masks : bool or {0, 1} array (N, H, W)
        True where a pixel is anomalous.
    fpr_limit : float
        The limit of the false positive rate, in (0, 1].

    Source: Deng and Li, "Anomaly Detection via Reverse Distillation from One-Class Embedding", CVPR 2022; repository
    hq-deng/RD4AD, ``test.py``, ``compute_pro``.

    Examples
    --------
    >>> round(pro_per_image_200([[[0.0, 0.2, 0.8, 0.6, 1.0]]], [[[0, 0, 0, 0, 1]]], fpr_limit=0.6), 6)
    1.0
    """
    limit = fraction("fpr_limit", fpr_limit)
    values = [_one_image(scores, mask, limit) for scores, mask in anomalous_images(maps, masks)]
    return float(np.mean(values)) if values else np.nan


def _one_image(scores: NDArray[np.floating], mask: NDArray[np.bool_], limit: float) -> float:
    low, high = float(scores.min()), float(scores.max())
    step = (high - low) / 200
    if mask.all() or not 0 < step < np.inf:
        return np.nan
    # `arange`, not `linspace`: where its rounding yields a 201st threshold, the released code has it too.
    thresholds = np.arange(low, high, step)[::-1]
    pixels = count_pixels(scores[None], mask[None], _just_above(thresholds))
    rates = _false_positive_rate(pixels, thresholds)
    kept = rates < limit
    if np.count_nonzero(kept) < 2 or rates[kept].max() == 0:
        return np.nan
    overlaps = _mean_overlap(pixels, _at_or_below(pixels, thresholds))[kept]
    rates = rates[kept] / rates[kept].max()
    return _area(rates, overlaps)


def pro_rescaled(pixels: PixelCounts, fpr_limit: float = 0.3) -> float:
    """PRO of the released STFPM code: rates and overlaps both stretched to 0..1 below the limit.

    4000 thresholds go from the highest score of all maps down towards the lowest, in steps of 1/4000 of their
    distance; a pixel is predicted strictly above. Points with a rate at or below the limit are kept, rates and
    overlaps are each min-max rescaled, and the area is taken by trapezoids. Stretching the overlaps inflates the
    value: a curve that ends at 0.5 counts as if it ended at 1. NaN where one class is missing, or where the kept rates
    or the kept overlaps are all equal.

    Source: Wang et al., "Student-Teacher Feature Pyramid Matching for Anomaly Detection", BMVC 2021; repository
    gdwang08/STFPM, ``evaluate.py``, ``pro``.

    Examples
    --------
    >>> from metrics import count_pixels
    >>> maps = [[[0.0, 0.2, 0.8, 0.6, 1.0, 0.1]]]
    >>> round(pro_rescaled(count_pixels(maps, [[[0, 0, 0, 0, 1, 1]]])), 6)
    1.0
    """
    limit = fraction("fpr_limit", fpr_limit)
    thresholds = even_thresholds(pixels.lowest, pixels.image_max)
    if pixels.one_class or not np.isfinite(thresholds).all():
        return np.nan
    rates = _false_positive_rate(pixels, thresholds)
    kept = rates <= limit
    rates, overlaps = rates[kept], _mean_overlap(pixels, _at_or_below(pixels, thresholds))[kept]
    if np.ptp(rates) == 0 or np.ptp(overlaps) == 0:
        return np.nan
    return _area(_stretch(rates), _stretch(overlaps))


def _area(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Area under a polyline by trapezoids, as the mean height times the width.

    Both sums of the mean are rounded alike, so that of heights in [0, 1] is never outside, and that of equal heights
    is exact; `numpy.trapezoid` finds 1.0000000000000002 below a curve that is 1 everywhere.
    """
    widths, width = np.diff(x), x[-1] - x[0]
    return float(np.sum(widths * ((y[1:] + y[:-1]) / 2)) / np.sum(widths) * width) if width else 0.0


def _stretch(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values - values.min()) / np.ptp(values)


def _just_above(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the next larger numbers: strictly above a threshold is at or above these."""
    return np.nextafter(thresholds, np.inf)


def _false_positive_rate(pixels: PixelCounts, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fraction of the normal pixels strictly above each threshold."""
    return pixels.false_positives(_just_above(thresholds)) / pixels.normal_pixels


def _at_or_below(pixels: PixelCounts, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count the anomalous pixels that are not strictly above each threshold."""
    return pixels.anomalous_pixels - pixels.true_positives(_just_above(thresholds))


def _mean_overlap(pixels: PixelCounts, missed: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean over regions of the found fraction of each, if so many of the lowest anomalous pixels are missed."""
    # A found pixel adds 1 / A to its region's fraction, so no region is looked at by itself.
    lost = np.append(0.0, np.cumsum(1 / pixels.area))
    return 1 - lost[missed] / lost[-1]
