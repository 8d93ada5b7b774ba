"""The measures once more, slowly: plain loops written straight from the definitions.

Nothing here is clever, so that a reader can compare each function with its definition line by line.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Masks = NDArray[np.bool_]
Maps = NDArray[np.floating]
Region = list[tuple[int, int, int]]
Points = list[tuple[float, float]]


def random_test_set(
    seed: int, *, images: int = 5, size: int = 16, levels: int | None = None, dtype: DTypeLike = np.float64
) -> tuple[NDArray[Any], Masks]:
    """Maps (N, H, W) that are a little higher inside the random rectangles of the masks.

    Every second image has one to three rectangles. With ``levels``, scores are rounded to that many values.
    """
    rng = np.random.default_rng(seed)
    masks = np.zeros((images, size, size), dtype=bool)
    for mask in masks[::2]:
        for _ in range(rng.integers(1, 4)):
            y, x = rng.integers(0, size - 4, 2)
            mask[y : y + rng.integers(1, 6), x : x + rng.integers(1, 6)] = True
    maps = rng.normal(size=masks.shape) + 1.5 * masks
    if levels:
        maps = np.round((maps - maps.min()) / np.ptp(maps) * (levels - 1))
    return maps.astype(dtype), masks


def random_images(levels: int | None, count: int = 60) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Labels and scores of images; with ``levels``, scores are rounded to about that many values."""
    rng = np.random.default_rng(0)
    labels = rng.random(count) < 0.6
    scores = rng.normal(size=count) + labels
    return labels, scores if levels is None else np.round(scores * levels / 4)


def regions_of(masks: Masks) -> list[Region]:
    """Return each region as a list of (image, y, x), grown pixel by pixel over the eight neighbours."""
    left = {(int(image), int(y), int(x)) for image, y, x in np.argwhere(masks)}
    regions: list[Region] = []
    while left:
        region: Region = []
        frontier = [left.pop()]
        while frontier:
            image, y, x = frontier.pop()
            region.append((image, y, x))
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    neighbour = (image, y + dy, x + dx)
                    if neighbour in left:
                        left.remove(neighbour)
                        frontier.append(neighbour)
        regions.append(region)
    return regions


def rate_and_overlap(predicted: Masks, masks: Masks, regions: list[Region]) -> tuple[float, float]:
    """False positive rate and mean covered part of the regions, of one boolean prediction."""
    rate = np.count_nonzero(predicted & ~masks) / np.count_nonzero(~masks)
    overlap = np.mean([np.mean([predicted[pixel] for pixel in region]) for region in regions])
    return rate, float(overlap)


def area_up_to(points: Points, limit: float) -> float:
    """Area under the polyline through the (x, y) points, x ascending, from 0 to the limit."""
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= limit or x1 == x0:
            continue
        end = min(x1, limit)
        y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (y0 + y_end) / 2 * (end - x0)
    return area


def exact(maps: Maps, masks: Masks, limit: float) -> float:
    """PRO from the full curve: one point for each distinct score, joined by straight lines."""
    regions = regions_of(masks)
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        points.append(rate_and_overlap(maps >= threshold, masks, regions))
    return area_up_to(points, limit) / limit


def official_100(maps: Maps, masks: Masks, limit: float) -> float:
    """PRO at 100 thresholds equidistant in rank over the normal scores."""
    regions = regions_of(masks)
    normal = np.sort(maps[~masks])
    points = [(1.0, 1.0)]
    for rank in np.linspace(0, len(normal) - 1, 100).astype(int):
        _, overlap = rate_and_overlap(maps > normal[rank], masks, regions)
        points.append((1 - (rank + 1) / len(normal), overlap))
    return area_up_to(points[::-1], limit) / limit


def per_image_200(maps: Maps, masks: Masks, limit: float) -> float:
    """Mean over anomalous images of PRO at 200 linear thresholds, rates divided by their maximum."""
    values = []
    for one_map, one_mask in zip(maps, masks, strict=True):
        if not one_mask.any():
            continue
        one_map, one_mask = one_map[None], one_mask[None]
        regions = regions_of(one_mask)
        points = []
        for threshold in np.arange(one_map.min(), one_map.max(), (one_map.max() - one_map.min()) / 200):
            rate, overlap = rate_and_overlap(one_map > threshold, one_mask, regions)
            if rate < limit:
                points.append((rate, overlap))
        largest = max(rate for rate, _ in points)
        values.append(area_up_to([(rate / largest, overlap) for rate, overlap in points[::-1]], 1))
    return float(np.mean(values))


def rescaled(maps: Maps, masks: Masks, limit: float) -> float:
    """PRO at 4000 linear thresholds over all maps, rates and overlaps both stretched to 0..1."""
    regions = regions_of(masks)
    points = []
    for step in range(4000):
        threshold = maps.max() - step * ((maps.max() - maps.min()) / 4000)
        rate, overlap = rate_and_overlap(maps > threshold, masks, regions)
        if rate > limit:
            break  # rates only rise from here
        points.append((rate, overlap))
    rates, overlaps = np.array(points).T
    rates = (rates - rates.min()) / (rates.max() - rates.min())
    overlaps = (overlaps - overlaps.min()) / (overlaps.max() - overlaps.min())
    return area_up_to(list(zip(rates, overlaps, strict=True)), 1)


def dice_at(maps: Maps, masks: Masks, threshold: float) -> float:
    """Dice of all pixels at or above a threshold."""
    predicted = maps >= threshold
    true = np.count_nonzero(predicted & masks)
    false = np.count_nonzero(predicted & ~masks)
    missed = np.count_nonzero(~predicted & masks)
    return 2 * true / (2 * true + false + missed)


def dice_max(maps: Maps, masks: Masks) -> tuple[float, float]:
    """Return the largest Dice over every distinct score as threshold, and the highest such threshold."""
    return max((dice_at(maps, masks, threshold), threshold) for threshold in np.unique(maps))
