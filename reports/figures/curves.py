"""Curves against the false-positive rate: ROC of images and pixels, and the overlap of regions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from metrics import MEASURES
from reports.figures.captions import Found, Seeds, caption, columns, find
from reports.figures.style import PAGE, drawing, linestyles, palette, shorten, wrap
from reports.model import Figure
from reports.naming import slug
from reports.tables.seeds import values_by_seed
from store.artifacts import Artifacts
from store.display_names import method_name
from store.text import counted, joined

END = 0.3
"""Curves are drawn to this false-positive rate, beyond which they hardly differ, or to a higher limit of PRO."""
GRID = 501
"""Number of false-positive rates at which several curves are averaged."""
WIDTH = 28
"""Characters on a line of a legend, so that it is no wider than a panel."""
# (curve in curves.csv, measure, title, label of the y axis, in captions)
PANELS = (
    ("image_roc", "image_auroc", "ROC of images", "True-positive rate", "ROC of image scores"),
    ("pixel_roc", "pixel_auroc", "ROC of pixels", "True-positive rate", "ROC of pixels"),
    ("pro", "pro", "Overlap of regions", "Mean overlap per region", "mean overlap of ground-truth regions"),
)
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""False-positive rates and values, (N,) each."""
Curves = Mapping[str, Curve]
"""By their names in `curves.csv`."""


@dataclass(frozen=True)
class Line:
    """One method's curve in one panel, and its value in the legend."""

    curve: Curve
    note: str


Panels = Mapping[str, Mapping[str, Line]]
"""Lines by name in `curves.csv` and label."""


