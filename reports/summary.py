"""The end of a sweep: tables on the console, and tables and report among the artifacts of the parent run."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from rich.console import Console

from metrics import with_companions
from reports.intervals import Intervals
from reports.model import Sheet
from reports.parts import Parts, WrittenReport
from reports.remembered import remembering
from reports.tables.audit import audit_sheets
from reports.tables.comparison import comparison_sheet
from reports.tables.detectors import RUN, detector_sheets
from reports.tables.files import write_tables
from reports.tables.leaderboard import leaderboards
from reports.tables.rendering import to_rich
from reports.tables.seeds import MEAN
from reports.tables.shifts import shift_sheet
from reports.tables.verdicts import chosen_verdicts
from store.artifacts import Artifacts
from store.client import open_store
from store.garbage import importing
from store.table import find_sweep, labels, read_cells, rows

FAILURES = 20
"""So many failed cells are named."""
DETECTORS = 20
"""The runs of so many detectors are named."""


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
    failures
        The parts of the summary that failed and are missing, each with the reason, in one line.
    """

    cells: int
    failed: int
    means: dict[str, float]
    tags: dict[str, str]
    failures: tuple[str, ...] = ()


@remembering()
def summarize(uri: str, sweep: str, metrics: Sequence[str]) -> SweepSummary:
    """Print a sweep's tables and log them as artifacts of its parent run, in the folder `tables`.

    A table that fails costs only itself; it is named on the console and in the result.

    Parameters
    ----------
    uri
        URI of the tracking store.
    sweep
        Name of the sweep.
    metrics
        Names of the measures, one table each. Next to Dice at the threshold stands the Dice at the best one. Before
        them stand the answer in words, by the first measure, and the table of verdicts, if the runs' thresholds are no
        oracles.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    cells = read_cells(uri, [sweep])
    if cells.empty:
        return SweepSummary(0, 0, {}, {})
    console, parts, means = Console(), Parts(), dict[str, float]()
    sheets = [
        sheet
        for metric in with_companions(metrics)
        if (sheet := parts.make(f"table {metric}", partial(comparison_sheet, cells, metric)))
    ]
    with TemporaryDirectory() as fetched:
        intervals = Intervals(Artifacts(uri, Path(fetched)))
        make = partial(leaderboards, cells, metrics, intervals=intervals)
        boards = parts.make_all("leaderboard", make)
    for board in boards:
        console.print("", *board.sentences, sep="\n", style="bold", markup=False, highlight=False)
    printed = _Printer(console)
    chosen = parts.make("table of verdicts", partial(chosen_verdicts, cells))
    if chosen is not None:
        parts.make(f"table {chosen.name}", partial(printed.table, chosen))
    for sheet in sheets:
        parts.make(f"means of {sheet.name}", partial(_add_means, means, sheet))
        parts.make(f"table {sheet.name}", partial(printed.table, sheet))
    names = [sheet.name for sheet in sheets]
    trained = parts.make_all("table of detectors", partial(detector_sheets, cells, uri))
    for sheet in trained:
        parts.make(f"table {sheet.name}", partial(printed.detectors, sheet))
    audited = parts.make_all("table of the audit", partial(audit_sheets, cells, uri))
    shifted = parts.make("table of shifts", partial(shift_sheet, cells))
    extra = [*audited, *([shifted] if shifted is not None else [])]
    for sheet in extra:
        parts.make(f"table {sheet.name}", partial(printed.table, sheet))
    sheets += [*([chosen] if chosen is not None else []), *trained, *extra]
    with TemporaryDirectory() as folder:
        parts.make("tables", partial(write_tables, cells, names, sheets, Path(folder), parts))
        parts.make("artifacts", partial(_log, uri, sweep, Path(folder), "tables"))
    runs = cells.drop_duplicates("run_id")
    failed = runs[runs["status"] == "FAILED"]
    _print_failed(console, failed)
    tags = {
        name: ", ".join(pd.unique(runs[name]))
        for name in ("method", "dataset", "protocol", "backbone", "weights")
    }
    _report(parts.failures, "part of the summary is missing")
    return SweepSummary(len(runs), len(failed), means, tags, tuple(parts.failures))


def attach_report(uri: str, sweep: str, folder: Path) -> WrittenReport | None:
    """Write the report of a sweep, and log it as artifacts of the parent run.

    Returns
    -------
    Path of the page, and the parts that failed, which are also named on the console; None if no cell has finished.

    Raises
    ------
    StoreError, ReportError
        If the store cannot be read, or the folder not be written.
    """
    with importing():
        from reports.report import write_report  # takes seconds to import, which `summarize` does not need

    cells = read_cells(uri, [sweep])
    if not (cells["status"] == "FINISHED").any():
        return None
    written = write_report(uri, cells, f"sweep {sweep}", folder, console=Console(stderr=True))
    copying = Parts()
    copying.make("copy among the artifacts", partial(_log, uri, sweep, folder))
    failures = (*written.failures, *copying.failures)
    _report(failures, "part of the report is missing")
    return WrittenReport(written.page, failures)


def _add_means(means: dict[str, float], sheet: Sheet) -> None:
    for label, value in sheet.values.T[MEAN].astype(float).items():
        name = metric_name(f"{sheet.name}/{label}")
        means[name if name not in means else f"{name} {len(means)}"] = value


class _Printer:
    """Prints tables; what a caption shares with that of an earlier table is not repeated."""

    def __init__(self, console: Console) -> None:
        self.console, self.known = console, set[str]()

    def table(self, sheet: Sheet) -> None:
        """Print a table and its caption."""
        title, *facts = sheet.caption.split("; ")
        table, console = to_rich(sheet), self.console
        if not console.is_terminal:  # lines of a file may be as long as whole words and numbers need
            unbounded = console.options.update(max_width=sys.maxsize)
            console = Console(width=max(console.width, console.measure(table, options=unbounded).minimum))
        console.print("", title, table, sep="\n", style="bold", highlight=False)
        new = [fact for fact in facts if fact not in self.known]
        self.known |= {*facts}
        if new:
            self.console.print("; ".join(new), style="dim", markup=False, highlight=False)

    def detectors(self, sheet: Sheet) -> None:
        """Print the table of detectors, and below it the ids of their runs, for which it has no room."""
        values, shown = (table.drop(columns=RUN) for table in (sheet.values, sheet.shown))
        self.table(replace(sheet, values=values, shown=shown))
        for name, run in sheet.shown[RUN].iloc[:DETECTORS].items():
            self.console.print(f"run of {name}: {run}", markup=False, highlight=False)


def _print_failed(console: Console, failed: pd.DataFrame) -> None:
    named = failed.assign(label=labels, row=rows)[["label", "row", "reason"]]
    for method, category, reason in named[:FAILURES].itertuples(index=False):
        console.print(f"failed: {method} {category}: {reason}", style="red", markup=False, highlight=False)
    if len(failed) > FAILURES:
        console.print(f"failed: {len(failed) - FAILURES} more", style="red", markup=False, highlight=False)


def _report(failures: Sequence[str], what: str) -> None:
    for failure in failures:
        print(f"error: {what}: {failure}", file=sys.stderr)


def _log(uri: str, sweep: str, folder: Path, target: str | None = None) -> None:
    open_store(uri).log_artifacts(find_sweep(uri, sweep).info.run_id, str(folder), target)


def metric_name(label: str) -> str:
    """Replace characters that MLflow does not accept in the name of a metric."""
    return "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in label)
