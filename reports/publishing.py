"""What the end of a sweep shows, and what it lays beside the sweep's parent run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from mlflow import MlflowClient
from rich.console import Console

from reports.cells import find_sweep, read_cells
from reports.tables.comparison import comparison_sheet
from reports.tables.files import write_tables
from reports.tables.rendering import to_rich
from reports.tables.seeds import MEAN


@dataclass(frozen=True)
class Published:
    """What became of a sweep.

    Attributes
    ----------
    cells, failed
        How many cells there are, and how many of them failed.
    means
        {measure/method: mean over categories}.
    tags
        What the cells have in common or between them: methods, datasets, protocols, weights.
    """

    cells: int
    failed: int
    means: dict[str, float]
    tags: dict[str, str]


def publish_tables(uri: str, sweep: str, metrics: Sequence[str]) -> Published:
    """Print a sweep's tables and lay them beside its parent run, in the folder `tables`.

    Parameters
    ----------
    uri
        Of the tracking store.
    sweep
        Name of the sweep.
    metrics
        Names of the measures, one table each.
    """
    cells = read_cells(uri, [sweep])
    if cells.empty:
        return Published(0, 0, {}, {})
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
    return Published(len(runs), len(failed), means, tags)


def publish_report(uri: str, sweep: str, folder: Path) -> Path | None:
    """Write the report of a sweep, lay it beside its parent run, and return its page; None if nothing finished."""
    from reports.report import write_report

    cells = read_cells(uri, [sweep])
    if not (cells["status"] == "FINISHED").any():
        return None
    page = write_report(uri, cells, sweep, folder, console=Console(stderr=True))
    _log(uri, sweep, folder)
    return page


def _log(uri: str, sweep: str, folder: Path, place: str | None = None) -> None:
    MlflowClient(tracking_uri=uri).log_artifacts(find_sweep(uri, sweep).info.run_id, str(folder), place)


def metric_name(label: str) -> str:
    """Replace what MLflow does not accept in the name of a metric."""
    return "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in label)
