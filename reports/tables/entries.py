"""The entries of a table as they are printed: values, what stands where there is none, and which are best."""

from collections.abc import Mapping, Sequence

import pandas as pd

from reports.cells import labels, rows
from reports.parts import DASH
from reports.tables.seeds import Spread

DIGITS = 3
"""Decimals of a measure as printed."""
FAILED, UNDEFINED = "failed", "undefined"


def printed(
    table: pd.DataFrame, spread: Spread, missing: pd.DataFrame, means: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Return the entries as text: mean, deviation between seeds, and what they do not cover.

    Parameters
    ----------
    table, spread, means
        See `reports.tables.seeds.summary`.
    missing
        What stands where there is no value, see `states`.
    """
    shown = table.map(lambda value: "" if pd.isna(value) else f"{value:.{DIGITS}f}")
    shown += spread.deviations.map(lambda value: "" if pd.isna(value) else f" ± {value:.{DIGITS}f}")
    shown += _marks(table, spread, means)
    return shown.where(table.notna(), missing.reindex_like(shown).fillna(DASH))


def states(cells: pd.DataFrame) -> pd.DataFrame:
    """Return what became of each entry, a row per category and a column per method.

    Returns
    -------
    `failed` if a cell failed, `undefined` if one finished, and else nothing ran to an end: `–`. It is what is
    printed where no seed has a value.
    """
    runs = cells.assign(row=rows, label=labels).groupby(["row", "label"], sort=False)["status"].agg(set)
    text = {
        place: FAILED if "FAILED" in found else UNDEFINED if "FINISHED" in found else DASH
        for place, found in runs.items()
    }
    return pd.Series(text, dtype=object).unstack()


def _marks(table: pd.DataFrame, spread: Spread, means: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return for each entry how many of the seeds, or for a mean of the categories, it covers if not all."""
    seeds = len(spread.seeds)
    marks = pd.DataFrame("", index=table.index, columns=table.columns, dtype=object)
    if seeds > 1:
        fewer = table.notna() & (spread.counts < seeds)
        marks = spread.counts.map(lambda count: f" [{count} of {seeds}]").astype(object).where(fewer, "")
    unit = " categories" if seeds > 1 else ""
    for name, members in means.items():
        covered = table.loc[[*members]].notna().sum()
        for label in table.columns[(covered > 0) & (covered < len(members))]:
            marks.loc[name, label] = f" [{covered[label]} of {len(members)}{unit}]"
    return marks


def ranked(
    table: pd.DataFrame, means: Mapping[str, Sequence[str]], relevant: float = 0.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return which entries are the best and the second of their row, by the values as printed.

    All of a tie are the best, and the second are those of the next value. One value alone is not the best, and
    no mean is where some mean covers fewer categories than others.

    Parameters
    ----------
    table
        Means, of which the largest are best.
    means
        Which of its rows are means, {name: categories}; others are not looked at.
    relevant
        A row is marked only where its best value exceeds that of the next method by more than this, and no
        best is shared (Polidori, 2022: 0.005); 0: always.
    """
    rounded = table.map(lambda value: float(f"{value:.{DIGITS}f}"))
    first = rounded.max(axis=1)
    best = rounded.eq(first, axis=0)
    next_value = rounded.mask(best).max(axis=1)
    second = rounded.eq(next_value, axis=0)
    marked = rounded.notna().sum(axis=1) > 1
    if relevant > 0:
        # rounded again, as 0.912 - 0.907 is 0.005 and not a little more
        marked &= (best.sum(axis=1) == 1) & ((first - next_value).round(2 * DIGITS) > relevant)
    for name in table.index.intersection([*means]):
        marked[name] &= bool(table.loc[[*means[name]]].notna().all(axis=None))
    return best.mul(marked, axis=0).astype(bool), second.mul(marked, axis=0).astype(bool)
