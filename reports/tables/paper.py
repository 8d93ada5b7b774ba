"""The two tables that papers print: means of all methods, and the usual three measures of each category."""

from collections.abc import Sequence

import pandas as pd

from reports.intervals import Intervals, about_intervals
from reports.model import Sheet
from reports.tables.captions import brief, facts, marking, title_of, words
from reports.tables.comparison import Entries, entries_of
from reports.tables.formatting import DIGITS, number, ranked
from reports.tables.groups import by_dataset, column_order, mean_rows, rules
from reports.tables.seeds import MEAN, seeds_of, several_seeds
from store.display_names import MEASURES
from store.text import counted

PAPER = "paper"
"""Section of sheets that repeat others for print, which the page leaves out."""
USUAL = {
    "image_auroc": ("I", "image AUROC (I)"),
    "pixel_auroc": ("P", "pixel AUROC (P)"),
    "pro": ("PRO", "PRO"),
}
"""Heading and name in the caption of the measures that papers print side by side."""


def mean_sheets(
    cells: pd.DataFrame,
    metrics: Sequence[str],
    relevant: float = 0.0,
    digits: int = DIGITS,
    intervals: Intervals | None = None,
) -> list[Sheet]:
    """Return a sheet per dataset of several categories: a row per method, a column per measure, means over categories.

    Parameters
    ----------
    cells
        The tidy table.
    metrics
        Names of the measures.
    relevant
        See `comparison_sheet`; here, best and second of a column.
    digits
        Decimals of the values as fractions.
    intervals
        See `comparison_sheet`.
    """
    return [
        sheet
        for name, part in by_dataset(cells, "means")
        for sheet in [_mean_sheet(name, part, metrics, relevant, digits, intervals)]
        if sheet
    ]


def category_triples(cells: pd.DataFrame, relevant: float = 0.0, digits: int = DIGITS) -> list[Sheet]:
    """Return a sheet per dataset: a row per category, and image AUROC, pixel AUROC and PRO side by side of each method.

    None where no cell has two of the three.
    """
    return [
        sheet
        for name, part in by_dataset(cells, "categories")
        for sheet in [_triple_sheet(name, part, relevant, digits)]
        if sheet
    ]


def _mean_sheet(
    name: str,
    cells: pd.DataFrame,
    metrics: Sequence[str],
    relevant: float,
    digits: int,
    intervals: Intervals | None,
) -> Sheet | None:
    found = _found(cells, metrics, digits, intervals)
    means = mean_rows(cells)
    if len(means[MEAN]) < 2 or not found:
        return None
    marks = {title: ranked(entries.values, means, relevant, digits) for title, entries in found.items()}
    best, second = (
        pd.DataFrame({title: both[place].loc[MEAN] for title, both in marks.items()}) for place in (0, 1)
    )
    shown = _means({title: entries.shown for title, entries in found.items()})
    title = f"Means over {counted(len(means[MEAN]), 'category')}"
    text = [
        title,
        *facts(cells, metrics, seeds_of(cells)),
        about_intervals(cells) if intervals else "",
        marking(bool(best.to_numpy().any()), relevant, "column"),
        words(shown, seeds_of(cells)),
    ]
    return Sheet(
        name=name,
        title=title,
        caption="; ".join(filter(None, text)),
        values=_means({title: entries.values for title, entries in found.items()}),
        shown=shown,
        best=best,
        second=second,
        percent=_means({title: entries.percent for title, entries in found.items()}),
        brief=brief(cells),
        partial=_means({title: entries.partial for title, entries in found.items()}),
    )


def _triple_sheet(name: str, cells: pd.DataFrame, relevant: float, digits: int) -> Sheet | None:
    metrics = [metric for metric in USUAL if (cells["metric"] == metric).any()]
    tables = {metric: entries for metric in metrics if (entries := entries_of(cells, metric, digits))}
    if len(tables) < 2:
        return None
    means, order = mean_rows(cells), column_order(cells)
    places = [(label, metric) for label in order for metric in tables]
    headings = [USUAL[metric][0] for _, metric in places]
    marks = {metric: ranked(entries.values, means, relevant, digits) for metric, entries in tables.items()}
    values = pd.concat([tables[metric].values[label] for label, metric in places], axis=1)
    best, second = (
        pd.concat([marks[metric][place][label] for label, metric in places], axis=1).loc[values.index]
        for place in (0, 1)
    )
    first = next(iter(tables.values()))
    names = ", ".join(USUAL[metric][1] for metric in tables)
    title = f"{names[0].upper()}{names[1:]} of each category"

    def text(metric: str, label: str, percent: bool) -> "pd.Series[str]":
        own = tables[metric]
        numbers = own.values[label].map(lambda value: number(value, digits, percent), na_action="ignore")
        return numbers.astype(object).fillna(own.shown[label])

    shown, in_percent = (
        pd.concat([text(metric, label, percent) for label, metric in places], axis=1).set_axis(
            headings, axis=1
        )
        for percent in (False, True)
    )
    caption = [
        title,
        *facts(cells, [*tables], seeds_of(cells)),
        marking(bool(best.to_numpy().any()), relevant, "measure in each row"),
        "the tables of single measures have the deviations" if several_seeds(seeds_of(cells)) else "",
    ]
    return Sheet(
        name=name,
        title=title,
        caption="; ".join(filter(None, caption)),
        values=values.set_axis([f"{label} {metric}" for label, metric in places], axis=1),
        shown=shown,
        best=best,
        second=second,
        rules=rules([*values.index], cells),
        means=first.means,
        spans=tuple((label, len(tables)) for label in order),
        section=PAPER,
        percent=in_percent,
        brief=brief(cells, deviations=False),
    )


def _found(
    cells: pd.DataFrame, metrics: Sequence[str], digits: int, intervals: Intervals | None
) -> dict[str, Entries]:
    tables = {
        MEASURES.get(metric, title_of(metric)): entries_of(cells, metric, digits, intervals)
        for metric in metrics
    }
    return {title: entries for title, entries in tables.items() if entries is not None}


def _means(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of means of several measures, a row per method and a column per measure."""
    return pd.DataFrame({title: table.loc[MEAN] for title, table in tables.items()}).rename_axis(
        index="method"
    )
