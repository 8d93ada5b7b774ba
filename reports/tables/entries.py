"""The rows and headings of a sheet, for every format."""

from collections.abc import Iterator
from dataclasses import replace
from numbers import Real

import pandas as pd
from pandas.api.types import is_numeric_dtype

from reports.model import Sheet
from store.display_names import method_name

PAIR, VERSUS = "pair", "vs."
"""Name of the index of a sheet of pairs of methods, and the word between their names."""


def divided(text: str) -> tuple[str, str]:
    """Return the value of an entry, which marks are for, and its interval in a second line, or nothing.

    Examples
    --------
    >>> divided("0.979\\n[0.951, 0.991]"), divided("0.979")
    (('0.979', '[0.951, 0.991]'), ('0.979', ''))
    """
    value, _, rest = text.partition("\n")
    return value, rest


def with_display_names(sheet: Sheet) -> Sheet:
    """Return a sheet whose texts have the names of methods as papers print them."""

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        kind = table.index.name
        if kind == "category":
            return table.set_axis([method_name(str(label)) for label in table.columns], axis="columns")
        names = [
            f" {VERSUS} ".join(map(method_name, str(label).split(f" {VERSUS} "))) for label in table.index
        ]
        is_named = kind in ("method", PAIR)
        return table.set_axis(pd.Index(names, name=kind), axis="index") if is_named else table

    return replace(
        sheet,
        title=method_name(sheet.title) if sheet.method else sheet.title,
        shown=renamed(sheet.shown),
        percent=None if sheet.percent is None else renamed(sheet.percent),
        spans=tuple((method_name(text), count) for text, count in sheet.spans),
    )


def flat_headings(sheet: Sheet) -> list[str]:
    """Return the headings of the columns, each with the one that spans it."""
    over = [text for text, columns in sheet.spans for _ in range(columns)] or [""] * sheet.shown.shape[1]
    labels = map(str, sheet.shown.columns)
    return [f"{span}: {label}" if span else label for span, label in zip(over, labels, strict=True)]


def numeric_columns(sheet: Sheet) -> list[bool]:
    """Return which columns hold numbers, which are aligned right."""
    return [is_numeric_dtype(sheet.values.iloc[:, column]) for column in range(sheet.values.shape[1])]


def rows_of(sheet: Sheet) -> Iterator[tuple[str, list[tuple[str, str, float | None]]]]:
    """Yield the rows: (name, entries), an entry being its text, mark (`best`, `second`, `partial` or "") and number."""
    for row, name in enumerate(sheet.shown.index):
        entries: list[tuple[str, str, float | None]] = []
        for column in range(sheet.shown.shape[1]):
            value = sheet.values.iat[row, column]
            number = float(value) if isinstance(value, Real) and not pd.isna(value) else None
            marks = (("best", sheet.best), ("second", sheet.second), ("partial", sheet.partial))
            mark = next((name for name, frame in marks if frame is not None and frame.iat[row, column]), "")
            entries.append((str(sheet.shown.iat[row, column]), mark, number))
        yield str(name), entries
