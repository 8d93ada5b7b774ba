"""The entries of a table as text: values, words for missing ones, and which entries are marked as best."""

from collections.abc import Mapping, Sequence

import pandas as pd

from reports.model import DASH
from reports.tables.seeds import Spread, several_seeds
from store.table import labels, rows
from store.tags import UNMEASURED

DIGITS = 3
"""Decimals of a measure as printed."""
FAILED, UNDEFINED = "failed", "undefined"


def format_entries(
    table: pd.DataFrame, spread: Spread, missing: pd.DataFrame, means: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Return the entries as text: mean, deviation over seeds, and how many seeds or categories are covered.

    Parameters
    ----------
    table, spread, means
        See `reports.tables.seeds.summary`.
    missing
        Words for entries without a value, see `states`.
    """
    shown = table.map(lambda value: "" if pd.isna(value) else f"{value:.{DIGITS}f}")
    shown += spread.deviations.map(lambda value: "" if pd.isna(value) else f" ± {value:.{DIGITS}f}")
    shown += _counts(table, spread, means)
    return shown.where(table.notna(), missing.reindex_like(shown).fillna(DASH))


def states(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the words for entries without a value, a row per category and a column per method.

    Returns
    -------
    `failed` if a cell failed, `undefined` if one was measured without the value, `–` if none has ended or was measured.
    """
    states = cells["status"].where(cells[UNMEASURED] == "", "TRAINED")
    named = cells.assign(row=rows, label=labels, state=states)
    statuses = named.groupby(["row", "label"], sort=False)["state"].agg(set)
    text = {
        key: FAILED if "FAILED" in status else UNDEFINED if "FINISHED" in status else DASH
        for key, status in statuses.items()
    }
    return pd.Series(text, dtype=object).unstack()


def _counts(table: pd.DataFrame, spread: Spread, means: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return " [n of m]" for entries that cover only some of a method's seeds, or for means some of the categories."""
    counts = pd.DataFrame("", index=table.index, columns=table.columns, dtype=object)
    for label in map(str, table):
        number = len(spread.seeds[label])
        if number > 1:
            fewer = table[label].notna() & (spread.counts[label] < number)
            texts = spread.counts[label].map(lambda count, number=number: f" [{count} of {number}]")
            counts[label] = texts.astype(object).where(fewer, "")
    unit = " categories" if several_seeds(spread.seeds) else ""
    for name, members in means.items():
        covered = table.loc[[*members]].notna().sum()
        for label in table.columns[(covered > 0) & (covered < len(members))]:
            counts.loc[name, label] = f" [{covered[label]} of {len(members)}{unit}]"
    return counts


def ranked(
    table: pd.DataFrame, means: Mapping[str, Sequence[str]], relevant: float = 0.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return which entries are the best and the second of their row, by the values as printed.

    All that tie for the first place are best, and all with the next value are second. A row with a single value
    is not marked, nor is a row of means if a method lacks one of its categories.

    Parameters
    ----------
    table
        Means; larger is better.
    means
        Its rows of means, {name: categories}.
    relevant
        Mark a row only where a single best value exceeds the second by more than this (Polidori, 2022: 0.005);
        0: always.
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