def curve_figures(
    cells: pd.DataFrame, artifacts: Artifacts, only: Collection[str] | None = None
) -> list[Figure]:
    """Return the ROC and PRO curves: one figure of the means over categories, one figure per category (of `only`).

    Curves of several seeds or categories are averaged vertically, at equal false-positive rates (Fawcett, 2006:
    An introduction to ROC analysis), so that the area under a mean is the mean of the areas. A category without
    curves has no figure.
    """
    found = find(cells, lambda run: curves_in(artifacts.curves(run)))
    drawn = {category: methods for category, methods in found.items() if any(methods.values())}
    values = {measure: values_by_seed(cells, measure) for _, measure, *_ in PANELS}
    limits = sorted({float(limit) for limit in pd.unique(cells["fpr_limit"]) if limit})
    order = columns(cells)
    figures = [_overview(cells, found, values, limits)] if len(drawn) > 1 else []
    for category, methods in drawn.items():
        if only is not None and category not in only:
            continue
        panels = {
            name: {
                label: Line(mean_curve(own), _number(values[measure], [category], label))
                for label, seeds in methods.items()
                if (own := curves_of(seeds.values(), name))
            }
            for name, measure, *_ in PANELS
        }
        text = caption(_what(panels, limits), cells, methods, "curves", category)
        draw = partial(draw_curves, panels, order, limits)
        name = slug("curves", category)
        figures.append(Figure(name, f"Curves of {category}", text, draw, "curves", category))
    return figures


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return a single curve unchanged, several as their vertical mean at `GRID` rates."""
    if len(curves) == 1:
        return curves[0]
    end = min(rates[-1] for rates, _ in curves)
    grid = np.linspace(0, end, GRID)
    return grid, np.mean([np.interp(grid, rates, values) for rates, values in curves], axis=0)


def curves_in(table: pd.DataFrame | None) -> Curves | None:
    """Return the curves in a table of `curves.csv`, {name: curve}: a tenth of its size in memory; None without any."""
    if table is None:
        return None
    curves = {
        str(name): (own["false_positive_rate"].to_numpy(float), own["value"].to_numpy(float))
        for name, own in table.groupby("curve", sort=False)
    }
    return curves or None


def curves_of(runs: Iterable[Curves], name: str) -> list[Curve]:
    """Return the curves of one name, without runs that lack it."""
    return [curves[name] for curves in runs if name in curves]


def draw_curves(
    panels: Panels,
    order: Sequence[str],
    limits: Sequence[float],
    width: float = PAGE,
) -> Drawing:
    """Draw a panel per kind of curve that has lines, its legend below; in a column, panels too are below each other.

    Parameters
    ----------
    panels
        See `Panels`.
    order
        All labels; their order determines the colours.
    limits
        False-positive rates to which PRO was integrated; those below the end of the axis are marked.
    """
    legends = {
        name: {
            label: wrap(f"{shorten(method_name(label))} {line.note}", WIDTH) for label, line in lines.items()
        }
        for name, lines in panels.items()
    }
    entries = max(len(texts) for texts in legends.values())
    lines = max(sum(text.count("\n") + 1 for text in texts.values()) for texts in legends.values())
    shown = _shown(panels)
    height, number = 2.6 + 0.05 * entries + 0.12 * lines, len(shown)
    if width < PAGE:
        figure, grid = drawing(width, 0.8 * number * height, number, 1)
    else:
        figure, grid = drawing(width, height, 1, number, sharey=True)
    colours, styles = palette(order), linestyles(order)
    end = _end(panels, limits)
    for panel, (name, measure, title, ylabel, _) in zip(grid.flat, shown, strict=True):
        for label, line in panels[name].items():
            look = {"color": colours[label], "linestyle": styles[label], "label": legends[name][label]}
            panel.plot(*line.curve, **look)
        if name == "pro":
            _mark(panel, [limit for limit in limits if limit < end])
        panel.set(title=title, xlabel="False-positive rate", ylabel=ylabel, ylim=(0, 1.02))
        panel.set_xlim(0, end)
        panel.grid()
        # at a fixed distance below the axes, whatever their height
        below = panel.transAxes + ScaledTranslation(0, -0.4, figure.dpi_scale_trans)
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "bbox_transform": below}
        panel.legend(title=MEASURES[measure].label, borderaxespad=0, **place)
    return figure


def _mark(panel: Axes, limits: Sequence[float]) -> None:
    for limit in limits:
        panel.axvline(limit, color="black", linewidth=0.7, linestyle=(0, (1, 1)))


def _overview(
    cells: pd.DataFrame,
    found: Found[Curves],
    values: Mapping[str, pd.DataFrame],
    limits: Sequence[float],
) -> Figure:
    """Return the figure of means over categories; the legend gives the number of categories of each curve."""
    order = columns(cells)
    panels: dict[str, dict[str, Line]] = {name: {} for name, *_ in PANELS}
    for name, measure, *_ in PANELS:
        for label in order:
            by_category = {c: curves_of(found[c][label].values(), name) for c in found}
            covered = [category for category, curves in by_category.items() if curves]
            if covered:
                fewer = f" [{len(covered)} of {len(found)}]" if len(covered) < len(found) else ""
                mean = mean_curve([mean_curve(by_category[category]) for category in covered])
                panels[name][label] = Line(mean, _number(values[measure], covered, label) + fewer)
    seeds: dict[str, Seeds[Curves]] = {
        label: {seed: table for methods in found.values() for seed, table in methods[label].items()}
        for label in order
    }
    what = f"{_what(panels, limits)}; means over {counted(len(found), 'category')}, or fewer where the legend says so"
    return Figure(
        name="curves",
        title="Mean curves",
        caption=caption(what, cells, seeds, "curves"),
        draw=partial(draw_curves, panels, order, limits),
        section="curves",
    )


def _shown(panels: Panels) -> list[tuple[str, str, str, str, str]]:
    """Return those of `PANELS` that have lines."""
    return [panel for panel in PANELS if panels[panel[0]]]


def _end(panels: Panels, limits: Sequence[float]) -> float:
    return max([END, *(limits if panels["pro"] else ())])


def _what(panels: Panels, limits: Sequence[float]) -> str:
    """Return the first part of a caption."""
    curves = joined([text for *_, text in _shown(panels)])
    named = ", ".join(f"{limit:g}" for limit in limits)
    limited = f" (limit of PRO: {named})" if limits and panels["pro"] else ""
    return f"{curves}, to a false-positive rate of {_end(panels, limits):g}{limited}"


def _number(values: pd.DataFrame, categories: Sequence[str], label: str) -> str:
    """Return the mean of a measure over categories and seeds, for the legend."""
    if values.empty:
        return "–"
    mean = values.loc[list(categories)].T.groupby(level="label", sort=False).mean().loc[label].mean()
    return "–" if np.isnan(mean) else f"{mean:.3f}"
