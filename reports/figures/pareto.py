"""Methods in the plane of latency and accuracy, the best compromises joined, each named where it stands."""

import itertools
from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from reports.figures.style import FAINT, PAGE, drawing, log_scale, markers, palette

# where a name may stand: distances from the marker in points, and directions, the usual first
DISTANCES = (6, 13, 22, 33, 46)
DIRECTIONS = ((1, 0), (1, 1), (1, -1), (0, 1), (0, -1), (-1, 0), (-1, 1), (-1, -1))
# from here on a thin line leads to the marker
FAR = 13
# characters of a name on one line
WIDE = 34
# latencies within this factor need ticks between whole numbers
NARROW = 4
ALIGNED, RAISED = {1: "left", 0: "center", -1: "right"}, {1: "bottom", 0: "center", -1: "top"}


def front(points: pd.DataFrame) -> list[str]:
    """Return the methods that no other beats, from the fastest on: the Pareto front.

    A method is beaten by one that is at least as fast and as accurate, and better in one of the two.

    Parameters
    ----------
    points
        A row per method: `latency`, smaller is better, and `accuracy`, larger is better.

    Examples
    --------
    >>> front(pd.DataFrame({"latency": [1, 2, 3], "accuracy": [0.5, 0.4, 0.9]}, index=["a", "b", "c"]))
    ['a', 'c']
    """
    beaten = [
        ((points["latency"] <= own.latency) & (points["accuracy"] >= own.accuracy)).to_numpy()
        & ((points["latency"] < own.latency) | (points["accuracy"] > own.accuracy)).to_numpy()
        for own in points.itertuples()
    ]
    kept = points[[not each.any() for each in beaten]]
    return [str(label) for label in kept.sort_values("latency", kind="stable").index]


def draw_trade_off(points: pd.DataFrame, title: str, order: Sequence[str]) -> Drawing:
    """Draw accuracy against latency, and the Pareto front as a stepped line.

    Parameters
    ----------
    points
        A row per method: `latency` (ms per image) and `accuracy`.
    title
        Of the accuracy.
    order
        All labels, by which colours and markers are given.
    """
    figure, [[axes]] = drawing(PAGE, 3.2)
    best = front(points)
    colours, shapes = palette(order), markers(order)
    axes.margins(x=0.18, y=0.14)
    for label, latency, accuracy in points[["latency", "accuracy"]].itertuples():
        colour = colours[label]
        inner = colour if label in best else "white"
        axes.plot(
            latency, accuracy, shapes[label], color=colour, markerfacecolor=inner, markersize=6, zorder=3
        )
    log_scale(axes, "x")
    low, high = axes.get_xlim()
    if high < NARROW * low:
        axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlim(low, high)
    stairs = points.loc[best]
    # slower than the slowest of the front is no better than it
    x = [*stairs["latency"], high]
    y = [*stairs["accuracy"], stairs["accuracy"].iloc[-1]]
    axes.step(x, y, where="post", color=FAINT, linestyle="--", zorder=1)
    axes.set_ylim(axes.get_ylim())
    axes.set_xlabel("latency of one image (ms)")
    axes.set_ylabel(title)
    axes.grid(axis="both")
    figure.draw_without_rendering()  # places are known once all is laid out
    _name(axes, points, _treads(axes, x, y))
    return figure


def _name(axes: Axes, points: pd.DataFrame, steps: Sequence[Bbox]) -> None:
    """Write each method's name beside its marker, where it covers as little as possible of anything else."""
    dot = axes.figure.dpi / 72
    markers_at = axes.transData.transform(points[["latency", "accuracy"]].to_numpy(float))
    taken = [Bbox.from_bounds(x - 4 * dot, y - 4 * dot, 8 * dot, 8 * dot) for x, y in markers_at] + [*steps]
    for label, place in zip(points.index, markers_at, strict=True):
        name = fill(str(label), WIDE)
        width, height = _size(axes, name)
        tried = [
            (distance, direction, _box(place, width, height, distance * dot, direction))
            for distance, direction in itertools.product(DISTANCES, DIRECTIONS)
        ]
        distance, (right, up), box = min(tried, key=lambda each: _covered(each[2], taken, axes.bbox))
        axes.annotate(
            name,
            points.loc[label, ["latency", "accuracy"]].to_numpy(float),
            (distance * right, distance * up),
            textcoords="offset points",
            ha=ALIGNED[right],
            va=RAISED[up],
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "#555555"} if distance > FAR else None,
            in_layout=False,
            zorder=4,
        )
        taken.append(box)


def _size(axes: Axes, label: str) -> tuple[float, float]:
    """Return width and height of a name in pixels."""
    text = axes.text(0, 0, label)
    extent = text.get_window_extent()
    text.remove()
    return extent.width, extent.height


def _box(
    place: NDArray[np.float64], width: float, height: float, distance: float, direction: tuple[int, int]
) -> Bbox:
    """Return what a name covers that stands off its marker in a direction."""
    right, up = direction
    x, y = place[0] + distance * right, place[1] + distance * up
    return Bbox.from_bounds(x + width * (right - 1) / 2, y + height * (up - 1) / 2, width, height)


def _covered(box: Bbox, taken: Sequence[Bbox], inside: Bbox) -> float:
    """Return the area in pixels that a name would cover of other things, or that would lie outside."""
    shared = [Bbox.intersection(box, other) for other in [inside, *taken]]
    within, *others = [0.0 if each is None else each.width * each.height for each in shared]
    return box.width * box.height - within + sum(others)


def _treads(axes: Axes, x: Sequence[float], y: Sequence[float]) -> list[Bbox]:
    """Return the horizontal and vertical parts of a stepped line in pixels, two pixels wide."""
    corners = [
        point for (a, b), c in zip(zip(x, y, strict=True), x[1:], strict=False) for point in ((a, b), (c, b))
    ]
    pixels = axes.transData.transform([*corners, (x[-1], y[-1])])
    return [Bbox([np.minimum(a, b) - 1, np.maximum(a, b) + 1]) for a, b in itertools.pairwise(pixels)]
