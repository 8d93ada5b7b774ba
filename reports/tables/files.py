"""The tables of a report as files."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from reports.intervals import Intervals
from reports.look import Look
from reports.model import Sheet
from reports.parts import Parts
from reports.tables.comparison import intervals_of, seed_entries
from reports.tables.rendering import write
from reports.tables.seeds import seeds_of, several_seeds
from store.tags import FALSE_ALARMS, MISSES


def write_tables(
    cells: pd.DataFrame,
    metrics: Sequence[str],
    sheets: Sequence[Sheet],
    folder: Path,
    parts: Parts,
    look: Look | None = None,
    intervals: Intervals | None = None,
) -> list[Sheet]:
    """Write the sheets in every format, seeds and intervals of each measure's entries, and all values, tidy and wide.

    `provenance.txt` holds what each table shows: in LaTeX, captions are one sentence.

    Returns
    -------
    The sheets that could be written; `parts` names the others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = cells.drop(columns="params")
    parts.make("cells_wide.csv", lambda: wide(cells).to_csv(folder / "cells_wide.csv", index=False))
    parts.make("cells.csv", partial(values.to_csv, folder / "cells.csv", index=False))
    parts.make("cells.parquet", partial(values.to_parquet, folder / "cells.parquet", index=False))
    if parts.make("seeds", lambda: several_seeds(seeds_of(cells))):
        for metric in metrics:
            name = f"{metric}_seeds.csv"
            parts.make(name, partial(_write_seeds, cells, metric, folder / name))
    if intervals is not None:
        for metric in metrics:
            name = f"{metric}_intervals.csv"
            parts.make(name, partial(_write_intervals, cells, metric, intervals, folder / name))
    parts.make("provenance.txt", partial(_write_provenance, sheets, folder / "provenance.txt"))
    return [
        sheet for sheet in sheets if parts.make(f"table {sheet.name}", partial(_write, sheet, folder, look))
    ]


def wide(cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row per cell: what tells it apart, its status, and a column per metric except those of the training."""
    about = [
        "method",
        "variant",
        "mode",
        "dataset",
        "category",
        "seed",
        "protocol",
        "backbone",
        "threshold_policy",
        "status",
    ]
    runs = cells.drop_duplicates("run_id").set_index("run_id")[about]
    is_of_training = cells["metric"].str.contains("/") & ~cells["metric"].str.startswith(
        (MISSES, FALSE_ALARMS)
    )
    metrics = cells[(cells["metric"] != "") & ~is_of_training]
    table = metrics.pivot_table(index="run_id", columns="metric", values="value", sort=False)
    return runs.join(table).reset_index()


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


def _write_intervals(cells: pd.DataFrame, metric: str, intervals: Intervals, path: Path) -> None:
    entries = intervals_of(cells, metric, intervals)
    if not entries.empty and entries["low"].notna().any():
        entries.to_csv(path, index=False)
