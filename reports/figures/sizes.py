"""Overlap of ground-truth regions by their size."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports.figures.captions import Found, Seeds, caption, columns, find
from reports.figures.style import PAGE, drawing, legend_below, name_ticks, side_by_side
from reports.model import Figure
from store.artifacts import Artifacts
from store.text import listed

EDGES = (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
"""Edges of bins of the area of a region as a fraction of its image, the upper edge included."""


def size_figures(cells: pd.DataFrame, artifacts: Artifacts) -> list[Figure]:
    """Return the figure of the regions' overlap by their size, pooled over categories; none without regions."""
    found = find(cells, artifacts.regions)
    pooled = pool(found)
    if pooled.empty:
        return []
    seeds: dict[str, Seeds[pd.DataFrame]] = {
        label: {seed: table for methods in found.values() for seed, table in methods[label].items()}
        for label in columns(cells)
    }
    what = (
        "Overlap of ground-truth regions up to the limit of PRO, by their size, all categories pooled: means, and bars "
        "from the lower to the upper quartile of the regions"
    )
    covered = {label: sum(bool(methods[label]) for methods in found.values()) for label in seeds}
    if fewer := [f"{label} ({n} of {len(found)})" for label, n in covered.items() if 0 < n < len(found)]:
        what += f"; not all categories: {listed(fewer)}"
    return [
        Figure(
            name="sizes",
            title="Overlap by size of region",
            caption=caption(what, cells, seeds, "regions"),
            draw=partial(draw_sizes, *by_size(pooled), quartiles(pooled), columns(cells)),
            section="distributions",
        )
    ]


def pool(found: Found[pd.DataFrame]) -> pd.DataFrame:
    """Return the regions of all cells in one table with the additional columns `category`, `label` and `seed`."""
    tables = [
        table[["part", "pro"]].assign(category=category, label=label, seed=seed)
        for category, methods in found.items()
        for label, seeds in methods.items()
        for seed, table in seeds.items()
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def by_size(regions: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Average the overlap of regions by size.

    Parameters
    ----------
    regions
        See `pool`.

    Returns
    -------
    The mean of `pro`, a row per bin of `EDGES` that has regions and a column per label; and the number of regions
    in each bin, a range where it differs between methods, which may use images of different sizes.
    """
    binned = regions.assign(bin=pd.cut(regions["part"], EDGES))
    groups = binned.groupby(["bin", "label"], observed=True)
    means = groups["pro"].mean().unstack("label")
    # all seeds have the same regions
    per_seed = binned.groupby(["bin", "label", "seed"], observed=True).size()
    counts = per_seed.groupby(["bin", "label"], observed=True).max().unstack("label").fillna(0).astype(int)
    ranges = zip(counts.min(axis=1), counts.max(axis=1), strict=True)
    return means, [str(low) if low == high else f"{low}–{high}" for low, high in ranges]


def quartiles(regions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the lower and the upper quartile of the overlap, in tables like the means of `by_size`."""
    groups = regions.groupby([pd.cut(regions["part"], EDGES).rename("bin"), "label"], observed=True)["pro"]
    lower, upper = (groups.quantile(fraction).unstack("label") for fraction in (0.25, 0.75))
    return lower, upper


def draw_sizes(
    means: pd.DataFrame,
    counts: Sequence[str],
    spread: tuple[pd.DataFrame, pd.DataFrame],
    order: Sequence[str],
    width: float = PAGE,
) -> Drawing:
    """Draw the mean overlap of each bin of sizes, a marker per method, and a bar between the quartiles."""
    figure, [[panel]] = drawing(width, 2.7)
    side_by_side(panel, means, order, spread)
    ticks = [f"{_percent(interval)}\n({count})" for interval, count in zip(means.index, counts, strict=True)]
    name_ticks(panel, ticks, width)
    panel.set(
        xlabel="Area of the region, % of the image\n(number of regions)", ylabel="Overlap", ylim=(0, 1.02)
    )
    legend_below(figure)
    return figure


def _percent(interval: "pd.Interval[float]") -> str:
    if interval.left == EDGES[0]:
        return f"up to {100 * interval.right:g}"
    if interval.right == EDGES[-1]:
        return f"over {100 * interval.left:g}"
    return f"{100 * interval.left:g} to {100 * interval.right:g}"
