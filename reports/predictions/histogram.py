"""The distribution of image scores as bars, for a drawing within the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

BINS = 40
WIDTH, HEIGHT = 800, 120
"""Units of the drawing; it is stretched to the width of the page."""


@dataclass(frozen=True)
class Bar:
    """A bar of one group of images, as a rectangle."""

    group: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Histogram:
    """The bars of all groups, one standing on another, the scores at both ends, and the place of the threshold."""

    bars: Sequence[Bar]
    low: float
    high: float
    most: int
    threshold: float | None


def histogram(groups: Mapping[str, Sequence[float]], threshold: float | None) -> Histogram | None:
    """Return the histogram of scores by group; None without scores."""
    values = np.concatenate([np.empty(0), *groups.values()])
    if not values.size:
        return None
    ends = [values.min(), values.max(), *([] if threshold is None else [threshold])]
    low, high = float(min(ends)), float(max(ends))
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    counts = {name: np.histogram(scores, edges)[0] for name, scores in groups.items()}
    most = int(sum(counts.values(), np.zeros(BINS, np.int64)).max())
    bars, below, width = [], np.zeros(BINS), WIDTH / BINS
    for name, count in counts.items():
        heights = HEIGHT * count / most
        bars += [
            Bar(
                name,
                round(i * width, 2),
                round(HEIGHT - below[i] - heights[i], 2),
                width,
                round(heights[i], 2),
            )
            for i in np.flatnonzero(count).tolist()
        ]
        below = below + heights
    place = None if threshold is None else round(WIDTH * (threshold - low) / (edges[-1] - low), 2)
    return Histogram(bars, low, float(edges[-1]), most, place)
