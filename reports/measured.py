"""Cells that were measured, and those that were trained only, for lack of test images."""

import pandas as pd

from store.tags import UNMEASURED


def measured(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells without those that were trained only."""
    return cells[cells[UNMEASURED] == ""]


def trained_only(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the finished cells that were trained, not measured, as there are no test images."""
    return cells[(cells["status"] == "FINISHED") & (cells[UNMEASURED] != "")]
