"""The end of a sweep: tables on the console, and tables and report among the artifacts of the parent run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from mlflow import MlflowClient
from rich.console import Console

from reports.tables.comparison import comparison_sheet
from reports.tables.files import write_tables
from reports.tables.rendering import to_rich
from reports.tables.seeds import MEAN
from store.table import find_sweep, read_cells


@dataclass(frozen=True)
class SweepSummary:
    """Outcome of a sweep.

    Attributes
    ----------
    cells, failed
        Number of cells, and of those that failed.
    means
        {measure/method: mean over categories}.
    tags
        The methods, datasets, protocols, backbones and weights of the cells, separated by commas.
    """

    cells: int
    failed: int
    means: dict[str, float]
    tags: dict[str, str]


def summarize(uri: str, sweep: str, metrics: Sequence[str]) -> SweepSummary:
    """Print a sweep's tables and log them as artifacts of its parent run, in the folder `tables`.

    Parameters
    ----------
    uri
        URI of the tracking store.
    sweep
        Name of the sweep.
    metrics
        Names of the measures, one table each.
    """
    cells = read_cells(uri, [sweep])
    if cells.empty:
        return SweepSummary(0, 0, {}, {})
    console = Console()
    means: dict[str, float] = {}
    sheets = [sheet for metric in metrics if (sheet := comparison_sheet(cells, metric))]
    for sheet in sheets:
        averages = sheet.values.T[MEAN].astype(float)
        means |= {metric_name(f"{sheet.name}/{label}"): value for label, value in averages.items()}
        title, _, rest = sheet.caption.partition("; ")
        console.print("", title, to_rich(sheet), sep="\n", style="bold", highlight=False)
        console.print(rest, style="dim", markup=False, highlight=False)
    with TemporaryDirectory() as folder:
        write_tables(cells, [sheet.name for sheet in sheets], sheets, Path(folder))
        _log(uri, sweep, Path(folder), "tables")
    runs = cells.drop_duplicates("run_id")
    failed = runs[runs["status"] == "FAILED"]
    for method, category, reason in failed[["method", "category", "reason"]].itertuples(index=False):
        console.print(f"failed: {method} {category}: {reason}", style="red", markup=False, highlight=False)
    tags = {
        name: ", ".join(pd.unique(runs[name]))
        for name in ("method", "dataset", "protocol", "backbone", "weights")
    }
    return SweepSummary(len(runs), len(failed), means, tags)


def attach_report(uri: str, sweep: str, folder: Path) -> Path | None:
    """Write the report of a sweep, log it as artifacts of the parent run, and return the path of its page.

    None if no cell has finished.
    """
    from reports.report import write_report  # takes seconds to import, which `summarize` does not need

    cells = read_cells(uri, [sweep])
    if not (cells["status"] == "FINISHED").any():
        return None
    page = write_report(uri, cells, sweep, folder, console=Console(stderr=True))
    _log(uri, sweep, folder)
    return page


def _log(uri: str, sweep: str, folder: Path, target: str | None = None) -> None:
    MlflowClient(tracking_uri=uri).log_artifacts(find_sweep(uri, sweep).info.run_id, str(folder), target)


def metric_name(label: str) -> str:
    """Replace characters that MLflow does not accept in the name of a metric."""
    return "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in label)
