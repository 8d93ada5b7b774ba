"""Cells that were measured, and those that were trained only, for lack of test images."""

import pandas as pd

from metrics import MEASURES
from store.tags import UNMEASURED

_OF_PIXELS = [name for name, measure in MEASURES.items() if measure.level == "pixel"]


def measured(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells without those that were trained only."""
    return cells[cells[UNMEASURED] == ""]


def finished(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells that have run to their end and were measured."""
    return measured(cells[cells["status"] == "FINISHED"])


def trained_only(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the finished cells that were trained, not measured, as there are no test images."""
    return cells[(cells["status"] == "FINISHED") & (cells[UNMEASURED] != "")]


def pixel_values(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the defined pixel measures; a category without ground truth for pixels has none."""
    return cells[cells["metric"].isin(_OF_PIXELS) & cells["value"].notna()]
