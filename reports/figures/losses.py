"""The course of training: losses, and the values by which an epoch was chosen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from reports.artifacts import Artifacts
from reports.figures.shown import about, columns, drawn_seeds, find, listed, lowest
from reports.figures.style import PAGE, drawing, legend_below, linestyles, log_scale, palette
from reports.naming import slug
from reports.parts import Figure

LOSS, SELECTION, BEST = "/loss", "/selection", "/best_epoch"
ACROSS = 3
"""Panels side by side."""
STEEP = 100
"""Values are drawn on a logarithmic axis where the largest is this many times the smallest."""


@dataclass(frozen=True)
class Course:
    """One curve of one run: values by epoch or step, and the one that was kept, if it was chosen by them."""

    values: Mapping[int, float]
    kept: int | None


def loss_figures(cells: pd.DataFrame, artifacts: Artifacts) -> list[Figure]:
    """Return one figure per method: a panel per stage and curve, a line per category, of the lowest seed.

    A method without any has no figure.
    """
    last = {
        str(run_id): dict(zip(own["metric"], own["value"], strict=True))
        for run_id, own in cells.groupby("run_id", sort=False)
    }
    names = {run: [name for name in own if name.endswith((LOSS, SELECTION))] for run, own in last.items()}
    found = find(cells, lambda run: run if names[run] else None)
    figures = []
    for label in columns(cells):
        runs = lowest({category: methods[label] for category, methods in found.items()})
        panels: dict[str, dict[str, Course]] = {}
        for category, seeds in runs.items():
            for run in seeds.values():
                for name in names[run]:
                    course = _course(artifacts.history(run, name), name, last[run])
                    panels.setdefault(name, {})[category] = course
        if panels:
            draw = partial(draw_losses, panels, list(runs))
            title, text = f"Training of {label}", _caption(cells, runs, panels)
            figures.append(Figure(slug("losses", label), title, text, draw, "curves", method=label))
    return figures


def draw_losses(panels: Mapping[str, Mapping[str, Course]], order: Sequence[str]) -> Drawing:
    """Draw a panel per curve.

    Parameters
    ----------
    panels
        By name of the metric and category.
    order
        All categories, by which colours are given.
    """
    lines = -(-len(panels) // ACROSS)
    wide = min(len(panels), ACROSS)
    figure, axes = drawing(PAGE, 0.7 + 1.8 * lines, lines, wide)
    colours, styles = palette(order), linestyles(order)
    for panel in axes.flat[len(panels) :]:
        panel.remove()
    for panel, (name, courses) in zip(axes.flat, panels.items(), strict=False):
        for category, course in courses.items():
            look = {"color": colours[category], "linestyle": styles[category], "linewidth": 0.8}
            panel.plot(list(course.values), list(course.values.values()), label=category, **look)
            if course.kept is not None and course.kept in course.values:
                panel.plot(
                    course.kept, course.values[course.kept], "o", color=colours[category], markersize=3
                )
        _name_axes(panel, name, list(courses.values()))
    legend_below(figure)
    return figure


def _course(values: Mapping[int, float], name: str, last: Mapping[str, float]) -> Course:
    """Return a curve with the epoch that was kept, where a run tells by what it was chosen."""
    stage = name.rpartition("/")[0]
    if not values or stage + SELECTION not in last or math.isnan(best := last.get(stage + BEST, math.nan)):
        return Course(values, None)
    # epochs count from 1; steps are told at every so many
    return Course(values, int(best) * min(values))


def _name_axes(panel: Axes, name: str, courses: Sequence[Course]) -> None:
    """Print what a panel shows; steep curves get a logarithmic axis."""
    epochs = all(min(course.values, default=1) == 1 for course in courses)
    what = "Loss" if name.endswith(LOSS) else "Value on held-out images"
    panel.set(title=name, xlabel="Epoch" if epochs else "Step", ylabel=what)
    numbers = [value for course in courses for value in course.values.values() if math.isfinite(value)]
    if numbers and min(numbers) > 0 and max(numbers) > STEEP * min(numbers):
        log_scale(panel, "y")
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    panel.grid()


def _caption(
    cells: pd.DataFrame, runs: Mapping[str, Mapping[str, str]], panels: Mapping[str, Mapping[str, Course]]
) -> str:
    parts = ["Course of training, a line per category"]
    if any(name.endswith(SELECTION) for name in panels):
        parts.append("dots: the epoch that was kept, that of the lowest value on held-out train images")
    parts += [about(cells), drawn_seeds(cells, runs)]
    if absent := [category for category, seeds in runs.items() if not seeds]:
        parts.append(f"no losses of {listed(absent)}")
    return "; ".join(parts)
