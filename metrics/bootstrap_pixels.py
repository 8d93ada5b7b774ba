"""The pixel measures of resamples, from the pixels of each image at or above about a thousand thresholds.

A resample is a sum of images, and so are its counts: one product of weights (r, N) and counts (N, T). Between
thresholds curves are taken as straight lines. Each measure is shifted by what this changes on the test images
themselves, so that resamples lie around its exact value.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from metrics.aupimo import BOUNDS, highest_of_normal_images
from metrics.bootstrap_images import Values, before, ratio
from metrics.evaluate import Measures
from metrics.passes import round_up
from metrics.pixels import PixelCounts
from metrics.registry import FURTHER_LIMITS
from metrics.slices import Sliceable, read_maps, slices

Array = NDArray[np.float64]

# Thresholds lie at so many false-positive rates in equal and in geometric steps, at so many recalls, and at so many
# geometric rates of the normal images alone.
_RATES, _LOW_RATES, _RECALLS, _NORMAL_RATES = 256, 384, 256, 128
# These rates reach so many times as far as AUPIMO's, as a resample may have few of the images with the highest scores.
_MARGIN = 100


@dataclass(frozen=True, eq=False)
class PixelResampler:
    """Takes the pixel measures of resamples of N images at T thresholds, the highest first; the last takes all pixels.

    The arrays take 24 bytes for each image and threshold: 25 MB for 1,000 images.

    Attributes
    ----------
    normal, anomalous : float arrays (N, T)
        Pixels of each image at or above each threshold.
    overlap : float array (N, T)
        The parts of each image's regions at or above each threshold, summed over its regions.
    regions : float array (N,)
        The regions of each image.
    steps : float array (T,)
        The number of distinct scores of anomalous pixels between each threshold and the next higher one.
    own : int, or None
        The place of the run's pixel threshold; None: there is none.
    fpr_limit : float
        The limit of PRO.
    shifts : dict of str to float
        The numbers that are added to the measures.
    """

    normal: Array
    anomalous: Array
    overlap: Array
    regions: Array
    steps: Array
    own: int | None
    fpr_limit: float
    shifts: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, measures: Measures, maps: Sliceable, fpr_limit: float) -> "PixelResampler":
        """Count the pixels of maps (N, H, W), which may lie on disk.

        Parameters
        ----------
        measures : Measures
            The measures of these maps, with pixels of both classes.
        maps : (N, H, W)
            The maps.
        fpr_limit : float
            The limit of PRO.
        """
        pixels, images = measures.pixels, maps.shape[0]
        regions = np.bincount(pixels.images, minlength=images)
        highest, _ = highest_of_normal_images(maps, regions == 0, min(1.0, _MARGIN * BOUNDS[1]))
        own = round_up(np.array([measures.threshold]), pixels.scores.dtype)
        keys = np.unique(np.concatenate([_thresholds(pixels), _at_ranks(highest), own[~np.isnan(own)]]))
        anomalous, overlap = _anomalous_above(pixels, keys, images)
        made = cls(
            normal=_above(maps, keys) - anomalous,
            anomalous=anomalous,
            overlap=overlap,
            regions=regions.astype(np.float64),
            steps=_steps(pixels, keys),
            own=None if np.isnan(own[0]) else keys.size - 1 - int(np.searchsorted(keys, own[0])),
            fpr_limit=fpr_limit,
        )
        approximate = made.measures(np.ones((1, images)))
        shifts = {
            name: measures.values.get(name, np.nan) - float(value[0]) for name, value in approximate.items()
        }
        return replace(made, shifts=shifts)

    def measures(self, weights: Array) -> Values:
        """Return the pixel measures of resamples; `weights` (r, N) say how often each image is drawn."""
        found, alarms = weights @ self.anomalous, weights @ self.normal
        anomalous, normal = found[:, -1:], alarms[:, -1:]
        rates, recall = ratio(alarms, normal), ratio(found, anomalous)
        overlap = ratio(weights @ self.overlap, (weights @ self.regions)[:, None])
        limits = {"pro": self.fpr_limit} | {f"pro_{limit:g}": limit for limit in FURTHER_LIMITS}
        values = {
            "pixel_auroc": _area(rates, recall, 1.0),
            "pixel_ap": _average_precision(recall, ratio(found, found + alarms), self.steps),
            "dice_max": ratio(2 * found, found + alarms + anomalous).max(axis=1),
            "aupimo": self._aupimo(weights),
            **{name: _area(rates, overlap, limit) / limit for name, limit in limits.items()},
            **({} if self.own is None else self._at_threshold(weights, self.own)),
        }
        return {name: np.clip(value + self.shifts.get(name, 0.0), 0, 1) for name, value in values.items()}

    def _at_threshold(self, weights: Array, own: int) -> Values:
        """Return the measures at the run's threshold, which are exact."""
        hits, judged = self.anomalous[:, own], self.anomalous[:, own] + self.normal[:, own]
        anomalous = self.anomalous[:, -1]
        found, size = weights @ hits, weights @ judged + weights @ anomalous
        of_images = ratio(2 * hits, judged + anomalous, undefined=0.0)
        return {
            "dice": ratio(2 * found, size),
            "iou": ratio(found, size - found),
            "dice_image": ratio(weights @ (of_images * (anomalous > 0)), weights @ (anomalous > 0)),
        }

    def _aupimo(self, weights: Array) -> Array:
        is_normal = self.regions == 0
        alarms = weights[:, is_normal] @ self.normal[is_normal]
        own = weights[:, ~is_normal]
        recall = own @ (self.anomalous[~is_normal] / self.anomalous[~is_normal, -1:])
        return _log_area(ratio(alarms, alarms[:, -1:]), ratio(recall, own.sum(axis=1, keepdims=True)))


