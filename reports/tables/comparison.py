"""The comparison of methods over categories: what a sweep's tables hold and say, and where they go."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from reports.cells import labels, rows
from reports.naming import slug
from reports.parts import Sheet
from reports.tables.captions import caption, facts, marking, title_of, words
from reports.tables.entries import printed, ranked, states
from reports.tables.groups import column_order, coverage, mean_rows, row_order, rules, spans
from reports.tables.seeds import MEAN, seeds_of, summary, tidy


def comparison(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the table of one measure: a row per category and their mean, a column per method.

    Rows and columns stand as the sweep asked for them; entries are those of `reports.tables.seeds.summary`. Empty if
    nothing has the measure.
    """
    found = summary(cells, metric, {MEAN: pd.unique(rows(cells)).tolist()})
    return pd.DataFrame() if found is None else found[0]


def seed_entries(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the entries of one measure's table one by one, with deviations and intervals, see `tidy`.

    Empty if nothing has the measure.
    """
    found = summary(cells, metric, {MEAN: pd.unique(rows(cells)).tolist()})
    return pd.DataFrame() if found is None else tidy(*found)


def comparison_sheet(cells: pd.DataFrame, metric: str, relevant: float = 0.0) -> Sheet | None:
    """Return the sheet of one measure: a row per category and mean, a column per method.

    Parameters
    ----------
    cells
        The tidy table.
    metric
        Name of the measure.
    relevant
        The best of a row is marked only where it exceeds the second by more (Polidori, 2022: 0.005).

    Returns
    -------
    The best and the second of each row are marked, by the values as printed; where an entry has no value it says
    why. None if nothing has the measure.
    """
    found = entries_of(cells, metric)
    if found is None:
        return None
    best, second = ranked(found.values, mean_rows(cells), relevant)
    parts = [caption(cells, metric), coverage(cells), marking(bool(best.to_numpy().any()), relevant, "row")]
    return Sheet(
        name=metric,
        title=title_of(metric),
        caption="; ".join(filter(None, [*parts, words(found.shown, seeds_of(cells))])),
        values=found.values,
        shown=found.shown,
        best=best,
        second=second,
        rules=rules([*found.values.index], cells),
        spans=spans(cells),
    )


def category_sheets(cells: pd.DataFrame, metrics: Sequence[str]) -> list[Sheet]:
    """Return a sheet per row of the comparison, without means: a row per method, a column per measure.

    Measures that nothing has are left out.
    """
    found = _all_entries(cells, metrics)
    sheets = []
    for row in row_order(cells):
        values = pd.DataFrame({title: part.values.loc[row] for title, part in found.items()})
        shown = pd.DataFrame({title: part.shown.loc[row] for title, part in found.items()})
        best, second = (marked.T for marked in ranked(values.T, {}))
        own = cells[rows(cells) == row]
        text = [
            row,
            *facts(own, metrics, seeds_of(cells), mean=""),
            marking(bool(best.to_numpy().any()), 0, "column"),
        ]
        sheets.append(
            Sheet(
                name=slug("category", row),
                title=row,
                caption="; ".join(filter(None, [*text, words(shown, seeds_of(cells))])),
                values=values.rename_axis(index="method"),
                shown=shown.rename_axis(index="method"),
                best=best,
                second=second,
                category=row,
            )
        )
    return sheets if found else []


def method_sheets(cells: pd.DataFrame, metrics: Sequence[str]) -> list[Sheet]:
    """Return a sheet per column of the comparison: a row per category and mean, a column per measure.

    Measures that nothing has are left out.
    """
    found = _all_entries(cells, metrics)
    sheets = []
    for label in column_order(cells):
        values = pd.DataFrame({title: part.values[label] for title, part in found.items()})
        shown = pd.DataFrame({title: part.shown[label] for title, part in found.items()})
        own = cells[labels(cells) == label]
        text = [label, *facts(own, metrics, seeds_of(cells)), coverage(cells), words(shown, seeds_of(cells))]
        sheets.append(
            Sheet(
                name=slug("method", label),
                title=label,
                caption="; ".join(filter(None, text)),
                values=values.rename_axis(index="category"),
                shown=shown.rename_axis(index="category"),
                rules=rules([*values.index], cells),
                method=label,
            )
        )
    return sheets if found else []


@dataclass(frozen=True)
class Entries:
    """Values and texts of one measure's table, rows and columns in their order."""

    values: pd.DataFrame
    shown: pd.DataFrame


def entries_of(cells: pd.DataFrame, metric: str) -> Entries | None:
    """Return one measure's table with its rows of means; None if nothing has the measure."""
    means = mean_rows(cells)
    found = summary(cells, metric, means)
    if found is None:
        return None
    order, columns = [*row_order(cells), *means], column_order(cells)
    shown = printed(*found, states(cells), means)
    return Entries(found[0].loc[order, columns], shown.loc[order, columns])


def _all_entries(cells: pd.DataFrame, metrics: Sequence[str]) -> dict[str, Entries]:
    """Return the tables of all measures that something has, by their titles."""
    found = {title_of(metric): entries_of(cells, metric) for metric in metrics}
    return {title: part for title, part in found.items() if part is not None}
