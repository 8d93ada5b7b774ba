"""The tables of a report as files."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from reports.look import Look
from reports.model import Sheet
from reports.parts import Parts
from reports.tables.comparison import seed_entries
from reports.tables.rendering import write
from reports.tables.seeds import seeds_of, several_seeds


def write_tables(
    cells: pd.DataFrame,
    metrics: Sequence[str],
    sheets: Sequence[Sheet],
    folder: Path,
    parts: Parts,
    look: Look | None = None,
) -> list[Sheet]:
    """Write the sheets in every format, the entries of each measure seed by seed, and all values as one tidy table.

    `provenance.txt` holds what each table shows: in LaTeX, captions are one sentence.

    Returns
    -------
    The sheets that could be written; `parts` names the others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = cells.drop(columns="params")
    parts.make("cells.csv", partial(values.to_csv, folder / "cells.csv", index=False))
    parts.make("cells.parquet", partial(values.to_parquet, folder / "cells.parquet", index=False))
    if parts.make("seeds", lambda: several_seeds(seeds_of(cells))):
        for metric in metrics:
            name = f"{metric}_seeds.csv"
            parts.make(name, partial(_write_seeds, cells, metric, folder / name))
    parts.make("provenance.txt", partial(_write_provenance, sheets, folder / "provenance.txt"))
    return [
        sheet for sheet in sheets if parts.make(f"table {sheet.name}", partial(_write, sheet, folder, look))
    ]


def _write(sheet: Sheet, folder: Path, look: Look | None) -> bool:
    write(sheet, folder, look)
    return True


def _write_provenance(sheets: Sequence[Sheet], path: Path) -> None:
    texts = [
        "\n".join([f"{sheet.name}.tex: {sheet.title}", *(f"  {part}" for part in sheet.caption.split("; "))])
        for sheet in sheets
    ]
    path.write_text("\n\n".join(texts) + "\n", encoding="utf-8")


def _write_seeds(cells: pd.DataFrame, metric: str, path: Path) -> None:
    seed_entries(cells, metric).to_csv(path, index=False)
