"""The curves behind the measures, for figures, and what each region adds to them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import checked_images
from metrics.pixels import PixelCounts


def image_roc(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ROC of image scores: false and true positive rates at its corners, ascending.

    Parameters, errors: as `metrics.image_auroc`. Both are empty without images of either class.

    Examples
    --------
    >>> image_roc([0, 1], [0.1, 0.2])
    (array([0., 0., 1.]), array([0., 1., 1.]))
    """
    labels, scores, one_class = checked_images(labels, scores)
    if one_class:
        return np.empty(0), np.empty(0)
    from sklearn.metrics import roc_curve  # here for the reason that `image_auroc` gives

    false, true, _ = roc_curve(labels, scores)
    return false, true


def pixel_roc(pixels: PixelCounts, rates: ArrayLike) -> NDArray[np.float64]:
    """Return the true positive rate of pixels at given false positive rates; NaN where it is undefined.

    Its area is `metrics.pixel_auroc`: inside a block of tied scores it is linear.

    Examples
    --------
    >>> from metrics import count_pixels
    >>> pixel_roc(count_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]]), [0, 0.25, 0.5, 1])
    array([0.5 , 0.75, 1.  , 1.  ])
    """
    return _curve(pixels, rates, np.ones(pixels.anomalous_pixels))


def pro_curve(pixels: PixelCounts, rates: ArrayLike) -> NDArray[np.float64]:
    """Return the mean overlap of regions at given false positive rates; NaN where it is undefined.

    Its area up to the limit, divided by the limit, is `metrics.pro`.

    Examples
    --------
    >>> from metrics import count_pixels
    >>> pro_curve(count_pixels([[[0.1, 0.9, 0.2, 0.8, 0.3]]], [[[0, 1, 0, 1, 1]]]), [0, 1])
    array([1., 1.])
    """
    return _curve(pixels, rates, 1 / pixels.area)


def _curve(pixels: PixelCounts, rates: ArrayLike, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the weights of all anomalous pixels that those have which are found at each rate."""
    rates = np.asarray(rates, dtype=np.float64)
    if pixels.one_class:
        return np.full(rates.shape, np.nan)
    # descending scores: blocks of ties follow each other, and their rates ascend
    before = pixels.normal_above[::-1] / pixels.normal_pixels
    after = pixels.normal_at_or_above[::-1] / pixels.normal_pixels
    found = np.append(0.0, np.cumsum(weights[::-1]))
    found /= found[-1]  # the sum that ends at 1, whatever its rounding
    whole = np.searchsorted(after, rates, side="right")
    # at most one block of ties is found in part: it starts where the pixels end that are found as a whole
    first = np.minimum(whole, after.size - 1)
    last = np.searchsorted(before, before[first], side="right")
    width = after[first] - before[first]
    part = np.clip(np.divide(rates - before[first], width, out=np.zeros_like(width), where=width > 0), 0, 1)
    return np.where(whole < after.size, found[whole] + part * (found[last] - found[whole]), found[-1])


def overlaps_at(pixels: PixelCounts, threshold: float) -> NDArray[np.float64]:
    """Return the part of each region at or above a threshold, (K,); NaN where the threshold is.

    Examples
    --------
    >>> from metrics import count_pixels
    >>> overlaps_at(count_pixels([[[0.9, 0.4, 0.1, 0.3]]], [[[1, 1, 0, 1]]]), threshold=0.4)
    array([1., 0.])
    """
    if np.isnan(threshold):
        return np.full(pixels.regions, np.nan)
    above = pixels.region[pixels.anomalous_pixels - int(pixels.true_positives(threshold)) :]
    return np.bincount(above, minlength=pixels.regions) / pixels.areas
