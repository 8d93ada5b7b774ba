"""Accuracy against latency: the methods as points, the Pareto front joined, each point labelled."""

import itertools
from collections.abc import Sequence
from functools import partial
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from reports.figures.captions import columns
from reports.figures.style import FAINT, PAGE, drawing, log_scale, markers, palette, shorten
from reports.model import Figure
from reports.tables.captions import title_of
from reports.tables.comparison import samples
from reports.tables.cost import LATENCY, conditions, cost_by_method, inference
from store.display_names import method_name
from store.table import rows

# candidate positions of a label: distances from the marker in points, and directions, preferred ones first
DISTANCES = (6, 13, 22, 33, 46)
DIRECTIONS = ((1, 0), (1, 1), (1, -1), (0, 1), (0, -1), (-1, 0), (-1, 1), (-1, -1))
# beyond this distance a thin line leads to the marker
FAR = 13
# characters of a label on one line
WIDE = 34
# latencies within this factor have a linear axis
NARROW = 4
# so few methods need no line to see which is better
FEW = 2
STEPS = "The stepped line is the Pareto front. "
ALIGNED, RAISED = {1: "left", 0: "center", -1: "right"}, {1: "bottom", 0: "center", -1: "top"}


def cost_figures(cells: pd.DataFrame, metric: str) -> list[Figure]:
    """Return the figure of one measure against latency; none without either.

    The measure is a method's mean over the categories in which all methods have a value, larger is better; the
    latency is the time of one image in milliseconds.
    """
    points = trade_off(cells, metric)
    if points.empty:
        return []
    title = title_of(metric)
    missing = [label for label in columns(cells) if label not in points.index]
    absent = f"Not drawn, as they lack one of the two: {', '.join(missing)}." if missing else ""
    caption = (
        f"{title}, mean over {_categories(cells, metric)}, against the median time for one image alone. "
        f"{inference(cells)} {STEPS if len(points) > FEW else ''}No other method is better in both "
        "than those with filled markers."
    )
    return [
        Figure(
            name=f"{metric}_against_latency",
            title=f"{title} against latency",
            caption=" ".join(filter(None, [caption, absent, *conditions(cells)])),
            draw=partial(draw_trade_off, points, title, columns(cells)),
            section="cost",
        )
    ]


def trade_off(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a row per method that has both: `latency` (ms per image) and `accuracy`, see `cost_figures`."""
    latency = cost_by_method(cells, LATENCY)["mean"]
    accuracy = samples(cells, metric).mean()
    both = pd.DataFrame({"latency": latency, "accuracy": accuracy}).dropna()
    return both.reindex([label for label in columns(cells) if label in both.index])


def _categories(cells: pd.DataFrame, metric: str) -> str:
    used, all_rows = len(samples(cells, metric)), rows(cells).nunique()
    if used == all_rows:
        return f"{used} categories" if used > 1 else "one category"
    return f"the {used} of {all_rows} categories in which every method has a value"


def front(points: pd.DataFrame) -> list[str]:
    """Return the Pareto front, fastest first: the methods that no other method dominates.

    A method dominates another if it is at least as fast and as accurate, and better in one of the two.

    Parameters
    ----------
    points
        A row per method: `latency`, smaller is better, and `accuracy`, larger is better.

    Examples
    --------
    >>> front(pd.DataFrame({"latency": [1, 2, 3], "accuracy": [0.5, 0.4, 0.9]}, index=["a", "b", "c"]))
    ['a', 'c']
    """
    dominated = [
        ((points["latency"] <= own.latency) & (points["accuracy"] >= own.accuracy)).to_numpy()
        & ((points["latency"] < own.latency) | (points["accuracy"] > own.accuracy)).to_numpy()
        for own in points.itertuples()
    ]
    kept = points[[not each.any() for each in dominated]]
    return [str(label) for label in kept.sort_values("latency", kind="stable").index]


def draw_trade_off(points: pd.DataFrame, title: str, order: Sequence[str], width: float = PAGE) -> Drawing:
    """Draw accuracy against latency, and the Pareto front of more than `FEW` methods as a stepped line.

    Parameters
    ----------
    points
        A row per method: `latency` (ms per image) and `accuracy`.
    title
        Name of the accuracy, for the axis.
    order
        All labels; their order determines colours and markers.
    """
    figure, [[axes]] = drawing(width, 3.2)
    best = front(points)
    colours, shapes = palette(order), markers(order)
    axes.margins(x=0.18, y=0.14)
    for label, latency, accuracy in points[["latency", "accuracy"]].itertuples():
        colour = colours[label]
        inner = colour if label in best else "white"
        axes.plot(
            latency, accuracy, shapes[label], color=colour, markerfacecolor=inner, markersize=6, zorder=3
        )
    if points["latency"].max() > NARROW * points["latency"].min():
        log_scale(axes, "x")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high)
    stairs = points.loc[best]
    # beyond its slowest method the front stays level
    x = [*stairs["latency"], high]
    y = [*stairs["accuracy"], stairs["accuracy"].iloc[-1]]
    if len(points) > FEW:
        axes.step(x, y, where="post", color=FAINT, linestyle="--", zorder=1)
    axes.set_ylim(axes.get_ylim())
    axes.set_xlabel("Latency of one image (ms)")
    axes.set_ylabel(title)
    axes.grid(axis="both")
    figure.draw_without_rendering()  # positions are known once the layout is done
    _name(axes, points, _treads(axes, x, y) if len(points) > FEW else [])
    return figure


def _name(axes: Axes, points: pd.DataFrame, steps: Sequence[Bbox]) -> None:
    """Write each method's name next to its marker, where it covers as little as possible of anything else."""
    dot = axes.figure.dpi / 72
    markers_at = axes.transData.transform(points[["latency", "accuracy"]].to_numpy(float))
    taken = [Bbox.from_bounds(x - 4 * dot, y - 4 * dot, 8 * dot, 8 * dot) for x, y in markers_at] + [*steps]
    for label, place in zip(points.index, markers_at, strict=True):
        name = fill(shorten(method_name(str(label))), WIDE)
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
    """Return the box of a name at a distance and direction from its marker."""
    right, up = direction
    x, y = place[0] + distance * right, place[1] + distance * up
    return Bbox.from_bounds(x + width * (right - 1) / 2, y + height * (up - 1) / 2, width, height)


def _covered(box: Bbox, taken: Sequence[Bbox], inside: Bbox) -> float:
    """Return the area in pixels in which a name would cover other things or lie outside the axes."""
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
