"""Measures of all pixels of all test images, from one sort.

Only the scores of defect-free pixels are sorted, without an index, and only the few defective pixels are
looked up among them; every measure below is a short sum over those ranks.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import binary_array, finite_array, fraction
from metrics.regions import find_regions


@dataclass(frozen=True, eq=False)
class PixelScores:
    """The sorted scores of a test set's pixels, and the ranks its measures share.

    Attributes
    ----------
    normal : float array (n,)
        Scores of the defect-free pixels, ascending.
    defect : float array (m,)
        Scores of the defective pixels, ascending.
    region : int64 array (m,)
        The region to which each defective pixel belongs, 0 to K - 1, in the order of ``defect``.
    areas, images : int64 arrays (K,)
        Pixels of each region, and the position of its map.
    """

    normal: NDArray[np.floating]
    defect: NDArray[np.floating]
    region: NDArray[np.int64]
    areas: NDArray[np.int64]
    images: NDArray[np.int64]

    @property
    def regions(self) -> int:
        """The number K of regions."""
        return self.areas.size

    @cached_property
    def area(self) -> NDArray[np.int64]:
        """For each defective pixel, the pixels of its region, (m,)."""
        return self.areas[self.region]

    @property
    def one_class(self) -> bool:
        """Whether there is no defective or no defect-free pixel, so that no pixel measure is defined."""
        return self.normal.size == 0 or self.defect.size == 0

    @cached_property
    def normal_above(self) -> NDArray[np.int64]:
        """For each defective pixel, the defect-free pixels with a higher score, (m,)."""
        below = self.normal.size - self.normal_at_or_above
        return self.normal.size - at_or_below(self.normal, self.defect, below)

    @cached_property
    def normal_at_or_above(self) -> NDArray[np.int64]:
        """For each defective pixel, the defect-free pixels with its score or a higher one, (m,)."""
        return self.normal.size - np.searchsorted(self.normal, self.defect, side="left")

    @cached_property
    def defect_at_or_above(self) -> NDArray[np.int64]:
        """For each defective pixel, the defective pixels with its score or a higher one, (m,)."""
        return self.defect.size - np.searchsorted(self.defect, self.defect, side="left")


def at_or_below(
    ordered: NDArray[np.floating], scores: NDArray[np.floating], below: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count how many of some ascending scores are at or below others, (m,), if it is known how many are below."""
    found = below.copy()
    # few scores are tied with an ordered one, and only these have to be looked up again
    tied = np.flatnonzero(ordered[np.minimum(below, ordered.size - 1)] == scores)
    found[tied] = np.searchsorted(ordered, scores[tied], side="right")
    return found


def rank_pixels(maps: ArrayLike, masks: ArrayLike) -> PixelScores:
    """Sort the scores of all pixels once, for all pixel measures.

    Parameters
    ----------
    maps : float array (N, H, W)
        Anomaly maps; a higher score means more anomalous.
    masks : bool or {0, 1} array (N, H, W)
        True where a pixel is defective.

    Raises
    ------
    MetricError
        If a map has NaN or infinity, a mask is not binary, or their shapes differ.

    Examples
    --------
    >>> scores = rank_pixels([[[0.1, 0.2], [0.3, 0.9]]], [[[0, 0], [1, 1]]])
    >>> scores.normal, scores.area, scores.regions
    (array([0.1, 0.2]), array([2, 2]), 1)
    """
    maps = finite_array("maps", maps, ndim=3)
    masks = binary_array("masks", masks, maps.shape)
    normal, defect = maps[~masks], maps[masks]
    normal.sort()
    # The lookups of ascending scores walk through `normal` in order, so memory stays in the cache.
    order = np.argsort(defect)
    regions = find_regions(masks)
    return PixelScores(normal, defect[order], regions.pixels[order], regions.areas, regions.images)


def pixel_auroc(scores: PixelScores) -> float:
    """Area under the ROC of all pixels, exact, ties counted half.

    The mean over defective pixels of ``1 - (a + b) / 2``, where a is the fraction of defect-free pixels
    with a higher score and b the fraction with the same or a higher one. NaN where one class is missing.

    Source: Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982.

    Examples
    --------
    >>> pixel_auroc(rank_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]]))
    0.875
    """
    if scores.one_class:
        return np.nan
    higher = (scores.normal_above.mean() + scores.normal_at_or_above.mean()) / 2
    return float(1 - higher / scores.normal.size)


def pro(scores: PixelScores, fpr_limit: float = 0.3) -> float:
    """Area under the per-region-overlap curve up to a false positive rate, divided by that rate; exact.

    The curve is the mean over regions of the covered part of each, against the false positive rate over
    all defect-free pixels; it is linear inside a block of tied scores. A defective pixel in a region of
    area A lifts the curve by 1 / (K A) between the rates a and b, just before and just after its ties, so
    with the limit L the area is a sum over defective pixels::

        pro = 1/(K L) * sum 1/A * (max(0, L - b) + clip(L - a, 0, b - a)^2 / (2 (b - a)))

    with the second term 0 where a = b. NaN where there is no defective or no defect-free pixel.

    Parameters
    ----------
    scores : PixelScores
        From `rank_pixels`.
    fpr_limit : float
        The limit L, in (0, 1].

    Raises
    ------
    MetricError
        If the limit is outside (0, 1].

    Source: Bergmann et al., "Uninformed Students", CVPR 2020, section 4, and "The MVTec Anomaly Detection
    Dataset", IJCV 2021.

    Examples
    --------
    >>> round(pro(rank_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]])), 6)
    0.65
    """
    limit = fraction("fpr_limit", fpr_limit)
    if scores.one_class:
        return np.nan
    covered = covered_rates(scores, limit) / scores.area
    return float(covered.sum() / (scores.regions * limit))


