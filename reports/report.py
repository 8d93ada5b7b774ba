"""The whole report of a selection of cells: tables, figures, gallery and page, in one folder."""

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
from reports.artifacts import Artifacts
from reports.caveats import caveats
from reports.cells import ReportError, ended, labels, rows, without_password
from reports.figures.curves import curve_figures
from reports.figures.distributions import score_figures
from reports.figures.losses import loss_figures
from reports.figures.outputs import output_figures
from reports.figures.sizes import size_figures
from reports.figures.style import save
from reports.figures.summaries import summary_figures
from reports.page import page
from reports.page.gallery import gallery
from reports.parts import Figure, Report
from reports.statistics.significance import limits_of, statistics_of
from reports.tables.comparison import category_sheets, comparison_sheet, method_sheets
from reports.tables.cost import cost_figures, cost_sheets
from reports.tables.files import write_tables
from reports.tables.published import published_sheets

PAGE = "report.html"
HEADLINE = ("image_auroc", "pixel_auroc", "pro", "dice")
"""Measures with figures and statistics of their own; without any of them, the first that there are."""
MANY, PROCESSES = 40, 4
"""From so many figures on, up to so many processes draw: each takes seconds to start."""
PARTS = ("tables", "figures", "pictures", PAGE)
"""What a report's folder holds."""
SOFTWARE = ("python", "torch", "torchvision", "timm", "FrEIA", "numpy", "scipy", "scikit-learn")
MACHINE = ("platform", "cpu", "cpu_count", "cpu_threads", "gpu", "device", "precision")


def write_report(
    uri: str,
    cells: pd.DataFrame,
    title: str,
    folder: Path,
    metrics: Sequence[str] = (),
    relevant: float = 0.0,
    console: Console | None = None,
) -> Path:
    """Write everything that can be said about some cells.

    Parameters
    ----------
    uri
        Of the tracking store, for the files of the cells.
    cells
        The tidy table.
    title
        What was selected.
    folder
        For the report; what an earlier report has left there is replaced, anything else is refused.
    metrics
        Measures; none: all that the cells have.
    relevant
        See `comparison_sheet`.
    console
        Where progress is shown; None: nowhere.

    Returns
    -------
    The page.

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
        untested = [metric for metric, (found, _) in zip(headline, statistics, strict=True) if not found]
        sheets = [
            *filter(None, (comparison_sheet(cells, metric, relevant) for metric in metrics)),
            *category_sheets(cells, metrics),
            *method_sheets(cells, metrics),
            *(sheet for metric in metrics for sheet in published_sheets(cells, metric)),
            *(sheet for found, _ in statistics for sheet in found),
            *cost_sheets(cells),
        ]
        write_tables(cells, metrics, sheets, made / "tables")
        step("tables", 1, 1)
        figures = [
            *summary_figures(cells, headline),
            *cost_figures(cells, headline[0]),
            *(figure for _, found in statistics for figure in found),
            *curve_figures(cells, artifacts),
            *score_figures(cells, artifacts),
            *size_figures(cells, artifacts),
            *loss_figures(cells, artifacts),
            *output_figures(cells, artifacts),
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
    """Draw figures while the block runs, in processes of their own if there are many; yield what then is drawn."""
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
    # started afresh: a process that forks while it has threads may hang
    with ProcessPoolExecutor(min(PROCESSES, os.cpu_count() or 1), get_context("spawn")) as pool:
        paths = pool.map(save, figures, repeat(folder))
        yield drawn
        collect(paths)


def _measures(cells: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    """Return the measures that are wanted, by default all that the cells have."""
    there = set(cells.loc[cells["status"] == "FINISHED", "metric"])
    known = [name for name in MEASURES if name in there]
    lacking = [name for name in metrics if name not in known]
    if not known:
        raise ReportError(
            "no finished cell of the selection has a measure yet; see `python -m reports.status`"
        )
    if lacking:
        raise ReportError(f"--metric: no cell has {', '.join(lacking)}; there are: {', '.join(known)}")
    return list(metrics) or known


def _check(folder: Path) -> None:
    """Refuse a folder that holds something other than a report."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ReportError(f"{folder}: a file; accepted: a folder, new, empty or with an earlier report")
    others = sorted(path.name for path in folder.iterdir() if path.name not in PARTS)
    if others or (any(folder.iterdir()) and not (folder / PAGE).exists()):
        found = ", ".join(others[:5]) or "parts of a report without its page"
        raise ReportError(
            f"{folder}: holds {found}; accepted: a folder, new, empty or with an earlier report"
        )


def _replace(made: Path, folder: Path) -> None:
    """Bring a finished report to its place; the page comes last, as it refers to the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        old, new = folder / name, made / name
        if old.is_dir():
            shutil.rmtree(old)
        if new.exists():
            new.replace(old)


@contextmanager
def _steps(console: Console | None) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that shows how much of a step is done: (its name, of how many, how many)."""
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
        "teacher": runs["backbone"] + ", weights " + runs["weights"].map(lambda name: Path(name).name),
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
    """Return which finished cells have no files to draw, and which files are damaged, if there are such."""
    runs = cells[cells["status"] == "FINISHED"].drop_duplicates("run_id").assign(label=labels)
    counts = runs["label"][
        [artifacts.path(run, "curves.csv") is None for run in runs["run_id"]]
    ].value_counts(sort=False)
    without = ", ".join(f"{label} ({count})" for label, count in counts.items())
    kept = f"Figures and gallery leave out cells whose files are not among their artifacts: {without}."
    damaged = [f"Damaged, and left out: {reason}." for reason in dict.fromkeys(artifacts.damaged)]
    return ([kept] if without else []) + damaged


def _failures(cells: pd.DataFrame) -> pd.DataFrame:
    runs = cells[cells["status"] == "FAILED"].drop_duplicates("run_id")
    return runs.assign(method=labels, category=rows)[["method", "category", "seed", "reason"]]


def _configs(cells: pd.DataFrame, artifacts: Artifacts) -> list[tuple[str, str]]:
    """Return the configuration of one cell of each method."""
    first = ended(cells).assign(label=labels).drop_duplicates("label")
    runs = first[["label", "run_id"]].itertuples(index=False)
    return [(label, text) for label, run in runs if (text := artifacts.text(run, "config.yaml"))]


def _environments(cells: pd.DataFrame, artifacts: Artifacts) -> list[tuple[str, str]]:
    """Return machine and software of one cell of each machine and state of the code."""
    kinds = ended(cells).drop_duplicates(
        [*(name for name in MACHINE if name in cells), "git_commit", "git_dirty"]
    )
    found = []
    for run, method, category in kinds[["run_id", "method", "category"]].itertuples(index=False):
        tags = artifacts.tags(run)
        lines = [
            f"{name}: {tags[name]}"
            for name in (*MACHINE, *SOFTWARE, "git_commit", "git_dirty")
            if name in tags
        ]
        found.append((f"{method} {category}", "\n".join(lines)))
    return found
