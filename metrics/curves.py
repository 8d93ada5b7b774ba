"""The curves behind the pixel measures, for figures, and what each region adds to them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import fraction
from metrics.pixels import PixelScores, covered_rates


def pixel_roc(scores: PixelScores, rates: ArrayLike) -> NDArray[np.float64]:
    """Return the true positive rate of pixels at given false positive rates; NaN where it is undefined.

    Its area is `pixel_auroc`: inside a block of tied scores it is linear.

    Examples
    --------
    >>> from metrics import rank_pixels
    >>> pixel_roc(rank_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]]), [0, 0.25, 0.5, 1])
    array([0.5 , 0.75, 1.  , 1.  ])
    """
    return _curve(scores, rates, np.full(scores.defect.size, 1 / max(scores.defect.size, 1)))


def pro_curve(scores: PixelScores, rates: ArrayLike) -> NDArray[np.float64]:
    """Return the mean overlap of regions at given false positive rates; NaN where it is undefined.

    Its area up to the limit, divided by the limit, is `pro`.

    Examples
    --------
    >>> from metrics import rank_pixels
    >>> pro_curve(rank_pixels([[[0.1, 0.9, 0.2, 0.8, 0.3]]], [[[0, 1, 0, 1, 1]]]), [0, 1])
    array([1., 1.])
    """
    return _curve(scores, rates, 1 / (scores.area * max(scores.regions, 1)))


def _curve(scores: PixelScores, rates: ArrayLike, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum the weights of the defective pixels that are found at each rate."""
    rates = np.asarray(rates, dtype=np.float64)
    if scores.one_class:
        return np.full(rates.shape, np.nan)
    # descending scores: blocks of ties follow each other, and their rates ascend
    before = scores.normal_above[::-1] / scores.normal.size
    after = scores.normal_at_or_above[::-1] / scores.normal.size
    found = np.append(0.0, np.cumsum(weights[::-1]))
    whole = np.searchsorted(after, rates, side="right")
    # at most one block of ties is found in part: it starts where the pixels end that are found as a whole
    first = np.minimum(whole, after.size - 1)
    last = np.searchsorted(before, before[first], side="right")
    width = after[first] - before[first]
    part = np.clip(np.divide(rates - before[first], width, out=np.zeros_like(width), where=width > 0), 0, 1)
    return np.where(whole < after.size, found[whole] + part * (found[last] - found[whole]), found[-1])


def pro_of_regions(scores: PixelScores, fpr_limit: float = 0.3) -> NDArray[np.float64]:
    """Return each region's own overlap, averaged over false positive rates up to the limit, (K,).

    The mean over regions is `pro`. Empty where there are no regions, NaN where there is no defect-free pixel.

    Raises
    ------
    MetricError
        If the limit is outside (0, 1].

    Examples
    --------
    >>> from metrics import rank_pixels
    >>> scores = rank_pixels([[[0.9, 0.2, 0.1, 0.3, 0.0]]], [[[1, 0, 1, 0, 0]]])
    >>> pro_of_regions(scores, fpr_limit=1.0).round(3)
    array([1.   , 0.333])
    """
    limit = fraction("fpr_limit", fpr_limit)
    if scores.one_class:
        return np.full(scores.regions, np.nan)
    found = np.bincount(scores.region, covered_rates(scores, limit), minlength=scores.regions)
    return found / (scores.areas * limit)


def overlaps_at(scores: PixelScores, threshold: float) -> NDArray[np.float64]:
    """Return the part of each region at or above a threshold, (K,); NaN where the threshold is.

    Examples
    --------
    >>> from metrics import rank_pixels
    >>> overlaps_at(rank_pixels([[[0.9, 0.4, 0.1, 0.3]]], [[[1, 1, 0, 1]]]), threshold=0.4)
    array([1., 0.])
    """
    if np.isnan(threshold):
        return np.full(scores.regions, np.nan)
    above = scores.region[np.searchsorted(scores.defect, np.float64(threshold)) :]
    return np.bincount(above, minlength=scores.regions) / scores.areas
