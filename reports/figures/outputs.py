"""What teacher and student say at single locations of the test images."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from reports.artifacts import Artifacts, Outputs
from reports.figures.shown import about, columns, drawn_seeds, find, lowest
from reports.figures.style import PAGE, drawing, log_scale
from reports.naming import slug
from reports.parts import Figure

BINS = 40
PAIRS = 400
"""How many pairs of either kind are drawn; more would hide each other."""
NORMAL, DEFECTIVE = "#0072B2", "#D55E00"
TEACHER, STUDENT = "#000000", "#E69F00"
WHAT = (
    "Top: distances between teacher and student at single locations, as parts of each kind's locations in bins of "
    "equal ratio; bottom: their outputs in one random orthographic projection, pairs joined by lines, as in figure 5 "
    "of Rudolph et al. (Asymmetric Student-Teacher Networks, 2023)"
)


def output_figures(cells: pd.DataFrame, artifacts: Artifacts) -> list[Figure]:
    """Return a figure per category of each method that shows its outputs, of the lowest seed."""
    found = find(cells, artifacts.outputs)
    figures = []
    for label in columns(cells):
        for category, methods in found.items():
            for seed, outputs in lowest(methods)[label].items():
                text = "; ".join(
                    [WHAT, about(cells, category), label, drawn_seeds(cells, {label: {seed: outputs}})]
                )
                figures.append(
                    Figure(
                        name=slug("outputs", label, category),
                        title=f"Teacher and student of {label} on {category}",
                        caption=text,
                        draw=partial(draw_outputs, outputs),
                        section="distributions",
                        category=category,
                        method=label,
                    )
                )
    return figures


def draw_outputs(outputs: Outputs) -> Drawing:
    """Draw the distances of normal and defective locations, and below each kind's pairs."""
    figure, axes = drawing(PAGE, 4.8, 2, 2, height_ratios=(1, 1.6))
    for panel in axes[0]:
        panel.remove()
    _draw_distances(figure.add_subplot(axes[0, 0].get_gridspec()[0, :]), outputs)
    shown = [np.flatnonzero(outputs.defective == kind)[:PAIRS] for kind in (False, True)]  # in random order
    both = np.concatenate([outputs.teacher[np.concatenate(shown)], outputs.student[np.concatenate(shown)]])
    middle, half = (both.min(axis=0) + both.max(axis=0)) / 2, 0.54 * np.ptp(both, axis=0).max()
    for panel, chosen, kind, name in zip(axes[1], shown, (False, True), ("Normal", "Defective"), strict=True):
        _draw_pairs(panel, outputs.teacher[chosen], outputs.student[chosen])
        # one scale everywhere, so that lengths can be compared
        panel.set(xlim=middle[0] + [-half, half], ylim=middle[1] + [-half, half], aspect="equal")
        count = np.count_nonzero(outputs.defective == kind)
        title = f"{name} locations ({len(chosen)} of {count})"
        panel.set(title=title, xlabel="Projection 1", ylabel="Projection 2")
    axes[1, 1].legend(loc="upper right")
    return figure


def _draw_distances(panel: Axes, outputs: Outputs) -> None:
    floor = np.finfo(np.float32).tiny
    positive = outputs.distance[outputs.distance > floor]
    low, high = (positive.min(), positive.max()) if positive.size else (floor, 1.0)
    # a margin, as borders are rounded
    edges = np.geomspace(low / 1.01, 1.01 * high, BINS + 1)
    kinds = ((False, "normal", NORMAL, ""), (True, "defective", DEFECTIVE, "////"))
    for kind, name, colour, hatch in kinds:
        # no distance at all joins the smallest
        chosen = np.maximum(outputs.distance[outputs.defective == kind], low)
        if chosen.size:
            parts = np.histogram(chosen, edges)[0] / chosen.size
            panel.stairs(parts, edges, fill=True, color=colour, alpha=0.35)
            panel.stairs(parts, edges, color=colour, hatch=hatch, label=f"{name} ({chosen.size} locations)")
    log_scale(panel, "x")
    panel.set(
        xlabel="Squared distance of teacher and student, mean over channels", ylabel="Part of the locations"
    )
    panel.legend(loc="upper left")


def _draw_pairs(panel: Axes, teacher: NDArray[np.float32], student: NDArray[np.float32]) -> None:
    lines = LineCollection(list(np.stack([teacher, student], axis=1)), colors="#808080", linewidths=0.3)
    panel.add_collection(lines)
    panel.plot(*teacher.T, "o", color=TEACHER, markersize=1.6, markeredgewidth=0, label="teacher")
    panel.plot(*student.T, "^", color=STUDENT, markersize=2, markeredgewidth=0, label="student")
