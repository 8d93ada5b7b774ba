"""The fall of each method as its test images shift, level by level."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports.figures.captions import Seeds, caption, columns
from reports.figures.style import PAGE, drawing, legend_below, linestyles, markers, palette
from reports.model import Figure
from reports.naming import slug
from reports.shifted import left_alone, means, shifted, shifts_of, strengths
from reports.tables.captions import policies
from store.artifacts import Artifacts
from store.display_names import method_name
from store.shifts import LEVELS
from store.table import rows
from store.text import listed

ACROSS = 4
"""Panels side by side."""
CHANCE = 0.5


def shift_figures(cells: pd.DataFrame, artifacts: Artifacts) -> list[Figure]:
    """Return the figures of shifted test images: image AUROC, misses and false alarms by level; none without any."""
    table = shifted(cells, artifacts)
    if table.empty:
        return []
    averages, names, order = means(table), shifts_of(table), columns(cells)
    seeds: dict[str, Seeds[pd.DataFrame]] = {
        label: {str(seed): own for seed, own in table[table["label"] == label].groupby("seed", sort=False)}
        for label in order
    }
    at_threshold = f"at the image threshold of the images as they are, {policies(cells)}"
    contents = {
        "image_auroc": ("Image AUROC", "Image AUROC", "Image AUROC of shifted test images"),
        "misses": (
            "Misses",
            "Misses (%)",
            f"Anomalous images that are judged normal when test images shift, {at_threshold}",
        ),
        "false_alarms": (
            "False alarms",
            "False alarms (%)",
            f"Normal images that are judged anomalous when test images shift, {at_threshold}",
        ),
    }
    figures = []
    for measure, (title, axis, what) in contents.items():
        values = averages[measure] if measure == "image_auroc" else 100 * averages[measure]
        if values.isna().all():
            continue
        panels = {name: values.xs(name, level="shift").unstack("label") for name in names}
        text = [what, "level 0: the images as they are", strengths(table, names), _covered(cells, table)]
        text.append(left_alone(table))
        draw = partial(draw_shifts, panels, order, axis)
        full = caption("; ".join(filter(None, text)), cells, seeds, "shifts")
        figures.append(Figure(slug("shifts", measure), f"Shifts: {title.lower()}", full, draw, "results"))
    return figures


def draw_shifts(
    panels: Mapping[str, pd.DataFrame], order: Sequence[str], ylabel: str, width: float = PAGE
) -> Drawing:
    """Draw a panel per shift: a line per method over the levels.

    Parameters
    ----------
    panels
        By shift: a row per level, a column per label.
    order
        All labels; their order determines colours, lines and markers.
    ylabel
        The measure; one that ends with `%` begins at 0, others end at 1.
    """
    across = min(len(panels), ACROSS if width >= PAGE else ACROSS // 2)
    lines = -(-len(panels) // across)
    figure, axes = drawing(width, 0.6 + 1.5 * lines, lines, across, sharey=True)
    colours, styles, shapes = palette(order), linestyles(order), markers(order)
    for panel in axes.flat[len(panels) :]:
        panel.remove()
    for panel, (name, values) in zip(axes.flat, panels.items(), strict=False):
        for label in [label for label in order if label in values]:
            look = {"color": colours[label], "linestyle": styles[label], "marker": shapes[label]}
            panel.plot(
                values.index, values[label].to_numpy(float), label=method_name(label), markersize=2.5, **look
            )
        panel.set(title="JPEG" if name == "jpeg" else name.capitalize(), xlabel="Level", ylabel=ylabel)
        panel.set_xticks([0, *LEVELS])
        panel.grid()
    everything = np.concatenate([values.to_numpy(float).ravel() for values in panels.values()])
    if ylabel.endswith("(%)"):
        axes[0, 0].set_ylim(-2, max(10.0, 1.05 * np.nanmax(everything)))
    else:
        axes[0, 0].set_ylim(min(CHANCE, np.nanmin(everything)) - 0.02, 1.02)
    legend_below(figure)
    return figure


def _covered(cells: pd.DataFrame, table: pd.DataFrame) -> str:
    """Return over how many categories lines are means, and which methods have fewer."""
    every = rows(cells).nunique()
    own = table.groupby("label")["category"].nunique()
    fewer = [f"{label} ({count} of {every})" for label, count in own.items() if count < every]
    if every == 1:
        return ""
    return f"means over {every} categories" + (f", of fewer for {listed(fewer)}" if fewer else "")
