"""The comparison of methods over categories: the sheets of measures, categories and methods."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from reports.intervals import Intervals, about_intervals
from reports.model import Sheet
from reports.naming import slug
from reports.remembered import remembered
from reports.tables.captions import brief, caption, facts, marking, title_of, words
from reports.tables.formatting import DIGITS, format_entries, ranked, states, within_brackets
from reports.tables.groups import column_order, mean_rows, row_order, rules, spans, with_test_images
from reports.tables.seeds import MEAN, seeds_of, summary, tidy
from store.table import labels, rows


@remembered
def comparison(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the table of one measure: a row per category and their mean, a column per method.

    Rows and columns are in the order of the sweep; entries are those of `reports.tables.seeds.summary`. Empty if
    no cell has the measure.
    """
    result = summary(cells, metric, {MEAN: mean_rows(cells)[MEAN]})
    return pd.DataFrame() if result is None else result[0]


def category_values(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the table of one measure without its mean; empty if no cell has the measure."""
    table = comparison(cells, metric)
    return table if table.empty else table.drop(index=MEAN)


def samples(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the values on which methods are tested: of the categories in which all have a value, a column per method.

    A method without any value is left out, as otherwise no category would remain.
    """
    return category_values(cells, metric).dropna(axis=1, how="all").dropna()


def lowest_rows(cells: pd.DataFrame, metric: str, count: int) -> list[str]:
    """Return the categories with the lowest mean of a measure over the methods, at most `count`, the lowest first."""
    table = category_values(cells, metric)
    if table.empty:
        return list(pd.unique(rows(cells)))[:count]
    means = table.mean(axis=1)
    return [str(row) for row in means.sort_values(kind="stable").index[:count]]


def seed_entries(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the entries of one measure's table, a row per entry, with deviations and intervals, see `tidy`.

    Empty if no cell has the measure.
    """
    result = summary(cells, metric, {MEAN: mean_rows(cells)[MEAN]})
    return pd.DataFrame() if result is None else tidy(*result)


def comparison_sheet(
    cells: pd.DataFrame,
    metric: str,
    relevant: float = 0.0,
    digits: int = DIGITS,
    intervals: Intervals | None = None,
) -> Sheet | None:
    """Return the sheet of one measure: a row per category and mean, a column per method.

    Parameters
    ----------
    cells
        The tidy table.
    metric
        Name of the measure.
    relevant
        Mark the best of a row only where it exceeds the second by more than this (Polidori, 2022: 0.005).
    digits
        Decimals of the values as fractions.
    intervals
        The intervals below the values; None: there are none.

    Returns
    -------
    The sheet, with the best and the second of each row marked by the values as printed, and a word in each entry
    without a value. None if no cell has the measure.
    """
    entries = entries_of(cells, metric, digits, intervals)
    if entries is None:
        return None
    best, second = ranked(entries.values, mean_rows(cells), relevant, digits)
    marks = marking(bool(best.to_numpy().any()), relevant, "row")
    bracketed = about_intervals(cells) if intervals else ""
    parts = [caption(cells, metric), bracketed, marks, words(entries.shown, seeds_of(cells))]
    return Sheet(
        name=metric,
        title=title_of(metric),
        caption="; ".join(filter(None, parts)),
        values=entries.values,
        shown=entries.shown,
        best=best,
        second=second,
        rules=rules([*entries.values.index], cells),
        means=entries.means,
        spans=spans(cells),
        percent=entries.percent,
        brief=brief(cells),
        partial=entries.partial,
    )


def category_sheets(
    cells: pd.DataFrame,
    metrics: Sequence[str],
    only: Collection[str] | None = None,
    digits: int = DIGITS,
    intervals: Intervals | None = None,
) -> list[Sheet]:
    """Return a sheet per category (of `only`): a row per method, a column per measure that some cell has.

    A category without test images has none. `intervals` as in `comparison_sheet`.
    """
    if not (entries := _all_entries(cells, metrics, digits, intervals)):
        return []
    seeds = seeds_of(cells)
    parts, tested = dict(list(cells.groupby(rows(cells), sort=False))), with_test_images(cells)
    sheets = []
    for row in row_order(cells):
        if row not in tested or (only is not None and row not in only):
            continue
        values = pd.DataFrame({title: part.values.loc[row] for title, part in entries.items()})
        shown = pd.DataFrame({title: part.shown.loc[row] for title, part in entries.items()})
        percent = pd.DataFrame({title: part.percent.loc[row] for title, part in entries.items()})
        best, second = (marked.T for marked in ranked(values.T, {}, digits=digits))
        own = {label: seeds[label] for label in pd.unique(labels(parts[row]))}
        text = [
            row,
            *facts(parts[row], metrics, own, mean=""),
            about_intervals(cells) if intervals else "",
            marking(bool(best.to_numpy().any()), 0, "column"),
            words(shown, seeds),
        ]
        sheets.append(
            Sheet(
                name=slug("category", row),
                title=row,
                caption="; ".join(filter(None, text)),
                values=values.rename_axis(index="method"),
                shown=shown.rename_axis(index="method"),
                best=best,
                second=second,
                category=row,
                percent=percent.rename_axis(index="method"),
                brief=brief(parts[row]),
            )
        )
    return sheets


def method_sheets(
    cells: pd.DataFrame, metrics: Sequence[str], digits: int = DIGITS, intervals: Intervals | None = None
) -> list[Sheet]:
    """Return a sheet per method: a row per category and mean, a column per measure that some cell has.

    `intervals` as in `comparison_sheet`.
    """
    if not (entries := _all_entries(cells, metrics, digits, intervals)):
        return []
    seeds, means = seeds_of(cells), next(iter(entries.values())).means
    sheets = []
    for label in column_order(cells):
        values = pd.DataFrame({title: part.values[label] for title, part in entries.items()})
        shown = pd.DataFrame({title: part.shown[label] for title, part in entries.items()})
        percent = pd.DataFrame({title: part.percent[label] for title, part in entries.items()})
        own = cells[labels(cells) == label]
        text = [
            label,
            *facts(own, metrics, {label: seeds[label]}),
            about_intervals(own) if intervals else "",
            words(shown, seeds),
        ]
        sheets.append(
            Sheet(
                name=slug("method", label),
                title=label,
                caption="; ".join(filter(None, text)),
                values=values.rename_axis(index="category"),
                shown=shown.rename_axis(index="category"),
                rules=rules([*values.index], cells),
                means=means,
                method=label,
                percent=percent.rename_axis(index="category"),
                brief=brief(own),
            )
        )
    return sheets


@dataclass(frozen=True)
class Entries:
    """One measure's table, rows and columns in their order.

    Attributes
    ----------
    values, shown, percent
        Values, and their texts as fractions and as percentages.
    means
        Positions of the rows of means.
    partial
        Which entries are means of only some of the categories, or of none.
    """

    values: pd.DataFrame
    shown: pd.DataFrame
    percent: pd.DataFrame
    means: tuple[int, ...]
    partial: pd.DataFrame


@remembered
def entries_of(
    cells: pd.DataFrame, metric: str, digits: int = DIGITS, intervals: Intervals | None = None
) -> Entries | None:
    """Return one measure's table with its rows of means; None if no cell has the measure.

    `intervals` as in `comparison_sheet`.
    """
    means = mean_rows(cells)
    result = summary(cells, metric, means)
    if result is None:
        return None
    order, columns = [*row_order(cells), *means], column_order(cells)
    shown, percent = (
        format_entries(*result, states(cells), means, digits, in_percent).loc[order, columns]
        for in_percent in (False, True)
    )
    positions = tuple(range(len(order) - len(means), len(order)))
    values = result[0].loc[order, columns]
    if intervals is not None:
        found = intervals_of(cells, metric, intervals).dropna()
        for row, label, _, low, high in found.itertuples(index=False):
            for texts, in_percent in ((shown, False), (percent, True)):
                texts.loc[row, label] += f"\n{within_brackets(low, high, digits, in_percent)}"
    return Entries(values, shown, percent, positions, _partial(values, means))


@remembered
def intervals_of(cells: pd.DataFrame, metric: str, intervals: Intervals) -> pd.DataFrame:
    """Return the intervals of one measure's table: columns `category`, `method`, `mean`, `low` and `high`.

    NaN where an entry has none, see `Intervals`. Empty if no cell has the measure.
    """
    means = mean_rows(cells)
    result = summary(cells, metric, means)
    if result is None:
        return pd.DataFrame()
    entries = [
        (row, label, value, means.get(row, [row]))
        for row in [*row_order(cells), *means]
        for label, value in result[0].loc[row, column_order(cells)].to_dict().items()
    ]
    none = (float("nan"), float("nan"))
    return pd.DataFrame(
        [
            (row, label, value, *(intervals.of_mean(cells, metric, str(label), members, value) or none))
            for row, label, value, members in entries
        ],
        columns=["category", "method", "mean", "low", "high"],
    )


def _partial(values: pd.DataFrame, means: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return which entries of rows of means lack a category."""
    partial = pd.DataFrame(False, values.index, values.columns)
    for name, members in means.items():
        partial.loc[name] = values.loc[[*members]].isna().any()
    return partial


def _all_entries(
    cells: pd.DataFrame, metrics: Sequence[str], digits: int, intervals: Intervals | None
) -> dict[str, Entries]:
    """Return the tables of all measures that some cell has, by their titles."""
    tables = {title_of(metric): entries_of(cells, metric, digits, intervals) for metric in metrics}
    return {title: entries for title, entries in tables.items() if entries is not None}
