"""The report of a selection of cells: tables, figures, gallery and page, in one folder."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from metrics import MEASURES
from reports.caveats import caveats
from reports.errors import ReportError
from reports.figures.curves import curve_figures
from reports.figures.distributions import score_figures
from reports.figures.losses import loss_figures
from reports.figures.pairs import pair_figures
from reports.figures.pareto import cost_figures
from reports.figures.sizes import size_figures
from reports.figures.style import save
from reports.figures.summaries import summary_figures
from reports.model import Figure, Report
from reports.page import page
from reports.page.gallery import gallery
from reports.statistics.significance import limits_of, statistics_of
from reports.tables.comparison import category_sheets, comparison_sheet, method_sheets
from reports.tables.cost import MACHINE, cost_sheets
from reports.tables.files import write_tables
from reports.tables.published import published_sheets
from reports.teachers import teachers
from store import tags
from store.artifacts import Artifacts
from store.passwords import without_password
from store.table import ended, labels, rows

PAGE = "report.html"
HEADLINE = ("image_auroc", "pixel_auroc", "pro", "dice")
"""Measures with their own figures and statistics; if no cell has any, the first measures instead."""
MANY, PROCESSES = 40, 4
"""At least `MANY` figures are drawn by up to `PROCESSES` processes, each of which takes seconds to start."""
PARTS = ("tables", "figures", "pictures", PAGE)
"""Contents of a report's folder."""
SETUP = (*MACHINE, tags.GIT_COMMIT, tags.GIT_DIRTY)
"""Columns in which the environments of cells may differ."""
ENVIRONMENT = (*MACHINE, tags.CPU_COUNT, tags.PYTHON, *tags.LIBRARIES, tags.GIT_COMMIT, tags.GIT_DIRTY)
"""Tags that describe an environment."""


def write_report(
    uri: str,
    cells: pd.DataFrame,
    title: str,
    folder: Path,
    metrics: Sequence[str] = (),
    relevant: float = 0.0,
    console: Console | None = None,
) -> Path:
    """Write the report of some cells.

    Parameters
    ----------
    uri
        Tracking URI, for the files of the cells.
    cells
        The tidy table.
    title
        Title of the page: the selection.
    folder
        Folder of the report: new, empty or with an earlier report, which is replaced.
    metrics
        Measures; none: all that the cells have.
    relevant
        See `comparison_sheet`.
    console
        Console for a progress bar; None: no bar.

    Returns
    -------
    Path of the page.

    Raises
    ------
    ReportError
        If the folder holds something else, or no cell has one of the measures.
    """
    _check(folder)
    metrics = _measures(cells, metrics)
    headline = [name for name in HEADLINE if name in metrics] or list(metrics[: len(HEADLINE)])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".report-") as temporary, _steps(console) as step:
        made, artifacts = Path(temporary) / "made", Artifacts(uri, Path(temporary) / "fetched")
        step("tables", 1, 0)
        statistics = [statistics_of(cells, metric) for metric in headline]
        untested = [metric for metric, (tested, _) in zip(headline, statistics, strict=True) if not tested]
        sheets = [
            *filter(None, (comparison_sheet(cells, metric, relevant) for metric in metrics)),
            *category_sheets(cells, metrics),
            *method_sheets(cells, metrics),
            *(sheet for metric in metrics for sheet in published_sheets(cells, metric)),
            *(sheet for tested, _ in statistics for sheet in tested),
            *cost_sheets(cells),
        ]
        write_tables(cells, metrics, sheets, made / "tables")
        step("tables", 1, 1)
        figures = [
            *summary_figures(cells, headline),
            *cost_figures(cells, headline[0]),
            *(figure for _, diagrams in statistics for figure in diagrams),
            *curve_figures(cells, artifacts),
            *score_figures(cells, artifacts),
            *size_figures(cells, artifacts),
            *loss_figures(cells, artifacts),
            *pair_figures(cells, artifacts),
        ]
        with _drawing(figures, made / "figures", step) as drawn:
            pictures, note = gallery(
                cells, artifacts, made, progress=lambda done, of: step("gallery", of, done)
            )
        step("page", 1, 0)
        page.write(
            Report(
                title=title,
                facts=_facts(uri, cells),
                warnings=[*caveats(cells), *_untested(cells, untested), *_unread(cells, artifacts)],
                failures=_failures(cells),
                sheets=sheets,
                figures=drawn,
                gallery=pictures,
                gallery_note=note,
                configs=_configs(cells, artifacts),
                environments=_environments(cells, artifacts),
            ),
            made / PAGE,
        )
        step("page", 1, 1)
        _replace(made, folder)
    return folder / PAGE


