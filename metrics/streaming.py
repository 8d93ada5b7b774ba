"""The measures of all pixels without keeping them: maps arrive in chunks, in any order and process."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import binary_array, finite_array, fraction
from metrics.pixels import at_or_below, covered_widths
from metrics.regions import find_regions
from metrics.sketches import LEAF, Points, Scores, Sketch, join, sort_points, summarise

Floats = NDArray[np.float64]

#: Maps are looked at this many pixels at a time, so that nothing beside them is large.
SLICE = 2**20


def slices(maps: NDArray[np.floating]) -> Iterator[slice]:
    """Cut maps (N, H, W) into slices of whole maps that have about `SLICE` pixels."""
    step = max(1, SLICE // max(1, maps[:1].size))
    return (slice(start, start + step) for start in range(0, len(maps), step))


class StreamingPixels:
    """The pixel measures of maps that arrive in chunks, in bounded memory; no range of scores is needed.

    Defect-free pixels are kept as a sketch (`metrics.sketches`) by number, defective ones as one by number
    and one by 1 / area of their region. A sketch knows the mass above any score to a part d of itself, with
    ``d = levels * CELL / 2``: 0 as long as a class has less than 8 million pixels, 8e-6 up to 6e7, and 8e-6
    more whenever the pixels are 8 times as many. To first order in d, for any scores in any order,

    =============  ========  ==========================================================================
    measure        error     because
    =============  ========  ==========================================================================
    `pixel_auroc`  d         false and true positive rates move it by 1 - AUROC and by AUROC times d
    `pro`          2 d       by d of the limit, as the rates up to it do, and by d of the overlaps
    `pixel_ap`     2 d       d p (1 - p) of a precision p for either count; cells that stand for their
                             pixels move d times the variation of p, weighted by recall, at most 1.5
    `dice`         0.75 d    1 / 2 of d by the true positives, 1 / 4 of d by the false ones
    `dice_max`     1.75 d    the same, and the best pixel may lie in a cell that is cut
    =============  ========  ==========================================================================

    so with six levels, up to 2e12 pixels of a class, none errs by more than 1e-4. Errors of different cells
    cancel each other, so on usual maps they are below 1e-6. Chunks hold whole images, as regions do not
    reach over their borders. An object can be pickled, and those of several processes merged.

    Examples
    --------
    >>> stream = StreamingPixels()
    >>> stream.add([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]])
    >>> stream.pixel_auroc(), round(stream.pro(0.3), 6), stream.dice(0.5), stream.dice_max()
    (0.875, 0.65, 0.8, (0.8, 0.5))
    """

    def __init__(self) -> None:
        self.normal_pixels = 0
        self.defective_pixels = 0
        self.regions = 0
        self._normal = Sketch(finest=1)
        self._counts = Sketch(finest=1)
        self._weights = Sketch(finest=None)
        # what has not been summarised yet: scores, and for defective pixels the areas of their regions
        self._raw_normal: list[Scores] = []
        self._raw_defect: list[Scores] = []
        self._raw_areas: list[NDArray[np.int32]] = []
        self._ranks: _Ranks | None = None

    def add(self, maps: ArrayLike, masks: ArrayLike) -> None:
        """Take in some maps of the test set; what is needed beside them does not grow with their number.

        Parameters
        ----------
        maps : float array (N, H, W)
            Anomaly maps; a higher score means more anomalous.
        masks : bool or {0, 1} array (N, H, W)
            True where a pixel is defective.

        Raises
        ------
        MetricError
            As `rank_pixels`.
        """
        maps, masks = np.asarray(maps), np.asarray(masks)
        if maps.ndim != 3 or masks.shape != maps.shape:
            binary_array("masks", masks, finite_array("maps", maps, ndim=3).shape)
        for part in slices(maps):
            self._add(maps[part], masks[part])

    def _add(self, maps: NDArray[np.floating], masks: NDArray[np.bool_]) -> None:
        maps = finite_array("maps", maps, ndim=3)
        masks = binary_array("masks", masks, maps.shape)
        regions = find_regions(masks)
        self._raw_normal.append(maps[~masks])
        self._raw_defect.append(maps[masks])
        self._raw_areas.append(regions.areas[regions.pixels].astype(np.int32))
        self.normal_pixels += self._raw_normal[-1].size
        self.defective_pixels += self._raw_defect[-1].size
        self.regions += regions.areas.size
        self._summarise_full()

    def merge(self, other: "StreamingPixels") -> None:
        """Take in the pixels of another object, which stays as it is."""
        self.normal_pixels += other.normal_pixels
        self.defective_pixels += other.defective_pixels
        self.regions += other.regions
        self._normal.merge(other._normal)
        self._counts.merge(other._counts)
        self._weights.merge(other._weights)
        self._raw_normal += other._raw_normal
        self._raw_defect += other._raw_defect
        self._raw_areas += other._raw_areas
        self._summarise_full()

    def _summarise_full(self) -> None:
        """Summarise what is kept as it is, once it is much."""
        self._ranks = None
        if sum(part.size for part in self._raw_normal) >= LEAF:
            self._normal.add(self._sorted_normal())
            self._raw_normal = []
        if sum(part.size for part in self._raw_defect) >= LEAF:
            counts, weights = self._sorted_defects()
            self._counts.add(counts)
            self._weights.add(weights)
            self._raw_defect, self._raw_areas = [], []

    def _sorted_normal(self) -> Points:
        scores = np.concatenate(self._raw_normal or [np.empty(0, np.float32)])
        scores.sort()
        return Points(scores, None)

    def _sorted_defects(self) -> tuple[Points, Points]:
        """Return the defective pixels by number and by 1 / area."""
        scores = np.concatenate(self._raw_defect or [np.empty(0, np.float32)])
        areas = np.concatenate(self._raw_areas or [np.empty(0, np.int32)])
        points = sort_points(scores, 1 / areas)
        return Points(points.scores, None), points

    @property
    def one_class(self) -> bool:
        """Whether there is no defective or no defect-free pixel, so that no measure is defined."""
        return self.normal_pixels == 0 or self.defective_pixels == 0

    def pixel_auroc(self) -> float:
        """Area under the ROC of all pixels, see `metrics.pixel_auroc`."""
        if self.one_class:
            return np.nan
        ranks = self._ranked()
        higher = (ranks.normal.above + ranks.normal.at_or_above) / 2
        return float(1 - np.average(higher, weights=ranks.counts) / self.normal_pixels)

    def pro(self, fpr_limit: float = 0.3) -> float:
        """Area under the per-region-overlap curve up to a false positive rate, see `metrics.pro`.

        Raises
        ------
        MetricError
            If the limit is outside (0, 1].
        """
        limit = fraction("fpr_limit", fpr_limit)
        if self.one_class:
            return np.nan
        ranks = self._ranked()
        before = ranks.normal_of_weights.above / self.normal_pixels
        after = ranks.normal_of_weights.at_or_above / self.normal_pixels
        found = ranks.weights.weighted @ covered_widths(before, after, limit)
        return float(found / (self.regions * limit))

    def pixel_ap(self) -> float:
        """Average precision of all pixels, see `metrics.pixel_ap`."""
        if self.one_class:
            return np.nan
        ranks = self._ranked()
        precision = ranks.true / (ranks.true + ranks.normal.at_or_above)
        return float(np.average(precision, weights=ranks.counts))

    def dice(self, threshold: float) -> float:
        """Dice coefficient of all pixels at one threshold, see `metrics.dice`."""
        if self.one_class or np.isnan(threshold):
            return np.nan
        ranks = self._ranked()
        # A Python float would be rounded to the scores' own precision first, and could pass a score by.
        exact = np.array([threshold], dtype=np.float64)
        true = _Above(ranks.defects, exact).at_or_above[0]
        false = _Above(ranks.normals, exact).at_or_above[0]
        return float(2 * true / (true + false + self.defective_pixels))

    def dice_max(self) -> tuple[float, float]:
        """Return the largest Dice over all thresholds and its threshold, see `metrics.dice_max`."""
        if self.one_class:
            return np.nan, np.nan
        ranks = self._ranked()
        values = 2 * ranks.true / (ranks.true + ranks.normal.at_or_above + self.defective_pixels)
        best = values.size - 1 - np.argmax(values[::-1])
        return float(values[best]), float(ranks.defects.scores[best])

    def _ranked(self) -> "_Ranks":
        """Return what all measures share, from the sketches and what has not been summarised yet."""
        if self._ranks is None:
            normal = self._sorted_normal()
            if self._normal.levels:
                normal = join([*self._normal, summarise(normal, self._normal.finest)])
            counts, weights = self._sorted_defects()
            if self._counts.levels:
                counts, weights = join([*self._counts, counts]), join([*self._weights, weights])
            self._ranks = _Ranks(normal, counts, weights)
        return self._ranks


class _Above:
    """The mass above some scores (m,), and at or above them."""

    def __init__(self, points: Points, scores: Scores) -> None:
        below = np.searchsorted(points.scores, scores, side="left")
        not_above = at_or_below(points.scores, scores, below)
        self.at_or_above: NDArray[np.float64 | np.int64]
        self.above: NDArray[np.float64 | np.int64]
        if points.masses is None:
            self.at_or_above, self.above = points.scores.size - below, points.scores.size - not_above
        else:
            # from the top, so that small masses there are not lost in the large ones below
            mass = np.append(np.cumsum(points.masses[::-1])[::-1], 0.0)
            self.at_or_above, self.above = mass[below], mass[not_above]


@dataclass(eq=False)
class _Ranks:
    """Defect-free and defective pixels, the latter by number and by 1 / area, looked up in each other."""

    normals: Points
    defects: Points
    weights: Points

    @cached_property
    def counts(self) -> Floats:
        return self.defects.weighted

    @cached_property
    def true(self) -> NDArray[np.float64 | np.int64]:
        """Defective pixels at or above each defective one."""
        return _Above(self.defects, self.defects.scores).at_or_above

    @cached_property
    def normal(self) -> _Above:
        """Defect-free pixels above each defective one."""
        return _Above(self.normals, self.defects.scores)

    @cached_property
    def normal_of_weights(self) -> _Above:
        """The same for the defective pixels by 1 / area, which are other scores once they are summarised."""
        if self.weights.scores is self.defects.scores:
            return self.normal
        return _Above(self.normals, self.weights.scores)
