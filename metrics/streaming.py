"""The measures of all pixels without keeping them: maps arrive in chunks, in any order and process."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import binary_array, finite_array, fraction
from metrics.pixels import covered_widths
from metrics.regions import find_regions
from metrics.sketches import Masses, Points, Sketch

#: Maps are looked at this many pixels at a time, so that nothing beside them is large.
SLICE = 2**18
#: Pixels of a class that are kept as they are before they are summarised.
NORMAL_LEAF = 2**23
DEFECT_LEAF = 2**19


def slices(maps: NDArray[np.floating]) -> Iterator[slice]:
    """Cut maps (N, H, W) into slices of whole maps that have about `SLICE` pixels."""
    step = max(1, SLICE // max(1, maps[:1].size))
    return (slice(start, start + step) for start in range(0, len(maps), step))


class StreamingPixels:
    """The pixel measures of maps that arrive in chunks, in bounded memory; no range of scores is needed.

    Defect-free pixels are kept as a sketch (`metrics.sketches`) by number, defective ones as one by number
    and one by 1 / area of their region. The sketches know the mass above any score, and the defective pixels
    that are looked up stand for all, to a part d with ``d = levels * CELL / 2``: 0 as long as there are less
    than 8 million defect-free and 500 thousand defective pixels, then 1.5e-5, and 8e-6 more from 12, 78, 364
    and 1365 times as many on. To first order in d, for any scores in any order,

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

    so with six levels, up to 3e10 defect-free and 2e9 defective pixels, none errs by more than 1e-4. Errors of
    different cells cancel each other, so on usual maps they are below 1e-6. Chunks hold whole images, as
    regions do not reach over their borders. An object can be pickled, and those of several processes merged.

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
        self._normal = Sketch(finest=1, leaf=NORMAL_LEAF)
        self._counts = Sketch(finest=1, leaf=DEFECT_LEAF)
        self._weights = Sketch(finest=None, leaf=DEFECT_LEAF)
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
        normal, defect = maps[~masks], maps[masks]
        self._normal.add(normal)
        self._counts.add(defect)
        self._weights.add(defect, 1 / regions.areas[regions.pixels])
        self.normal_pixels += normal.size
        self.defective_pixels += defect.size
        self.regions += regions.areas.size
        self._ranks = None

    def merge(self, other: "StreamingPixels") -> None:
        """Take in the pixels of another object, which stays as it is."""
        self._normal.merge(other._normal)
        self._counts.merge(other._counts)
        self._weights.merge(other._weights)
        self.normal_pixels += other.normal_pixels
        self.defective_pixels += other.defective_pixels
        self.regions += other.regions
        self._ranks = None

    @property
    def one_class(self) -> bool:
        """Whether there is no defective or no defect-free pixel, so that no measure is defined."""
        return self.normal_pixels == 0 or self.defective_pixels == 0

    def pixel_auroc(self) -> float:
        """Area under the ROC of all pixels, see `metrics.pixel_auroc`."""
        if self.one_class:
            return np.nan
        ranks = self._ranked()
        return float(1 - np.average(sum(ranks.normal) / 2, weights=ranks.defects.masses) / self.normal_pixels)

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
        before, after = (normal / self.normal_pixels for normal in ranks.normal_of_weights)
        found = ranks.weights.weighted @ covered_widths(before, after, limit)
        return float(found / (self.regions * limit))

    def pixel_ap(self) -> float:
        """Average precision of all pixels, see `metrics.pixel_ap`."""
        if self.one_class:
            return np.nan
        ranks = self._ranked()
        precision = ranks.true / (ranks.true + ranks.normal[1])
        return float(np.average(precision, weights=ranks.defects.masses))

    def dice(self, threshold: float) -> float:
        """Dice coefficient of all pixels at one threshold, see `metrics.dice`."""
        if self.one_class or np.isnan(threshold):
            return np.nan
        true, false = self._counts.at_or_above(threshold), self._normal.at_or_above(threshold)
        return float(2 * true / (true + false + self.defective_pixels))

    def dice_max(self) -> tuple[float, float]:
        """Return the largest Dice over all thresholds and its threshold, see `metrics.dice_max`."""
        if self.one_class:
            return np.nan, np.nan
        ranks = self._ranked()
        values = 2 * ranks.true / (ranks.true + ranks.normal[1] + self.defective_pixels)
        best = values.size - 1 - np.argmax(values[::-1])
        return float(values[best]), float(ranks.defects.scores[best])

    def _ranked(self) -> "_Ranks":
        """Return what the measures share."""
        if self._ranks is None:
            self._ranks = _Ranks(self._normal, self._counts, self._weights)
        return self._ranks


@dataclass(eq=False)
class _Ranks:
    """Defective pixels, by number and by 1 / area, looked up in both classes."""

    normals: Sketch
    counts: Sketch
    areas: Sketch

    @cached_property
    def defects(self) -> Points:
        return self.counts.points()

    @cached_property
    def weights(self) -> Points:
        return self.areas.points()

    @cached_property
    def true(self) -> Masses:
        """Defective pixels at or above each defective one."""
        return self.counts.above(self.defects.scores)[1]

    @cached_property
    def normal(self) -> tuple[Masses, Masses]:
        """Defect-free pixels above each defective one, and at or above it."""
        return self.normals.above(self.defects.scores)

    @cached_property
    def normal_of_weights(self) -> tuple[Masses, Masses]:
        """The same for the defective pixels by 1 / area, which are other scores once they are summarised."""
        if np.array_equal(self.weights.scores, self.defects.scores):
            return self.normal
        return self.normals.above(self.weights.scores)
