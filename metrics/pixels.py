"""The counts of pixels that every pixel measure is made of, from two passes over maps that may lie on disk.

All that the measures need of an anomalous pixel is how many normal pixels lie above it, and how many at or above it.
These counts add up over slices of the maps, so they are exact whatever the number of images, and the memory needed
follows the anomalous pixels and one batch of normal scores.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import finite_array
from metrics.errors import MetricError
from metrics.passes import add_counts, gather, round_up, sorted_batches
from metrics.slices import SLICE_PIXELS, Sliceable, Stack, open_stack, open_stacks, slices

#: Evenly spaced thresholds between the extreme scores at which normal pixels are counted, see `even_thresholds`.
EVEN_THRESHOLDS = 4000
# A batch of normal scores, which is sorted as a whole, holds several slices, and several times the anomalous scores,
# since each of these is looked up in every batch.
_SLICES_PER_BATCH = 8
_SCORES_PER_ANOMALOUS = 12


@dataclass(frozen=True, eq=False)
class PixelCounts:
    """The m anomalous pixels of N maps, and how many of the normal ones score higher.

    Attributes
    ----------
    scores : float array (m,)
        Scores of the anomalous pixels, ascending.
    region : int64 array (m,)
        The region of each anomalous pixel, 0 to K - 1, in the order of ``scores``.
    normal_above, normal_at_or_above : int64 arrays (m,)
        For each anomalous pixel, the normal pixels with a higher score, and with its score or a higher one.
    areas, images : int64 arrays (K,)
        Pixels of each region, and the position of its map.
    normal_pixels : int
        The number n of normal pixels.
    image_max : float array (N,)
        The largest score of each map.
    lowest : float
        The smallest score of all pixels; NaN without maps.
    thresholds : float64 array (T,)
        Further scores at which normal pixels were counted, ascending.
    normal_at_thresholds : int64 array (T,)
        The normal pixels at or above each of ``thresholds``.
    """

    scores: NDArray[np.floating]
    region: NDArray[np.int64]
    normal_above: NDArray[np.int64]
    normal_at_or_above: NDArray[np.int64]
    areas: NDArray[np.int64]
    images: NDArray[np.int64]
    normal_pixels: int
    image_max: NDArray[np.floating]
    lowest: float
    thresholds: NDArray[np.float64]
    normal_at_thresholds: NDArray[np.int64]

    @property
    def anomalous_pixels(self) -> int:
        """The number m of anomalous pixels."""
        return self.scores.size

    @property
    def regions(self) -> int:
        """The number K of regions."""
        return self.areas.size

    @cached_property
    def area(self) -> NDArray[np.int64]:
        """For each anomalous pixel, the pixels of its region, (m,)."""
        return self.areas[self.region]

    @property
    def one_class(self) -> bool:
        """Whether there is no anomalous or no normal pixel, so that no pixel measure is defined."""
        return self.normal_pixels == 0 or self.anomalous_pixels == 0

    @cached_property
    def anomalous_at_or_above(self) -> NDArray[np.int64]:
        """For each anomalous pixel, the anomalous pixels with its score or a higher one, (m,)."""
        return self.anomalous_pixels - np.searchsorted(self.scores, self.scores, side="left")

    def true_positives(self, thresholds: ArrayLike) -> NDArray[np.int64]:
        """Count the anomalous pixels at or above some thresholds, in the shape of these."""
        keys = round_up(np.asarray(thresholds, np.float64), self.scores.dtype)
        return self.anomalous_pixels - np.searchsorted(self.scores, keys)

    def false_positives(self, thresholds: ArrayLike) -> NDArray[np.int64]:
        """Count the normal pixels at or above some thresholds, in the shape of these.

        Known are these counts at scores of anomalous pixels, at the largest score of each map, at the thresholds that
        `count_pixels` was given, and just above each of `even_thresholds`.

        Raises
        ------
        MetricError
            If the normal pixels were not counted at a threshold.

        Examples
        --------
        >>> pixels = count_pixels([[[0.1, 0.3, 0.5, 0.9]]], [[[0, 0, 0, 1]]], thresholds=[0.25])
        >>> pixels.false_positives([0.25, 0.9])
        array([2, 0])
        """
        wanted = np.asarray(thresholds, np.float64)
        counts = np.full(wanted.shape, -1)
        with np.errstate(over="ignore"):  # a threshold beyond the range of the scores is none of them
            own = wanted.astype(self.scores.dtype)
        for scores, keys, normal in (
            (self.scores, own, self.normal_at_or_above),
            (self.thresholds, wanted, self.normal_at_thresholds),
        ):
            if scores.size:
                place = np.minimum(np.searchsorted(scores, keys), scores.size - 1)
                counts = np.where(scores[place] == wanted, normal[place], counts)
        if (counts < 0).any():
            raise MetricError(
                f"threshold: found {wanted[counts < 0].flat[0]}, at which no normal pixels were counted; expected a "
                "score of an anomalous pixel, the largest score of a map, or one of count_pixels' thresholds"
            )
        return counts


def count_pixels(
    maps: Stack,
    masks: Stack | None,
    thresholds: ArrayLike = (),
    *,
    slice_pixels: int = SLICE_PIXELS,
) -> PixelCounts:
    """Count, in two passes over the maps, all that the pixel measures need.

    The first pass gathers the anomalous pixels; the second sorts batches of normal scores and looks the anomalous
    ones up among them. Maps and masks are only read by ``maps[a:b]`` and never copied as a whole, so they may be
    arrays, arrays mapped from a file, or any object with ``shape`` and such slices. The memory needed is about 100
    bytes for each anomalous pixel, and at least that of eight slices.

    Parameters
    ----------
    maps : float array (N, H, W)
        Anomaly maps; a higher score means more anomalous.
    masks : bool or {0, 1} array (N, H, W), or None
        True where a pixel is anomalous. Without masks no pixel has a class, and only ``image_max`` and ``lowest``
        are found.
    thresholds : float array (T,), optional
        Further scores at which normal pixels are counted, for measures at a given threshold.
    slice_pixels : int
        Pixels that are read at a time, at least one map.

    Raises
    ------
    MetricError
        If a map has NaN or infinity, a mask is not binary, or their shapes differ.

    Examples
    --------
    >>> pixels = count_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]])
    >>> pixels.scores, pixels.normal_above, pixels.normal_at_or_above
    (array([0.5, 0.9]), array([0, 0]), array([1, 0]))
    """
    given = finite_array("thresholds", np.asarray(thresholds, np.float64), ndim=1)
    if masks is None:
        maps = open_stack("maps", maps)
        mask_stack: Sliceable = np.broadcast_to(np.False_, maps.shape)
    else:
        maps, mask_stack = open_stacks(maps, masks)
    parts = slices(maps, slice_pixels)
    found = gather(maps, mask_stack, parts)
    order = np.argsort(found.scores)  # lookups of ascending scores walk through a batch in order
    found.scores, found.region = found.scores[order], found.region[order]
    del order
    scores = found.scores
    even = np.nextafter(even_thresholds(found.lowest, found.image_max), np.inf)
    known = np.unique(np.concatenate([given, found.image_max, even[np.isfinite(even)]]))
    keys = round_up(known, scores.dtype)
    above, at_or_above, at_thresholds = (np.zeros(n, np.int64) for n in (scores.size, scores.size, keys.size))
    pixels = math.prod(maps.shape)
    normal_pixels = 0 if masks is None else pixels - scores.size
    if normal_pixels:
        image_pixels = pixels // maps.shape[0]
        size = max(_SLICES_PER_BATCH * slice_pixels, _SCORES_PER_ANOMALOUS * scores.size, image_pixels)
        for batch in sorted_batches(maps, parts, found.positions, min(size, pixels), scores.dtype):
            add_counts(batch, scores, above, at_or_above)
            at_thresholds += batch.size - np.searchsorted(batch, keys)
    return PixelCounts(
        scores=scores,
        region=found.region,
        normal_above=above,
        normal_at_or_above=at_or_above,
        areas=found.areas,
        images=found.images,
        normal_pixels=normal_pixels,
        image_max=found.image_max,
        lowest=found.lowest,
        thresholds=known,
        normal_at_thresholds=at_thresholds,
    )


def even_thresholds(lowest: float, image_max: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return `EVEN_THRESHOLDS` numbers from the highest score down towards the lowest, in equal steps."""
    highest = float(image_max.max(initial=-np.inf))
    steps = np.arange(EVEN_THRESHOLDS, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # scores of float64's whole range have no finite steps
        return highest - steps * ((highest - lowest) / EVEN_THRESHOLDS)
