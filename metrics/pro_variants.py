"""PRO as released codes computed it, because published tables mix them.

Every variant integrates the per-region-overlap curve below a false positive rate, yet each samples and
scales that curve in its own way, so the same maps give values several points apart. `pro` is the definition;
the others exist to compare with numbers from the literature. Where the released code divides by zero or
stops on valid input, the value here is NaN.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import binary_array, finite_array, fraction
from metrics.pixels import PixelScores, pro, rank_pixels


def pro_official_100(scores: PixelScores, fpr_limit: float = 0.3) -> float:
    """PRO of the MVTec 3D-AD evaluation code: 100 thresholds equidistant in rank.

    The thresholds are the defect-free scores at ranks ``floor(linspace(0, n - 1, 100))``. Each gives the
    rate ``1 - (rank + 1) / n``, which presumes distinct scores, and the mean covered part of the regions,
    strictly above the threshold; the point (1, 1) is added. The trapezoids end at the limit, where the curve
    is interpolated, and the area is divided by the limit. NaN where one class is missing.

    Source: MVTec 3D-AD evaluation code (Bergmann et al., VISAPP 2022), ``compute_pro`` and ``trapezoid``.

    Examples
    --------
    >>> round(pro_official_100(rank_pixels([[[0.1, 0.5], [0.6, 0.9]]], [[[0, 0], [0, 1]]])), 6)
    1.0
    """
    limit = fraction("fpr_limit", fpr_limit)
    if scores.one_class:
        return np.nan
    n = scores.normal.size
    # From the highest threshold down, so that the rates ascend.
    ranks = np.linspace(0, n - 1, 100, dtype=int)[::-1]
    rates = np.append(1 - (ranks + 1) / n, 1.0)
    overlaps = np.append(_mean_overlap(scores, scores.normal[ranks]), 1.0)
    below = rates < limit
    x = np.append(rates[below], limit)
    y = np.append(overlaps[below], np.interp(limit, rates, overlaps))
    return float(np.trapezoid(y, x) / limit)


def pro_per_image_200(maps: ArrayLike, masks: ArrayLike, fpr_limit: float = 0.3) -> float:
    """PRO of the released reverse-distillation code: one image at a time, 200 linear thresholds.

    For each image with a defective pixel, thresholds go from the lowest score of its own map to the highest,
    in 200 steps and without the highest itself; a pixel is predicted strictly above. Points with a rate below
    the limit are kept, their rates divided by the largest of them, and the area taken by trapezoids; nothing
    is added at rate 0. The value is the mean over those images. NaN where there is none, or where on one of
    them all pixels are defective, the map is constant, fewer than two points are kept, or all their rates
    are 0.

    Source: Deng and Li, "Anomaly Detection via Reverse Distillation from One-Class Embedding", CVPR 2022;
    repository hq-deng/RD4AD, ``test.py``, ``compute_pro``.

    Examples
    --------
    >>> round(pro_per_image_200([[[0.0, 0.2, 0.8, 0.6, 1.0]]], [[[0, 0, 0, 0, 1]]], fpr_limit=0.6), 6)
    1.0
    """
    limit = fraction("fpr_limit", fpr_limit)
    maps = finite_array("maps", maps, ndim=3)
    masks = binary_array("masks", masks, maps.shape)
    defective = np.flatnonzero(masks.any(axis=(1, 2)))
    if defective.size == 0:
        return np.nan
    return float(np.mean([_one_image(maps[i : i + 1], masks[i : i + 1], limit) for i in defective]))


def _one_image(maps: NDArray[np.floating], masks: NDArray[np.bool_], limit: float) -> float:
    scores = rank_pixels(maps, masks)
    low, high = float(maps.min()), float(maps.max())
    step = (high - low) / 200
    if scores.one_class or step == 0:
        return np.nan
    # `arange`, not `linspace`: where its rounding yields a 201st threshold, the released code has it too.
    thresholds = np.arange(low, high, step)[::-1]
    rates = _false_positive_rate(scores, thresholds)
    kept = rates < limit
    if np.count_nonzero(kept) < 2 or rates[kept].max() == 0:
        return np.nan
    overlaps = _mean_overlap(scores, thresholds)[kept]
    return float(np.trapezoid(overlaps, rates[kept] / rates[kept].max()))


def pro_rescaled(scores: PixelScores, fpr_limit: float = 0.3) -> float:
    """PRO of the released STFPM code: rates and overlaps both stretched to 0..1 below the limit.

    4000 thresholds go from the highest score of all maps down towards the lowest, in steps of 1/4000 of
    their distance; a pixel is predicted strictly above. Points with a rate at or below the limit are kept,
    rates and overlaps are each min-max rescaled, and the area is taken by trapezoids. Stretching the overlaps
    inflates the value: a curve that ends at 0.5 counts as if it ended at 1. NaN where one class is missing,
    or where the kept rates or the kept overlaps are all equal.

    Source: Wang et al., "Student-Teacher Feature Pyramid Matching for Anomaly Detection", BMVC 2021;
    repository gdwang08/STFPM, ``evaluate.py``, ``pro``.

    Examples
    --------
    >>> maps = [[[0.0, 0.2, 0.8, 0.6, 1.0, 0.1]]]
    >>> round(pro_rescaled(rank_pixels(maps, [[[0, 0, 0, 0, 1, 1]]])), 6)
    1.0
    """
    limit = fraction("fpr_limit", fpr_limit)
    if scores.one_class:
        return np.nan
    low = float(min(scores.normal[0], scores.defect[0]))
    high = float(max(scores.normal[-1], scores.defect[-1]))
    thresholds = high - np.arange(4000) * ((high - low) / 4000)
    rates = _false_positive_rate(scores, thresholds)
    kept = rates <= limit
    rates, overlaps = rates[kept], _mean_overlap(scores, thresholds)[kept]
    if np.ptp(rates) == 0 or np.ptp(overlaps) == 0:
        return np.nan
    return float(np.trapezoid(_stretch(overlaps), _stretch(rates)))


def _stretch(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values - values.min()) / np.ptp(values)


def _false_positive_rate(scores: PixelScores, thresholds: NDArray[np.floating]) -> NDArray[np.float64]:
    """Fraction of the defect-free pixels strictly above each threshold."""
    n = scores.normal.size
    return (n - np.searchsorted(scores.normal, thresholds, side="right")) / n


def _mean_overlap(scores: PixelScores, thresholds: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean over regions of the fraction of each strictly above each threshold."""
    # A pixel above the threshold adds 1 / A to its region's fraction, so no region is looked at by itself.
    at_or_below = np.append(0.0, np.cumsum(1 / scores.area))
    found = at_or_below[np.searchsorted(scores.defect, thresholds, side="right")]
    return (at_or_below[-1] - found) / scores.regions


#: The variants that are functions of the pooled pixels, and so can share one sort.
POOLED_PRO_VARIANTS: dict[str, Callable[[PixelScores, float], float]] = {
    "exact": pro,
    "official_100": pro_official_100,
    "rescaled": pro_rescaled,
}


def _of_maps(
    measure: Callable[[PixelScores, float], float],
) -> Callable[[ArrayLike, ArrayLike, float], float]:
    return lambda maps, masks, fpr_limit: measure(rank_pixels(maps, masks), fpr_limit)


#: Every variant by name, as a function of maps (N, H, W), masks (N, H, W) and the false positive rate limit.
PRO_VARIANTS: dict[str, Callable[[ArrayLike, ArrayLike, float], float]] = {
    "exact": _of_maps(pro),
    "official_100": _of_maps(pro_official_100),
    "per_image_200": pro_per_image_200,
    "rescaled": _of_maps(pro_rescaled),
}