def covered_rates(scores: PixelScores, limit: float) -> NDArray[np.float64]:
    """For each defective pixel, the width of the false positive rates up to a limit at which it is found, (m,)."""
    n = scores.normal.size
    return covered_widths(scores.normal_above / n, scores.normal_at_or_above / n, limit)


def covered_widths(
    before: NDArray[np.float64], after: NDArray[np.float64], limit: float
) -> NDArray[np.float64]:
    """Widths of rates up to a limit at which pixels are found that come in between two rates, in part, see `pro`."""
    width = after - before
    inside = np.clip(limit - before, 0, width)
    in_ties = np.divide(inside**2, 2 * width, out=np.zeros_like(width), where=width > 0)
    return np.maximum(0, limit - after) + in_ties


def pixel_ap(scores: PixelScores) -> float:
    """Average precision of all pixels: the mean over defective pixels of the precision at their score.

    ``sum over thresholds of (R_k - R_(k-1)) P_k`` without interpolation; tied scores are one threshold.
    NaN where one class is missing.

    Source: Saito and Rehmsmeier, "The precision-recall plot is more informative than the ROC plot ...",
    PLOS ONE 2015.

    Examples
    --------
    >>> round(pixel_ap(rank_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]])), 6)
    0.833333
    """
    if scores.one_class:
        return np.nan
    true = scores.defect_at_or_above
    return float(np.mean(true / (true + scores.normal_at_or_above)))


def dice(scores: PixelScores, threshold: float) -> float:
    """Dice coefficient of all pixels at one threshold: ``2 TP / (2 TP + FP + FN)``.

    A pixel is predicted defective where its score is at or above the threshold. NaN where one class is
    missing or the threshold is NaN.

    Source: Dice, "Measures of the amount of ecologic association between species", Ecology 1945.

    Examples
    --------
    >>> dice(rank_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]]), threshold=0.5)
    0.8
    """
    if scores.one_class or np.isnan(threshold):
        return np.nan
    # A Python float would be rounded to the scores' own precision first, and could pass a score by.
    exact = np.float64(threshold)
    true = scores.defect.size - np.searchsorted(scores.defect, exact)
    false = scores.normal.size - np.searchsorted(scores.normal, exact)
    return float(2 * true / (true + false + scores.defect.size))


def dice_max(scores: PixelScores) -> tuple[float, float]:
    """Return the largest Dice over all thresholds and its threshold, the highest among equals.

    Between two defective scores a lower threshold only adds false positives, so the scores of defective
    pixels are all the candidates. (NaN, NaN) where one class is missing.

    Examples
    --------
    >>> dice_max(rank_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]]))
    (0.8, 0.5)
    """
    if scores.one_class:
        return np.nan, np.nan
    true = scores.defect_at_or_above
    values = 2 * true / (true + scores.normal_at_or_above + scores.defect.size)
    best = values.size - 1 - np.argmax(values[::-1])
    return float(values[best]), float(scores.defect[best])


def dice_image(maps: ArrayLike, masks: ArrayLike, threshold: float) -> float:
    """Mean over defective images of each one's own Dice at one threshold.

    An image is defective if its mask has a defective pixel. NaN where the masks have no defective or no
    defect-free pixel, or the threshold is NaN.

    Parameters
    ----------
    maps : float array (N, H, W)
        Anomaly maps.
    masks : bool or {0, 1} array (N, H, W)
        True where a pixel is defective.
    threshold : float
        In units of the maps; a pixel is predicted defective at or above it.

    Raises
    ------
    MetricError
        As `rank_pixels`.

    Examples
    --------
    >>> maps = [[[0.1, 0.5], [0.5, 0.9]], [[0.9, 0.1], [0.1, 0.1]], [[0.9, 0.9], [0.9, 0.9]]]
    >>> masks = [[[0, 0], [1, 1]], [[1, 0], [0, 0]], [[0, 0], [0, 0]]]
    >>> dice_image(maps, masks, threshold=0.5)
    0.9
    """
    maps = finite_array("maps", maps, ndim=3)
    masks = binary_array("masks", masks, maps.shape)
    defective = masks.any(axis=(1, 2))
    if not defective.any() or masks.all() or np.isnan(threshold):
        return np.nan
    return float(np.mean(dice_of_each(maps[defective], masks[defective], threshold)))


def dice_of_each(
    maps: NDArray[np.floating], masks: NDArray[np.bool_], threshold: float
) -> NDArray[np.float64]:
    """Dice coefficients of defective images, (N,)."""
    predicted = maps >= np.float64(threshold)  # exact, as in `dice`
    true = np.count_nonzero(predicted & masks, axis=(1, 2))
    both = np.count_nonzero(predicted, axis=(1, 2)) + np.count_nonzero(masks, axis=(1, 2))
    return 2 * true / both
