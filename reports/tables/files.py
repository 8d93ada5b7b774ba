"""The tables of a report as files."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from reports.model import Sheet
from reports.tables.comparison import seed_entries
from reports.tables.rendering import write
from reports.tables.seeds import seeds_of


def write_tables(cells: pd.DataFrame, metrics: Sequence[str], sheets: Sequence[Sheet], folder: Path) -> None:
    """Write the sheets in every format, the entries of each measure seed by seed, and all values as one tidy table."""
    folder.mkdir(parents=True, exist_ok=True)
    values = cells.drop(columns="params")
    values.to_csv(folder / "cells.csv", index=False)
    values.to_parquet(folder / "cells.parquet", index=False)
    for sheet in sheets:
        write(sheet, folder)
    if len(seeds_of(cells)) > 1:
        for metric in metrics:
            seed_entries(cells, metric).to_csv(folder / f"{metric}_seeds.csv", index=False)
