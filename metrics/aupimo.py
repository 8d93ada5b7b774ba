"""AUPIMO: recall of each anomalous image's pixels where normal images have next to no false positives."""

import math

import numpy as np
from numpy.typing import NDArray

from metrics.errors import MetricError
from metrics.slices import Sliceable, Stack, anomalous_images, open_stacks, read_maps, read_masks, slices

BOUNDS = (1e-5, 1e-4)


def aupimo(maps: Stack, masks: Stack, bounds: tuple[float, float] = BOUNDS) -> float:
    """Mean over anomalous images of `aupimo_of_images`; NaN without an anomalous or a normal image.

    Parameters, errors, source: as `aupimo_of_images`.

    Examples
    --------
    >>> maps = [[[0.1, 0.2, 0.3, 0.4]], [[0.9, 0.35, 0.1, 0.0]]]
    >>> masks = [[[0, 0, 0, 0]], [[1, 1, 0, 0]]]
    >>> round(aupimo(maps, masks, bounds=(0.25, 1.0)), 6)
    1.0
    """
    values = aupimo_of_images(maps, masks, bounds)
    return float(values.mean()) if values.size else np.nan


def aupimo_of_images(maps: Stack, masks: Stack, bounds: tuple[float, float] = BOUNDS) -> NDArray[np.float64]:
    """Area under the per-image overlap of each anomalous image, (A,), exact.

    The curve of an image is the recall of its anomalous pixels over the logarithm of the false-positive rate F, which
    is that of all pixels of the normal images, so one axis serves all images. With the bounds L and U::

        aupimo = 1 / log(U / L) * integral from L to U of recall(F) dF / F

    An anomalous pixel is found at rates from a to b on, just before and just after the normal pixels that are tied with
    it; in between in part, as in `metrics.pro`. NaN for every image where no image is normal.

    Parameters
    ----------
    maps : float array (N, H, W)
        Anomaly maps, read a few images at a time as by `metrics.count_pixels`.
    masks : bool or {0, 1} array (N, H, W)
        True where a pixel is anomalous. An image without such a pixel is normal.
    bounds : (float, float)
        L and U, 0 < L < U <= 1.

    Raises
    ------
    MetricError
        As `metrics.count_pixels`, and for bounds out of range.

    Source: Bertoldo et al., "AUPIMO: Redefining Anomaly Localization Benchmarks with High Speed and Low Tolerance",
    BMVC 2024.
    """
    low, high = bounds
    if not 0 < low < high <= 1:
        raise MetricError(f"bounds: found {low:g}, {high:g}; expected 0 < lower < upper <= 1")
    maps, masks = open_stacks(maps, masks)
    is_normal = np.concatenate([[], *(~read_masks(masks, part).any(axis=(1, 2)) for part in slices(maps))])
    normal, pixels = highest_of_normal_images(maps, is_normal.astype(bool), high)
    values = []
    for scores, mask in anomalous_images(maps, masks):
        found = scores[mask]
        if not pixels:
            values.append(np.nan)
            continue
        above, at_or_above = (
            normal.size - np.searchsorted(normal, found, side=side) for side in ("right", "left")
        )
        values.append(float(_covered(above / pixels, at_or_above / pixels, low, high).mean()))
    return np.array(values)


def highest_of_normal_images(
    maps: Sliceable, is_normal: NDArray[np.bool_], rate: float
) -> tuple[NDArray[np.floating], int]:
    """Return the scores of normal images, ascending, that a rate of them reaches, with ties, and how many there are.

    Lower scores are only counted: an anomalous pixel among them is found beyond the rate.

    Parameters
    ----------
    maps : (N, H, W)
        All maps.
    is_normal : bool array (N,)
        True where an image has no anomalous pixel.
    rate : float
        A false-positive rate.
    """
    pixels = np.count_nonzero(is_normal) * math.prod(maps.shape[1:])
    wanted = (
        math.floor(rate * pixels) + 1
    )  # one more: up to its score, an anomalous pixel is found within the rate
    kept: NDArray[np.floating] = np.empty(0, np.float32)
    for part in slices(maps):
        if not is_normal[part].any():
            continue
        scores = np.concatenate([kept, read_maps(maps, part)[is_normal[part]].ravel()])
        if scores.size > wanted:
            scores = scores[scores >= np.partition(scores, scores.size - wanted)[scores.size - wanted]]
        kept = scores
    return np.sort(kept), int(pixels)


def _covered(
    before: NDArray[np.float64], after: NDArray[np.float64], low: float, high: float
) -> NDArray[np.float64]:
    """Return the part of the logarithmic rates from `low` to `high` at which each pixel is found.

    It is found in full from the rate `after` on, and from `before` to `after` in proportion.
    """
    start, end = np.clip(before, low, high), np.clip(after, low, high)
    width = np.where(after > before, after - before, 1.0)
    in_ties = (end - start - before * np.log(end / start)) / width
    return (np.log(high / end) + np.where(after > before, in_ties, 0.0)) / math.log(high / low)
