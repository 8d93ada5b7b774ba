"""Outputs of teacher and student at sampled locations of the test images."""

from collections.abc import Collection
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from reports.figures.captions import about, columns, drawn_seeds, find, lowest
from reports.figures.style import ANOMALOUS, NORMAL, PAGE, drawing, legend_below, log_scale, wrap
from reports.model import Figure
from reports.naming import slug
from store.artifacts import Artifacts
from store.display_names import method_name
from store.files import Pairs
from store.text import counted

BINS = 40
DRAWN = 400
"""So many pairs of each kind are drawn; more would hide each other."""
TEACHER, STUDENT = "#000000", "#E69F00"
WHAT = (
    "Top: distances between teacher and student at single locations, as fractions of the normal or anomalous "
    "locations in bins of equal ratio; bottom: their outputs in one random orthographic projection, pairs joined by "
    "lines, as in figure 5 of Rudolph et al. (Asymmetric Student-Teacher Networks, 2023)"
)


def pair_figures(
    cells: pd.DataFrame, artifacts: Artifacts, only: Collection[str] | None = None
) -> list[Figure]:
    """Return a figure per category (of `only`) and method that keeps pairs, for the lowest seed."""
    found = find(cells, artifacts.pairs, only)
    figures = []
    for label in columns(cells):
        for category, methods in found.items():
            for seed, pairs in lowest(methods)[label].items():
                text = [WHAT, about(cells, category), label, drawn_seeds(cells, {label: {seed: pairs}})]
                figures.append(
                    Figure(
                        name=slug("pairs", label, category),
                        title=f"Teacher and student of {method_name(label)} on {category}",
                        caption="; ".join(text),
                        draw=partial(draw_pairs, pairs),
                        section="distributions",
                        category=category,
                        method=label,
                    )
                )
    return figures


def draw_pairs(pairs: Pairs, width: float = PAGE) -> Drawing:
    """Draw the distances at normal and anomalous locations, and below them the pairs of each kind."""
    figure, axes = drawing(width, 4.8 if width >= PAGE else 4.2, 2, 2, height_ratios=(1, 1.6))
    for panel in axes[0]:
        panel.remove()
    distances = figure.add_subplot(axes[0, 0].get_gridspec()[0, :])
    _draw_distances(distances, pairs)
    shown = [np.flatnonzero(pairs.anomalous == kind)[:DRAWN] for kind in (False, True)]  # in random order
    both = np.concatenate([pairs.teacher[np.concatenate(shown)], pairs.student[np.concatenate(shown)]])
    middle, half = (both.min(axis=0) + both.max(axis=0)) / 2, 0.54 * np.ptp(both, axis=0).max()
    for panel, chosen, kind, name in zip(axes[1], shown, (False, True), ("Normal", "Anomalous"), strict=True):
        _join(panel, pairs.teacher[chosen], pairs.student[chosen])
        # one scale everywhere, so that lengths can be compared
        panel.set(xlim=middle[0] + [-half, half], ylim=middle[1] + [-half, half], aspect="equal")
        count = np.count_nonzero(pairs.anomalous == kind)
        title = wrap(f"{name} locations ({len(chosen)} of {count})", 40 if width >= PAGE else 20)
        panel.set(title=title, xlabel="Projection 1", ylabel="Projection 2")
    if width < PAGE:
        legend_below(figure)
    else:
        distances.legend(loc="upper left")
        axes[1, 1].legend(loc="upper right")
    return figure


def _draw_distances(panel: Axes, pairs: Pairs) -> None:
    floor = np.finfo(np.float32).tiny
    positive = pairs.distance[pairs.distance > floor]
    low, high = (positive.min(), positive.max()) if positive.size else (floor, 1.0)
    # a margin, as the edges are rounded
    edges = np.geomspace(low / 1.01, 1.01 * high, BINS + 1)
    kinds = ((False, "normal", NORMAL, ""), (True, "anomalous", ANOMALOUS, "////"))
    for kind, name, colour, hatch in kinds:
        # distances of zero go to the first bin
        chosen = np.maximum(pairs.distance[pairs.anomalous == kind], low)
        if chosen.size:
            fractions = np.histogram(chosen, edges)[0] / chosen.size
            panel.stairs(fractions, edges, fill=True, color=colour, alpha=0.35)
            panel.stairs(
                fractions,
                edges,
                color=colour,
                hatch=hatch,
                label=f"{name} ({counted(chosen.size, 'location')})",
            )
    log_scale(panel, "x")
    panel.set(
        xlabel="Squared distance of teacher and student,\nmean over channels", ylabel="Fraction of locations"
    )


def _join(panel: Axes, teacher: NDArray[np.float32], student: NDArray[np.float32]) -> None:
    """Draw teacher and student as points, each pair joined by a line."""
    lines = LineCollection(list(np.stack([teacher, student], axis=1)), colors="#808080", linewidths=0.3)
    panel.add_collection(lines)
    panel.plot(*teacher.T, "o", color=TEACHER, markersize=1.6, markeredgewidth=0, label="teacher")
    panel.plot(*student.T, "^", color=STUDENT, markersize=2, markeredgewidth=0, label="student")
