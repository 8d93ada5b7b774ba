"""PRO, the area under the per-region-overlap curve."""

import numpy as np
from numpy.typing import NDArray

from metrics.checks import fraction
from metrics.pixels import PixelCounts


def pro(pixels: PixelCounts, fpr_limit: float = 0.3) -> float:
    """Area under the per-region-overlap curve up to a false positive rate, divided by that rate; exact.

    The curve is the mean over regions of the covered part of each, against the false positive rate over all normal
    pixels; it is linear inside a block of tied scores. An anomalous pixel in a region of area A lifts the curve by
    1 / (K A) between the rates a and b, just before and just after its ties, so with the limit L the area is a sum
    over anomalous pixels::

        pro = 1/(K L) * sum 1/A * (max(0, L - b) + clip(L - a, 0, b - a)^2 / (2 (b - a)))

    with the second term 0 where a = b: the mean of `pro_of_regions`. NaN where there is no anomalous or no normal
    pixel.

    Parameters
    ----------
    pixels : PixelCounts
        From `metrics.count_pixels`.
    fpr_limit : float
        The limit L, in (0, 1].

    Raises
    ------
    MetricError
        If the limit is outside (0, 1].

    Source: Bergmann et al., "Uninformed Students", CVPR 2020, section 4, and "The MVTec Anomaly Detection Dataset",
    IJCV 2021.

    Examples
    --------
    >>> from metrics import count_pixels
    >>> round(pro(count_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]])), 6)
    0.65
    """
    overlaps = pro_of_regions(pixels, fpr_limit)
    return np.nan if pixels.one_class else float(overlaps.mean())


def pro_of_regions(pixels: PixelCounts, fpr_limit: float = 0.3) -> NDArray[np.float64]:
    """Return each region's own overlap, averaged over false positive rates up to the limit, (K,).

    The mean over regions is `metrics.pro`. Empty where there are no regions, NaN where there is no normal pixel.

    Raises
    ------
    MetricError
        If the limit is outside (0, 1].

    Examples
    --------
    >>> from metrics import count_pixels
    >>> pixels = count_pixels([[[0.9, 0.2, 0.1, 0.3, 0.0]]], [[[1, 0, 1, 0, 0]]])
    >>> pro_of_regions(pixels, fpr_limit=1.0).round(3)
    array([1.   , 0.333])
    """
    limit = fraction("fpr_limit", fpr_limit)
    if pixels.one_class:
        return np.full(pixels.regions, np.nan)
    # each pixel counts at most 1 in its region: however such numbers are rounded, a sum of A of them is at most A
    found = np.bincount(pixels.region, _covered_part(pixels, limit), minlength=pixels.regions)
    return found / pixels.areas


def _covered_part(pixels: PixelCounts, limit: float) -> NDArray[np.float64]:
    """For each anomalous pixel, the part of the false positive rates up to a limit at which it is found, (m,).

    Inside a block of tied scores a pixel is found in part, see `pro`.
    """
    before = pixels.normal_above / pixels.normal_pixels
    after = pixels.normal_at_or_above / pixels.normal_pixels
    width = after - before
    inside = np.clip(limit - before, 0, width)
    in_ties = np.divide(inside**2, 2 * width, out=np.zeros_like(width), where=width > 0)
    return (np.maximum(0, limit - after) + in_ties) / limit
