"""The comparison tables as figures: heat maps, and box plots over categories."""

from collections.abc import Collection, Sequence
from functools import partial

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from metrics import MEASURES
from reports.figures.captions import about
from reports.figures.style import COLUMN, PAGE, drawing, name_ticks, palette, room_for, shorten, wrap
from reports.model import DASH, Figure
from reports.naming import slug
from reports.tables.captions import policies, title_of
from reports.tables.formatting import DIGITS, states
from reports.tables.seeds import Spread, describe_seeds, summary
from store.display_names import method_name
from store.text import counted, listed

COLOUR_MAP = "viridis"
CHANCE = 0.5
ENOUGH = 3
"""Quartiles need at least so many categories."""
FIELD, CHARACTER = 0.9, 0.065
"""Widths in inches of a field of a heat map, and of a character of a name next to it."""
LINE, LABEL = 90, 36
"""Characters on a line over the whole figure, and at most in the name of a category."""
CROWDED = 20
"""Points of more categories than this are drawn smaller, as they would cover the box."""


def summary_figures(
    cells: pd.DataFrame, metrics: Sequence[str], only: Collection[str] | None = None
) -> list[Figure]:
    """Return two figures per measure: a heat map of method and category (of `only`), and a box plot over all."""
    figures = []
    for metric in metrics:
        if (found := summary(cells, metric, {})) is None:
            continue
        table, spread = found
        title, details = title_of(metric), _details(cells, metric, table, spread)
        what = f"{title} of each method and category, hatched where there is no value"
        part = table if only is None else table[table.index.isin(only)]
        if len(part) < len(table):
            what = f"{what}; {len(part)} of {counted(len(table), 'category')}"
        # the same colours in every report: from chance, or from the worst value, to the best
        draw = partial(
            draw_heat, part, words(cells, part), title, CHANCE if metric.endswith("auroc") else 0.0
        )
        figures.append(Figure(slug("heat", metric), f"{title}, all", f"{what}; {details}", draw, "results"))
        if len(table) >= ENOUGH:
            what = f"{title} over {len(table)} categories: median, quartiles, and each category as a point"
            draw = partial(draw_boxes, table, title)
            name, heading = slug("boxes", metric), f"{title} over categories"
            figures.append(Figure(name, heading, f"{what}; {details}", draw, "results"))
    return figures


def words(cells: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the text of each entry of a table: its number, or the reason why there is none."""
    numbers = table.map(lambda value: f"{value:.{DIGITS}f}").astype(object)
    return numbers.where(table.notna(), states(cells).reindex_like(table).fillna(DASH))


def draw_heat(
    table: pd.DataFrame, words: pd.DataFrame, title: str, lowest: float, width: float = PAGE
) -> Drawing:
    """Draw a heat map with a number or word in each field; colours reach from `lowest` to 1."""
    places = [shorten(str(row), LABEL) for row in table.index]
    names = _broken([*map(str, table)], LINE - max(map(len, places)))
    # fields about as wide as their text, however few the methods are
    width = min(width, max(COLUMN, 1 + CHARACTER * max(map(len, places)) + FIELD * len(names)))
    for_names = width - CHARACTER * max(map(len, places))
    figure, [[panel]] = drawing(width, max(1.2, 0.4 + 0.19 * len(table)) + room_for(names, for_names))
    seaborn.heatmap(
        table.astype(float),
        cmap=COLOUR_MAP,
        vmin=lowest,
        vmax=1,
        annot=words.to_numpy(str),
        fmt="",
        annot_kws={"fontsize": 7},
        cbar_kws={"label": title, "fraction": 0.03, "pad": 0.01},
        ax=panel,
    )
    for y, x in np.argwhere(table.isna().to_numpy()):
        panel.add_patch(Rectangle((x, y), 1, 1, facecolor="white", edgecolor="#B3B3B3", hatch="////"))
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        panel.text(x + 0.5, y + 0.5, words.iat[y, x], ha="center", va="center", fontsize=7, bbox=box)
    panel.set(xlabel="", ylabel="")
    name_ticks(panel, names, for_names, first=0.5)
    panel.set_yticks(np.arange(len(table)) + 0.5, places, rotation=0)
    panel.tick_params(length=0)
    return figure


def draw_boxes(table: pd.DataFrame, title: str, width: float = PAGE) -> Drawing:
    """Draw a box per method, with its categories as points."""
    names, colours = _broken([*map(str, table)], LINE), palette(map(str, table))
    figure, [[panel]] = drawing(width, 2.3 + room_for(names, width))
    values = [table[name].dropna().to_numpy(float) for name in table]
    # not seaborn's boxplot, which uses a deprecated option of matplotlib
    black = {"color": "black", "linewidth": 0.8}
    boxes = panel.boxplot(
        values,
        positions=range(len(names)),
        widths=0.5,
        patch_artist=True,
        showfliers=False,
        medianprops=black,
        whiskerprops=black,
        capprops=black,
    )
    for box, name in zip(boxes["boxes"], map(str, table), strict=True):
        box.set(facecolor=colours[name], alpha=0.4, linewidth=0.8)
    # seeded, so that the figure is reproducible
    jitter = np.random.default_rng(0).uniform(-0.12, 0.12, table.shape)
    places = (np.arange(len(names)) + jitter)[table.notna().to_numpy()]
    size = 3 if len(table) <= CROWDED else 2
    points = table.to_numpy(float)[table.notna().to_numpy()]
    panel.plot(places, points, "o", color="black", markersize=size, alpha=0.6, markeredgewidth=0)
    panel.set(xlabel="Method", ylabel=title)
    name_ticks(panel, names, width)
    panel.grid(axis="y")
    return figure


def _details(cells: pd.DataFrame, metric: str, table: pd.DataFrame, spread: Spread) -> str:
    """Return the rest of a caption: data, seeds, categories that methods lack, thresholds."""
    measure = MEASURES.get(metric)
    parts = [about(cells), describe_seeds(spread.seeds)]
    numbers = pd.Series({label: len(seeds) for label, seeds in spread.seeds.items()})
    if fewer := int(((spread.counts > 0) & (spread.counts < numbers)).to_numpy().sum()):
        parts.append(f"{fewer} of {counted(table.size, 'entry')} from fewer seeds")
    covered = table.count()
    if lacking := [f"{label} ({n} of {len(table)})" for label, n in covered.items() if n < len(table)]:
        parts.append(f"not all categories: {listed(lacking)}")
    if measure and measure.at_threshold:
        parts.append(f"threshold {policies(cells)}")
    if measure and measure.oracle:
        parts.append("oracle: its threshold is chosen on the test images")
    return "; ".join(parts)


def _broken(names: Sequence[str], characters: int) -> list[str]:
    """Return the methods' names, wrapped to the width of their columns, which together hold so many characters."""
    return [wrap(shorten(method_name(name)), max(7, characters // len(names))) for name in names]
