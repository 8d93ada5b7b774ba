"""The entries of a table as text: values, words for missing ones, and which entries are marked as best."""

from collections.abc import Mapping, Sequence

import pandas as pd

from reports.model import DASH
from reports.remembered import remembered
from reports.tables.seeds import Spread, several_seeds
from store.table import labels, rows
from store.tags import UNMEASURED

DIGITS = 3
"""Decimals of a measure as printed, as a fraction; a percentage has two fewer."""
FAILED, UNDEFINED = "failed", "undefined"


def format_entries(
    table: pd.DataFrame,
    spread: Spread,
    missing: pd.DataFrame,
    means: Mapping[str, Sequence[str]],
    digits: int = DIGITS,
    percent: bool = False,
) -> pd.DataFrame:
    """Return the entries as text: mean, deviation over seeds, and how many seeds or categories are covered.

    A deviation that is rounded to 0 is printed as less than the last digit.

    Parameters
    ----------
    table, spread, means
        See `reports.tables.seeds.summary`.
    missing
        Words for entries without a value, see `states`.
    digits
        Decimals of the values as fractions.
    percent
        Whether they are printed as percentages, of the same precision.
    """
    shown = table.map(lambda value: "" if pd.isna(value) else number(value, digits, percent))
    shown += spread.deviations.map(
        lambda value: "" if pd.isna(value) else f" ± {_deviation(value, digits, percent)}"
    )
    shown += _counts(table, spread, means)
    return shown.where(table.notna(), missing.reindex_like(shown).fillna(DASH))


def number(value: float, digits: int = DIGITS, percent: bool = False) -> str:
    """Return a value between 0 and 1 as text, rounded to the same precision as a fraction and as a percentage.

    Examples
    --------
    >>> number(0.97949), number(0.97949, percent=True)
    ('0.979', '97.9')
    """
    # rounded as a fraction first: 100 times a value may lie on the other side of a half
    return f"{100 * round(value, digits):.{digits - 2}f}" if percent else f"{value:.{digits}f}"


def signed_number(value: float, digits: int = DIGITS, percent: bool = False) -> str:
    """Return `number` of a value that may be negative, with a minus sign instead of a hyphen, and none before 0.

    Examples
    --------
    >>> signed_number(-0.0123), signed_number(-0.0004), signed_number(-0.0)
    ('−0.012', '0.000', '0.000')
    """
    return number(round(value, digits) + 0.0, digits, percent).replace("-", "−")


def within_brackets(low: float, high: float, digits: int = DIGITS, percent: bool = False) -> str:
    """Return an interval as text.

    Examples
    --------
    >>> within_brackets(0.9512, 0.9904), within_brackets(-0.021, 0.0042, percent=True)
    ('[0.951, 0.990]', '[−2.1, 0.4]')
    """
    return f"[{', '.join(signed_number(end, digits, percent) for end in (low, high))}]"


def _deviation(value: float, digits: int, percent: bool) -> str:
    rounds_to_nothing = round(value, digits) == 0
    return f"<{number(10**-digits, digits, percent)}" if rounds_to_nothing else number(value, digits, percent)


@remembered
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
    table: pd.DataFrame, means: Mapping[str, Sequence[str]], relevant: float = 0.0, digits: int = DIGITS
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
    digits
        Decimals of the values as printed.
    """
    rounded = table.map(lambda value: float(number(value, digits)))
    first = rounded.max(axis=1)
    best = rounded.eq(first, axis=0)
    next_value = rounded.mask(best).max(axis=1)
    second = rounded.eq(next_value, axis=0)
    marked = rounded.notna().sum(axis=1) > 1
    if relevant > 0:
        # rounded again, as 0.912 - 0.907 is 0.005 and not a little more
        marked &= (best.sum(axis=1) == 1) & ((first - next_value).round(2 * digits) > relevant)
    for name in table.index.intersection([*means]):
        marked[name] &= bool(table.loc[[*means[name]]].notna().all(axis=None))
    return best.mul(marked, axis=0).astype(bool), second.mul(marked, axis=0).astype(bool)