def _area(x: Array, y: Array, limit: float) -> Array:
    """Return the areas under polylines (r, T) that begin at the origin, up to a limit of x, (r,)."""
    start, end = np.minimum(before(x), limit), np.minimum(x, limit)
    slope = _slope(x, y)
    return ((end - start) * (before(y) + slope * ((start + end) / 2 - before(x)))).sum(axis=1)


def _log_area(x: Array, y: Array) -> Array:
    """Return the areas under polylines over the logarithm of x between AUPIMO's bounds, divided by its range, (r,)."""
    low, high = BOUNDS
    start, end = np.clip(before(x), low, high), np.clip(x, low, high)
    slope = _slope(x, y)
    parts = (before(y) - slope * before(x)) * np.log(end / start) + slope * (end - start)
    return parts.sum(axis=1) / np.log(high / low)


def _slope(x: Array, y: Array) -> Array:
    """Return the slope of each line of polylines, 0 where it is vertical."""
    return ratio(y - before(y), x - before(x), undefined=0.0)


def _average_precision(recall: Array, precision: Array, steps: Array) -> Array:
    """Return the sums of precision over the increases of recall (r, T), (r,).

    A line stands for equal steps, each with the precision at its own end: a single step has that of the line's end, and
    many have about the mean of both ends. Where no pixel is judged anomalous there is no precision, and the line is
    level.
    """
    first = np.hstack([np.full((len(precision), 1), np.nan), precision[:, :-1]])
    first = np.where(np.isnan(first), precision, first)
    share = ratio(steps + 1, 2 * steps, undefined=1.0)
    heights = first + (precision - first) * share
    return np.nansum(np.diff(recall, axis=1, prepend=0.0) * heights, axis=1)


def _steps(pixels: PixelCounts, keys: NDArray[np.floating]) -> Array:
    """Count the distinct scores of anomalous pixels between each key and the next higher one, as `_above`."""
    bins = np.searchsorted(keys, np.unique(pixels.scores), side="right")
    return np.bincount(bins, minlength=keys.size + 1)[::-1].astype(np.float64)


def _thresholds(pixels: PixelCounts) -> NDArray[np.floating]:
    """Return scores at evenly spaced rates and recalls, and more where the rates are low."""
    known = np.concatenate([pixels.scores, round_up(pixels.thresholds, pixels.scores.dtype)])
    normal = np.concatenate([pixels.normal_at_or_above, pixels.normal_at_thresholds])
    order = np.argsort(normal)
    low, even = (
        np.geomspace(1, pixels.normal_pixels, _LOW_RATES),
        np.linspace(0, pixels.normal_pixels, _RATES),
    )
    places = np.minimum(np.searchsorted(normal[order], [*low, *even]), known.size - 1)
    ranks = np.linspace(0, pixels.anomalous_pixels - 1, _RECALLS).astype(int)
    return np.concatenate([known[order[places]], pixels.scores[ranks]])


def _at_ranks(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return some of ascending scores, more of the highest ones."""
    ranks = np.geomspace(1, max(1, scores.size), _NORMAL_RATES).astype(int)
    return scores[scores.size - ranks] if scores.size else scores


def _above(maps: Sliceable, keys: NDArray[np.floating]) -> Array:
    """Count the pixels of each map at or above each of some ascending keys, the highest first, and then all pixels."""
    counts = [np.empty((0, keys.size + 1))]
    for part in slices(maps):
        for scores in read_maps(maps, part):
            ascending = np.sort(scores, axis=None)
            above = ascending.size - np.searchsorted(ascending, keys)
            counts.append(np.append(above[::-1], ascending.size)[None])
    return np.concatenate(counts).astype(np.float64)


def _anomalous_above(pixels: PixelCounts, keys: NDArray[np.floating], images: int) -> tuple[Array, Array]:
    """Return the anomalous pixels of each image at or above each key, as `_above`, and these parts of its regions."""
    # a pixel lies at or above so many keys, the lowest ones
    bins = pixels.images[pixels.region] * (keys.size + 1) + np.searchsorted(keys, pixels.scores, side="right")
    counts = (np.bincount(bins, parts, images * (keys.size + 1)) for parts in (None, 1 / pixels.area))
    anomalous, overlap = (np.cumsum(each.reshape(images, -1)[:, ::-1], axis=1) for each in counts)
    return anomalous.astype(np.float64), overlap.astype(np.float64)