@contextmanager
def _drawing(
    figures: Sequence[Figure], folder: Path, step: Callable[[str, int, int], None]
) -> Iterator[list[tuple[Figure, Path]]]:
    """Draw figures, if many in other processes while the block runs; the list yielded is complete after the block."""
    drawn: list[tuple[Figure, Path]] = []

    def collect(paths: Iterable[Path]) -> None:
        for figure, path in zip(figures, paths, strict=True):
            drawn.append((figure, path))
            step("figures", len(figures), len(drawn))

    step("figures", len(figures), 0)
    if len(figures) < MANY:
        yield drawn
        collect(save(figure, folder) for figure in figures)
        return
    # spawned: a fork of a process with threads may hang
    with ProcessPoolExecutor(min(PROCESSES, os.cpu_count() or 1), get_context("spawn")) as pool:
        paths = pool.map(save, figures, repeat(folder))
        yield drawn
        collect(paths)


def _measures(cells: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    """Return the requested measures, by default all that the cells have."""
    recorded = set(cells.loc[cells["status"] == "FINISHED", "metric"])
    known = [name for name in MEASURES if name in recorded]
    lacking = [name for name in metrics if name not in known]
    if not known:
        raise ReportError(
            "no finished cell of the selection has a measure yet; see `python -m reports.status`"
        )
    if lacking:
        raise ReportError(f"--metric: no cell has {', '.join(lacking)}; expected any of {', '.join(known)}")
    return list(metrics) or known


def _check(folder: Path) -> None:
    """Reject a folder that holds something other than a report."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ReportError(f"{folder}: found a file; expected a folder, new, empty or with an earlier report")
    others = sorted(path.name for path in folder.iterdir() if path.name not in PARTS)
    if others or (any(folder.iterdir()) and not (folder / PAGE).exists()):
        content = ", ".join(others[:5]) or "parts of a report without its page"
        raise ReportError(
            f"{folder}: found {content}; expected a folder, new, empty or with an earlier report"
        )


def _replace(made: Path, folder: Path) -> None:
    """Move a finished report to its folder; the page comes last, as it refers to the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        old, new = folder / name, made / name
        if old.is_dir():
            shutil.rmtree(old)
        if new.exists():
            new.replace(old)


@contextmanager
def _steps(console: Console | None) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that shows the progress of a step: (name, total, done)."""
    columns = (TextColumn("{task.description:8}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=console is None, transient=True) as progress:
        tasks = {}

        def step(name: str, total: int, done: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)

        yield step


def _facts(uri: str, cells: pd.DataFrame) -> list[tuple[str, str]]:
    runs = cells.drop_duplicates("run_id")
    states = runs["status"].str.lower().value_counts()
    columns = {
        "sweep": runs["sweep"],
        "methods": labels(runs),
        "categories": rows(runs),
        "seeds": runs["seed"],
        "protocol": runs["protocol"],
        "teacher": teachers(runs),
        "threshold": runs["threshold_policy"],
        "code": runs["git_commit"].str[:10],
    }
    return [
        ("cells", ", ".join(f"{count} {state}" for state, count in states.items())),
        *((name, ", ".join(pd.unique(values))) for name, values in columns.items()),
        ("store", without_password(uri)),
        ("written", f"{datetime.now():%Y-%m-%d %H:%M}"),
    ]


def _untested(cells: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    """Return why measures have no statistics."""
    return list(dict.fromkeys(sentence for metric in metrics for sentence in limits_of(cells, metric)))


def _unread(cells: pd.DataFrame, artifacts: Artifacts) -> list[str]:
    """Return sentences on finished cells without files to draw, and on damaged files."""
    runs = cells[cells["status"] == "FINISHED"].drop_duplicates("run_id").assign(label=labels)
    counts = runs["label"][[artifacts.path(run, tags.CURVES) is None for run in runs["run_id"]]].value_counts(
        sort=False
    )
    without = ", ".join(f"{label} ({count})" for label, count in counts.items())
    missing = (
        [f"Figures and gallery leave out cells whose artifacts lack the files: {without}."] if without else []
    )
    return missing + [f"Damaged and left out: {reason}." for reason in dict.fromkeys(artifacts.damaged)]


def _failures(cells: pd.DataFrame) -> pd.DataFrame:
    runs = cells[cells["status"] == "FAILED"].drop_duplicates("run_id")
    return runs.assign(method=labels, category=rows)[["method", "category", "seed", "reason"]]


def _configs(cells: pd.DataFrame, artifacts: Artifacts) -> list[tuple[str, str]]:
    """Return the configuration of one cell of each method."""
    first = ended(cells).assign(label=labels).drop_duplicates("label")
    runs = first[["label", "run_id"]].itertuples(index=False)
    return [(label, text) for label, run in runs if (text := artifacts.text(run, tags.CONFIG))]


def _environments(cells: pd.DataFrame, artifacts: Artifacts) -> list[tuple[str, str]]:
    """Return machine and software of one cell for each machine and state of the code."""
    runs = ended(cells).drop_duplicates(list(SETUP))
    environments = []
    for run, method, category in runs[["run_id", "method", "category"]].itertuples(index=False):
        recorded = artifacts.tags(run)
        lines = [f"{name}: {recorded[name]}" for name in ENVIRONMENT if name in recorded]
        environments.append((f"{method} {category}", "\n".join(lines)))
    return environments
