"""Training curves: losses, and the validation scores by which an epoch was chosen."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from reports.figures.captions import about, columns, drawn_seeds, find, lowest
from reports.figures.style import FAINT, PAGE, drawing, legend_below, linestyles, log_scale, palette
from reports.model import Figure
from reports.naming import slug
from store.artifacts import Artifacts
from store.display_names import method_name
from store.tags import BEST_EPOCH, LOSS, SELECTION
from store.text import listed

ACROSS = 3
"""Panels side by side."""
CROWDED = 20
"""Of more categories than this, the median is drawn, and each one as a thin grey line."""
STEEP = 100
"""Values are drawn on a logarithmic axis where the largest is this many times the smallest."""


@dataclass(frozen=True)
class LossCurve:
    """One curve of one run: values by epoch or step, and the epoch that was kept, if it was chosen by validation."""

    values: Mapping[int, float]
    kept: int | None


def loss_figures(
    cells: pd.DataFrame, artifacts: Artifacts, only: Collection[str] | None = None
) -> list[Figure]:
    """Return one figure per method: a panel per stage and curve, a line per category (of `only`), for the lowest seed.

    A method without curves has no figure.
    """
    last = {
        str(run_id): dict(zip(own["metric"], own["value"], strict=True))
        for run_id, own in cells.groupby("run_id", sort=False)
    }
    names = {
        run: [name for name in metrics if name.endswith((LOSS, SELECTION))] for run, metrics in last.items()
    }
    found = find(cells, lambda run: run if names[run] else None, only)
    figures = []
    for label in columns(cells):
        runs = lowest({category: methods[label] for category, methods in found.items()})
        panels: dict[str, dict[str, LossCurve]] = {}
        for category, seeds in runs.items():
            for run in seeds.values():
                for name in names[run]:
                    curve = _curve(artifacts.history(run, name), name, last[run])
                    panels.setdefault(name, {})[category] = curve
        if panels:
            draw = partial(draw_losses, panels, list(runs))
            title, text = f"Training of {method_name(label)}", _caption(cells, runs, panels)
            figures.append(Figure(slug("losses", label), title, text, draw, "curves", method=label))
    return figures


def draw_losses(
    panels: Mapping[str, Mapping[str, LossCurve]], order: Sequence[str], width: float = PAGE
) -> Drawing:
    """Draw a panel per curve.

    Parameters
    ----------
    panels
        Curves by name of the metric and category.
    order
        All categories; their order determines the colours.
    """
    across = min(len(panels), ACROSS if width >= PAGE else 1)
    lines = -(-len(panels) // across)
    figure, axes = drawing(width, 0.7 + 1.8 * lines, lines, across)
    colours, styles = palette(order), linestyles(order)
    for panel in axes.flat[len(panels) :]:
        panel.remove()
    for panel, (name, curves) in zip(axes.flat, panels.items(), strict=False):
        if len(order) > CROWDED:
            _draw_many(panel, list(curves.values()))
            _name_axes(panel, name, list(curves.values()))
            continue
        for category, curve in curves.items():
            look = {"color": colours[category], "linestyle": styles[category], "linewidth": 0.8}
            panel.plot(list(curve.values), list(curve.values.values()), label=category, **look)
            if curve.kept is not None:
                kept = curve.values[curve.kept]
                panel.plot(curve.kept, kept, "o", color=colours[category], markersize=3)
        _name_axes(panel, name, list(curves.values()))
    legend_below(figure)
    return figure


def _draw_many(panel: Axes, curves: Sequence[LossCurve]) -> None:
    """Draw all curves alike, and their median where at least half of them have a value."""
    for i, curve in enumerate(curves):
        label = "a category" if i == 0 else "_"
        steps, values = list(curve.values), list(curve.values.values())
        panel.plot(steps, values, color=FAINT, linewidth=0.4, label=label)
    table = pd.DataFrame([curve.values for curve in curves]).sort_index(axis=1)
    median = table.median()[table.count() * 2 >= len(curves)]
    panel.plot(median.index, median.to_numpy(float), color="black", label=f"median of {len(curves)}")


def _curve(values: Mapping[int, float], name: str, last: Mapping[str, float]) -> LossCurve:
    """Return a curve, with the epoch that was kept where validation scores chose it."""
    stage = name.rpartition("/")[0]
    best = last.get(stage + BEST_EPOCH, math.nan)
    if not values or stage + SELECTION not in last or math.isnan(best):
        return LossCurve(values, None)
    return LossCurve(values, dict(enumerate(sorted(values), 1)).get(int(best)))  # rounds count from 1


def _name_axes(panel: Axes, name: str, curves: Sequence[LossCurve]) -> None:
    """Label the axes of a panel; steep curves get a logarithmic axis."""
    epochs = all(min(curve.values, default=1) == 1 for curve in curves)
    what = "Loss" if name.endswith(LOSS) else "Validation score"
    stage = name.removesuffix(LOSS).removesuffix(SELECTION).replace("_", " ")
    panel.set(
        title=f"{stage.capitalize()}: {what.lower()}", xlabel="Epoch" if epochs else "Step", ylabel=what
    )
    numbers = [value for curve in curves for value in curve.values.values() if math.isfinite(value)]
    if numbers and min(numbers) > 0 and max(numbers) > STEEP * min(numbers):
        log_scale(panel, "y")
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    panel.grid()


def _caption(
    cells: pd.DataFrame, runs: Mapping[str, Mapping[str, str]], panels: Mapping[str, Mapping[str, LossCurve]]
) -> str:
    many = len(runs) > CROWDED
    parts = [
        "Training curves, a line per category" + (f" ({len(runs)} of them), and their median" if many else "")
    ]
    if any(name.endswith(SELECTION) for name in panels) and not many:
        parts.append("dots: the epoch that was kept, the one with the lowest value on the validation images")
    parts += [about(cells), drawn_seeds(cells, runs)]
    if absent := [category for category, seeds in runs.items() if not seeds]:
        parts.append(f"no losses of {listed(absent)}")
    return "; ".join(parts)
