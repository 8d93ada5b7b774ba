"""Image scores: their distribution over normal and anomalous images, and the AUROC of each kind of anomaly."""

import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator
from scipy.stats import mannwhitneyu

from metrics import is_oracle
from reports.figures.captions import Seeds, caption, columns, find, lowest
from reports.figures.style import (
    ANOMALOUS,
    NORMAL,
    PAGE,
    drawing,
    legend_below,
    name_ticks,
    shorten,
    side_by_side,
    wrap,
)
from reports.measured import measured
from reports.model import Figure
from reports.naming import slug
from reports.tables.captions import policies
from store.artifacts import Artifacts
from store.display_names import method_name
from store.table import labels, rows
from store.tags import IMAGE_THRESHOLD

BINS = 30
THRESHOLD = "image threshold"
ACROSS = 3
"""Panels side by side."""


def score_figures(
    cells: pd.DataFrame, artifacts: Artifacts, only: Collection[str] | None = None
) -> list[Figure]:
    """Return two figures per category (of `only`): histograms of image scores, and each kind of anomaly's AUROC."""
    found = find(cells, artifacts.scores, only)
    order, thresholds = columns(cells), _thresholds(cells)
    by_kind = {category: auroc_of_kinds(methods) for category, methods in found.items()}
    worst = min(
        (float(np.nanmin(kinds, initial=1)) for kinds, _ in by_kind.values() if kinds.size), default=1.0
    )
    oracle = any(is_oracle(policy) for policy in pd.unique(measured(cells)["threshold_policy"]) if policy)
    figures = []
    for category, methods in found.items():
        if not any(methods.values()):
            continue
        first = lowest(methods)
        panels = {
            label: (table, thresholds.get((category, label, seed), np.nan))
            for label, seeds in first.items()
            for seed, table in seeds.items()
        }
        what = f"Image scores of test images; line: the image threshold, {policies(cells)}"
        text = caption(what, cells, first, "scores", category)
        draw = partial(draw_histograms, panels, THRESHOLD + (" (oracle)" if oracle else ""))
        title = f"Scores of {category}"
        figures.append(Figure(slug("scores", category), title, text, draw, "distributions", category))
        kinds, counts = by_kind[category]
        if not kinds.empty:
            what = "Image AUROC of the anomalous images of one kind (their number in brackets) against all normal ones"
            text = caption(what, cells, methods, "scores", category)
            draw = partial(draw_kinds, kinds, counts, order, worst)
            title = f"Kinds of anomaly of {category}"
            figures.append(Figure(slug("kinds", category), title, text, draw, "distributions", category))
    return figures


def auroc_of_kinds(methods: Mapping[str, Seeds[pd.DataFrame]]) -> tuple[pd.DataFrame, "pd.Series[int]"]:
    """Return the image AUROC of each kind of anomaly against all normal images.

    Parameters
    ----------
    methods
        Tables of `scores.csv`, by label and seed.

    Returns
    -------
    The AUROCs, a row per kind and a column per label, mean over seeds, NaN without normal images; and the number
    of images of each kind.
    """
    entries, counts = [], {}
    for label, seeds in methods.items():
        for table in seeds.values():
            normal = table[table["label"] == 0]
            for kind, own in table[table["label"] == 1].groupby("kind", sort=False):
                entries.append((str(kind), label, _auroc(own["score"], normal["score"])))
                counts[str(kind)] = len(own)
    frame = pd.DataFrame(entries, columns=["kind", "label", "auroc"])
    if frame.empty:
        return pd.DataFrame(), pd.Series(dtype=int)
    means = frame.groupby(["kind", "label"], sort=False)["auroc"].mean().unstack("label")
    return means, pd.Series(counts)


def _auroc(anomalous: "pd.Series[float]", normal: "pd.Series[float]") -> float:
    """Return the fraction of pairs in the right order, ties half (Hanley and McNeil, 1982)."""
    if normal.empty:
        return math.nan
    pairs = mannwhitneyu(anomalous, normal, method="asymptotic").statistic
    return float(pairs / (len(anomalous) * len(normal)))


def draw_histograms(
    panels: Mapping[str, tuple[pd.DataFrame, float]], threshold_name: str = THRESHOLD, width: float = PAGE
) -> Drawing:
    """Draw a histogram of normal and anomalous images per method; a threshold of NaN is not drawn."""
    across = min(len(panels), ACROSS if width >= PAGE else 2)
    lines = -(-len(panels) // across)
    figure, axes = drawing(width, 0.5 + 1.7 * lines, lines, across)
    for panel in axes.flat[len(panels) :]:
        panel.remove()
    for panel, (label, (table, threshold)) in zip(axes.flat, panels.items(), strict=False):
        scores = table["score"].to_numpy(float)
        finite = scores[np.isfinite(scores)]
        edges = np.histogram_bin_edges(finite, bins=BINS)
        for value, name, colour, hatch in ((0, "normal", NORMAL, ""), (1, "anomalous", ANOMALOUS, "////")):
            counts, _ = np.histogram(finite[table["label"].to_numpy()[np.isfinite(scores)] == value], edges)
            panel.stairs(counts, edges, fill=True, color=colour, alpha=0.35)
            panel.stairs(counts, edges, color=colour, hatch=hatch, label=name)
        if np.isfinite(threshold):
            panel.axvline(threshold, color="black", linewidth=1, linestyle="--", label=threshold_name)
        left_out = len(scores) - len(finite)
        note = f" ({left_out} not finite)" if left_out else ""
        panel.set(
            title=wrap(shorten(method_name(label)) + note, 28 if width >= PAGE else 20),
            xlabel="Image score",
            ylabel="Images",
        )
        panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    legend_below(figure)
    return figure


def draw_kinds(
    kinds: pd.DataFrame,
    counts: "pd.Series[int]",
    order: Sequence[str],
    worst: float = 1.0,
    width: float = PAGE,
) -> Drawing:
    """Draw the AUROC of each kind of anomaly, a marker per method; `worst` is the lowest one of all categories."""
    figure, [[panel]] = drawing(width, 2.7)
    side_by_side(panel, kinds, order)
    panel.axhline(0.5, color="black", linewidth=0.7, linestyle=(0, (1, 1)))
    bottom = min(0.9, math.floor(10 * worst - 0.2) / 10)
    panel.set(xlabel="Kind of anomaly (number of images)", ylabel="Image AUROC", ylim=(bottom, 1.02))
    ticks = [wrap(f"{shorten(kind, 42)} ({counts[kind]})", 14) for kind in kinds.index]
    name_ticks(panel, ticks, width)
    legend_below(figure)
    return figure


def _thresholds(cells: pd.DataFrame) -> Mapping[tuple[str, str, str], float]:
    """Return the image thresholds of runs, by category, label and seed."""
    named = cells.assign(row=rows, label=labels)
    chosen = named[named["metric"] == IMAGE_THRESHOLD]
    return {
        (str(row), str(label), str(seed)): float(value)
        for row, label, seed, value in chosen[["row", "label", "seed", "value"]].itertuples(index=False)
    }
