"""The two passes over the maps: gather the anomalous pixels, then look them up among sorted normal scores."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from metrics.regions import find_regions
from metrics.slices import Sliceable, read_maps, read_masks

# Anomalous scores looked up together, so that their part of a batch stays in the processor's cache.
_BLOCK = 2**13


@dataclass(eq=False)
class Gathered:
    """The anomalous pixels in the order of the maps; ``positions`` are their flat indices in each slice."""

    scores: NDArray[np.floating]
    region: NDArray[np.int64]
    areas: NDArray[np.int64]
    images: NDArray[np.int64]
    image_max: NDArray[np.floating]
    lowest: float
    positions: list[NDArray[np.intp]]


def gather(maps: Sliceable, masks: Sliceable, parts: list[slice]) -> Gathered:
    """Read all maps and masks once, for the anomalous pixels and the extremes."""
    regions = 0
    scores, image_max, region, areas, images, positions, lowest = [], [], [], [], [], [], [np.inf]
    for part in parts:
        anomalous, values = read_masks(masks, part), read_maps(maps, part)
        rows = values.reshape(len(values), -1)
        found = find_regions(anomalous)
        positions.append(np.flatnonzero(anomalous))
        scores.append(rows.reshape(-1)[positions[-1]])
        region.append(found.pixels + regions)
        areas.append(found.areas)
        images.append(found.images + part.start)
        image_max.append(rows.max(axis=1))
        lowest.append(float(rows.min()))
        regions += found.areas.size
    return Gathered(
        _joined(scores, np.float32),
        _joined(region, np.int64),
        _joined(areas, np.int64),
        _joined(images, np.int64),
        _joined(image_max, np.float32),
        min(lowest) if parts else np.nan,
        positions,
    )


def _joined(arrays: list[NDArray], dtype: DTypeLike) -> NDArray:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype)


def sorted_batches(
    maps: Sliceable, parts: list[slice], positions: list[NDArray[np.intp]], size: int, dtype: DTypeLike
) -> Iterator[NDArray[np.floating]]:
    """Yield all scores in ascending batches, the anomalous ones as minus infinity, below every lookup."""
    buffer = np.empty(size, dtype)
    used = 0
    for part, anomalous in zip(parts, positions, strict=True):
        scores = np.asarray(maps[part]).reshape(-1)
        if used + scores.size > size:
            buffer[:used].sort()
            yield buffer[:used]
            used = 0
        batch = buffer[used : used + scores.size]
        batch[:] = scores
        batch[anomalous] = -np.inf
        used += scores.size
    buffer[:used].sort()
    yield buffer[:used]


def add_counts(
    batch: NDArray[np.floating],
    scores: NDArray[np.floating],
    above: NDArray[np.int64],
    at_or_above: NDArray[np.int64],
) -> None:
    """Add how many of an ascending batch lie above, and at or above, each of some ascending scores."""
    starts = np.arange(0, scores.size, _BLOCK)
    first = np.searchsorted(batch, scores[starts], side="left")
    last = np.searchsorted(batch, scores[np.minimum(starts + _BLOCK, scores.size) - 1], side="right")
    for start, low, high in zip(starts.tolist(), first.tolist(), last.tolist(), strict=True):
        block = slice(start, start + _BLOCK)
        own, part = scores[block], batch[low:high]
        below = np.searchsorted(part, own, side="left")
        at_or_above[block] += batch.size - low - below
        if part.size:
            # few scores are tied with a normal one, and only these have to be looked up again
            tied = np.flatnonzero(part[np.minimum(below, part.size - 1)] == own)
            below[tied] = np.searchsorted(part, own[tied], side="right")
        above[block] += batch.size - low - below


def round_up(thresholds: NDArray[np.float64], dtype: DTypeLike) -> NDArray[np.floating]:
    """Return the smallest numbers of a precision that are not below the thresholds: the same scores reach them.

    Examples
    --------
    >>> round_up(np.array([0.1, 0.3]), np.float32).astype(float) >= [0.1, 0.3]
    array([ True,  True])
    """
    with np.errstate(over="ignore"):
        keys = thresholds.astype(dtype)
    return np.where(keys < thresholds, np.nextafter(keys, np.asarray(np.inf, dtype)), keys)
