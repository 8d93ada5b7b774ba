"""The cells of a store that a report is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from metrics import MEASURES
from reports.errors import ReportError
from store.passwords import without_password
from store.table import find_sweep, labels, read_cells, sweeps_of
from store.text import listed

ALL = "all"
SHOWN = 20  # values that a message lists
FILTERS = ("method", "dataset", "category", "seed", "protocol")
"""Columns of the tidy table that filter cells."""


@dataclass(frozen=True)
class Selection:
    """Sweeps of a store, and filters on their cells.

    Attributes
    ----------
    sweeps
        Names; none: the latest sweep; `all`: all sweeps of the store.
    only
        {column of `FILTERS`: accepted values}; a method is given by its name or its label in the tables.
    """

    sweeps: Sequence[str] = ()
    only: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def names(self, uri: str) -> list[str]:
        """Return the names of the sweeps; all of the store are returned oldest first.

        Raises
        ------
        StoreError
            If the store cannot be read or lacks a sweep.
        """
        if list(self.sweeps) == [ALL]:
            return sweeps_of(uri)
        wanted: Sequence[str | None] = self.sweeps or [None]
        return [find_sweep(uri, name).data.tags["sweep"] for name in wanted]

    def read(self, uri: str) -> pd.DataFrame:
        """Read the cells, see `read_cells`.

        Raises
        ------
        StoreError
            If the store cannot be read or lacks a sweep.
        ReportError
            If no cell has an accepted value; the message lists the values that cells have.
        """
        names = self.names(uri)
        cells = read_cells(uri, names)
        if cells.empty:
            raise ReportError(f"sweep {', '.join(names)} in {without_password(uri)} has no cell yet")
        for column, wanted in self.only.items():
            cells = _filter(cells, column, list(wanted))
        return cells

    def __str__(self) -> str:
        """Return the filters as text."""
        return ", ".join(f"{column} {' '.join(values)}" for column, values in self.only.items())


def chosen_measures(cells: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    """Return the requested measures, by default all that the cells have and that are shown unasked; maybe none.

    Raises
    ------
    ReportError
        If no cell has finished, or none has a measure.
    """
    recorded = set(cells.loc[cells["status"] == "FINISHED", "metric"])
    known = [name for name in MEASURES if name in recorded]
    lacking = [name for name in metrics if name not in known]
    if not (cells["status"] == "FINISHED").any():
        raise ReportError("no cell of the selection has finished yet; see `python -m reports.status`")
    if lacking:
        expected = f"any of {', '.join(known)}" if known else "no --metric, as no measure is defined"
        raise ReportError(f"--metric: no cell has {', '.join(lacking)}; expected {expected}")
    return list(metrics) or [name for name in known if not MEASURES[name].on_request]


def _filter(cells: pd.DataFrame, column: str, wanted: list[str]) -> pd.DataFrame:
    values = {column: cells[column]} | ({"label": labels(cells)} if column == "method" else {})
    known = [str(value) for column in values.values() for value in pd.unique(column)]
    unknown = [value for value in wanted if value not in known]
    if unknown:
        raise ReportError(
            f"--{column}: no cell of the selection has {listed(unknown, SHOWN)}; expected one of "
            f"{listed(dict.fromkeys(known), SHOWN)}"
        )
    kept = pd.concat([series.isin(wanted) for series in values.values()], axis=1).any(axis=1)
    return cells[kept].reset_index(drop=True)
