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

    with the second term 0 where a = b. NaN where there is no anomalous or no normal pixel.

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
    limit = fraction("fpr_limit", fpr_limit)
    if pixels.one_class:
        return np.nan
    covered = covered_rates(pixels, limit) / pixels.area
    # a sum of many parts may exceed 1 by rounding
    return float(np.minimum(covered.sum() / (pixels.regions * limit), 1))


def covered_rates(pixels: PixelCounts, limit: float) -> NDArray[np.float64]:
    """For each anomalous pixel, the width of the false positive rates up to a limit at which it is found, (m,).

    Inside a block of tied scores a pixel is found in part, see `pro`.
    """
    before = pixels.normal_above / pixels.normal_pixels
    after = pixels.normal_at_or_above / pixels.normal_pixels
    width = after - before
    inside = np.clip(limit - before, 0, width)
    in_ties = np.divide(inside**2, 2 * width, out=np.zeros_like(width), where=width > 0)
    return np.maximum(0, limit - after) + in_ties
