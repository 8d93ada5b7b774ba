"""The report of a selection of cells: tables, figures, gallery and page, in one folder."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import pandas as pd
from rich.console import Console

from reports.caveats import caveats
from reports.drawing import Step, draw_figures, steps
from reports.errors import ReportError
from reports.facts import configs, environments, failed_cells, heading, overview, own_dataset
from reports.figures.curves import curve_figures
from reports.figures.distributions import score_figures
from reports.figures.losses import loss_figures
from reports.figures.pairs import pair_figures
from reports.figures.pareto import cost_figures
from reports.figures.shifts import shift_figures
from reports.figures.sizes import size_figures
from reports.figures.style import WIDTHS
from reports.figures.summaries import summary_figures
from reports.folder import PAGE, written_aside
from reports.intervals import Intervals
from reports.look import Look
from reports.measured import measured
from reports.model import Figure, Report, Sheet
from reports.page import page
from reports.page.gallery import gallery
from reports.parts import Parts, WrittenReport
from reports.remembered import remembering
from reports.selection import chosen_measures
from reports.statistics.significance import limits_of, statistics_of
from reports.tables.audit import audit_sheets
from reports.tables.captions import title_of
from reports.tables.comparison import category_sheets, comparison_sheet, lowest_rows, method_sheets
from reports.tables.cost import cost_sheets
from reports.tables.data import data_sheets, data_warnings
from reports.tables.detectors import detector_sheets
from reports.tables.files import wide, write_tables
from reports.tables.honesty import honesty_sheets
from reports.tables.leaderboard import leaderboards
from reports.tables.paper import PAPER, category_triples, mean_sheets
from reports.tables.published import published_sheets
from reports.tables.shifts import shift_sheets
from reports.tables.verdicts import ahead, verdict_sheets
from store import tags
from store.artifacts import Artifacts
from store.data_facts import DataFacts, data_facts_of
from store.table import find_sweep, labels, rows
from store.text import counted

HEADLINE = ("image_auroc", "pixel_auroc", "pro", "dice", "dice_max")
"""Measures with their own figures and statistics; if no cell has any, the first measures instead."""
SHOWN = 60
"""Of more categories than this, only these many have tables, figures and a gallery of their own."""


def write_report(
    uri: str,
    cells: pd.DataFrame,
    title: str,
    folder: Path,
    metrics: Sequence[str] = (),
    relevant: float = 0.0,
    console: Console | None = None,
    look: Look | None = None,
) -> WrittenReport:
    """Write the report of some cells.

    Parameters
    ----------
    uri
        Tracking URI, for the files of the cells.
    cells
        The tidy table.
    title
        The selection in words, such as `sweep demo`.
    folder
        Folder of the report: new, empty or with an earlier report, which is replaced.
    metrics
        Measures; none: all that the cells have.
    relevant
        See `comparison_sheet`.
    console
        Console for a progress bar; None: no bar.
    look
        How tables and figures are printed; None: as in papers.

    Returns
    -------
    Path of the page, and the parts that failed. A part that fails costs only itself: the page names it.

    Raises
    ------
    ReportError
        If the folder holds something else or cannot be written, no cell has one of the measures, or none has finished.
    """
    metrics = chosen_measures(cells, metrics)
    headline = [name for name in HEADLINE if name in metrics] or list(metrics[: len(HEADLINE)])
    with written_aside(folder) as temporary, steps(console) as step, remembering():
        writer = _Writer(uri, cells, metrics, headline, temporary, step)
        writer.write(title, relevant, look or Look())
    return WrittenReport(folder / PAGE, tuple(writer.parts.failures))


class _Writer:
    """Writes the parts of one report to the folder `made` in a temporary folder."""

    def __init__(
        self,
        uri: str,
        cells: pd.DataFrame,
        metrics: Sequence[str],
        headline: Sequence[str],
        temporary: Path,
        step: Step,
    ) -> None:
        self.uri, self.cells, self.metrics, self.headline, self.step = uri, cells, metrics, headline, step
        self.measured = measured(cells)
        self.is_measured = bool((self.measured["status"] == "FINISHED").any())
        self.made, self.parts = temporary / "made", Parts()
        self.made.mkdir()
        self.artifacts = Artifacts(uri, temporary / "fetched")
        self.intervals = Intervals(self.artifacts)
        every = list(pd.unique(rows(cells)))
        self.only: Sequence[str] | None = None
        if len(every) > SHOWN:
            self.only = every[:SHOWN]
            if headline:
                lowest = partial(lowest_rows, self.measured, headline[0], SHOWN)
                self.only = self.parts.make("categories", lowest) or self.only
        self.left_out = len(every) - len(self.only or every)

    def write(self, title: str, relevant: float, look: Look) -> None:
        """Write tables, figures, pictures and page."""
        cells, files, make, make_all = self.cells, self.artifacts, self.parts.make, self.parts.make_all
        self.step("tables", 1, 0)
        tests = {
            metric: make(f"statistics of {metric}", partial(statistics_of, cells, metric)) or ([], [])
            for metric in self.headline
        }
        found = self._data()
        statistics = [sheet for tested, _ in tests.values() for sheet in tested]
        sheets = self._sheets(relevant, look, statistics, found)
        board = partial(leaderboards, cells, self.headline, relevant, look.digits, self.intervals)
        boards = make_all("leaderboard", board)
        everything = [*(board.sheet for board in boards), *sheets]
        given = everything, self.made / "tables", self.parts, look, self.intervals
        write = partial(write_tables, cells, self.metrics, *given)
        written = {sheet.name for sheet in make_all("tables", write)}
        sheets = [sheet for sheet in sheets if sheet.name in written and sheet.section != PAPER]
        self.step("tables", 1, 1)
        figures = self._figures([figure for _, diagrams in tests.values() for figure in diagrams])
        width = WIDTHS[look.figure_width]
        with draw_figures(figures, self.made / "figures", self.parts, self.step, width) as drawn:
            draw = partial(
                gallery, self.measured, files, self.made, only=self.only, progress=self._show_gallery
            )
            pictures, note = (make("gallery", draw) if self.is_measured else None) or ([], "")
        self.step("page", 1, 0)
        failed = make("failed cells", partial(failed_cells, cells))
        self._write_page(
            Report(
                title=make("title", partial(heading, cells)) or title,
                subtitle=f"{title[0].upper()}{title[1:]} · {date.today():%-d %B %Y}",
                facts=make_all("facts", partial(overview, self.uri, cells)),
                warnings=self._warnings(
                    found, [metric for metric, (tested, _) in tests.items() if not tested]
                ),
                failures=pd.DataFrame() if failed is None else failed,
                sheets=sheets,
                figures=drawn,
                leaderboards=boards,
                relevant=relevant,
                data=make("all numbers", lambda: wide(cells).to_csv(index=False)) or "",
                gallery=pictures,
                gallery_note=note,
                configs=make_all("configurations", partial(configs, cells, files)),
                environments=make_all("environments", partial(environments, cells, files)),
            )
        )
        self.step("page", 1, 1)

    def _show_gallery(self, done: int, total: int) -> None:
        self.step("gallery", total, done)

    def _sheets(
        self, relevant: float, look: Look, statistics: Sequence[Sheet], found: Sequence[DataFacts]
    ) -> list[Sheet]:
        """Return all tables in their order on the page."""
        digits, shown = look.digits, self.intervals if look.intervals else None
        cells, metrics, make, make_all = self.cells, self.metrics, self.parts.make, self.parts.make_all
        compared = [
            *make_all("table of means", partial(mean_sheets, cells, self.headline, relevant, digits, shown)),
            *make_all("table of categories", partial(category_triples, cells, relevant, digits)),
            *(
                make(f"table {metric}", partial(comparison_sheet, cells, metric, relevant, digits, shown))
                for metric in metrics
            ),
        ]
        verdicts = make_all("table of verdicts", partial(verdict_sheets, cells, self.only))
        published = [
            make_all("published numbers", partial(published_sheets, cells, name)) for name in metrics
        ]
        return [
            *ahead([sheet for sheet in compared if sheet], verdicts, cells),
            *make_all("tables of shifts", partial(shift_sheets, cells, self.artifacts, digits)),
            *make_all("table of detectors", partial(detector_sheets, cells, self.uri)),
            *make_all(
                "tables of categories", partial(category_sheets, cells, metrics, self.only, digits, shown)
            ),
            *make_all("tables of methods", partial(method_sheets, cells, metrics, digits, shown)),
            *(sheet for sheets in published for sheet in sheets),
            *make_all("what published numbers chose", partial(honesty_sheets, cells)),
            *make_all("table of the audit", partial(audit_sheets, cells, self.uri)),
            *statistics,
            *make_all("table of cost", partial(cost_sheets, cells)),
            *make_all("table of data", partial(data_sheets, found, cells)),
        ]

    def _figures(self, diagrams: Sequence[Figure]) -> list[Figure]:
        """Return all figures, still to be drawn."""
        cells, files, make_all, only = self.measured, self.artifacts, self.parts.make_all, self.only
        losses = make_all("training curves", partial(loss_figures, self.cells, files, only))
        if not self.is_measured:
            return self._named(losses)
        of_cost: Sequence[Figure] = ()
        if self.headline:
            of_cost = make_all("figures of cost", partial(cost_figures, cells, self.headline[0]))
        figures = [
            *(
                figure
                for metric in self.headline
                for figure in make_all(
                    f"figures of {metric}", partial(summary_figures, cells, [metric], only)
                )
            ),
            *make_all("figures of shifts", partial(shift_figures, cells, files)),
            *of_cost,
            *diagrams,
            *make_all("curves", partial(curve_figures, cells, files, only)),
            *make_all("distributions of scores", partial(score_figures, cells, files, only)),
            *make_all("overlap by size", partial(size_figures, cells, files)),
            *losses,
            *make_all("outputs of teacher and student", partial(pair_figures, cells, files, only)),
        ]
        return self._named(figures)

    def _named(self, figures: Sequence[Figure]) -> list[Figure]:
        """Return figures whose titles name the dataset, if it is the only one and the user's own."""
        if not (own := own_dataset(self.cells)):
            return [*figures]
        return [replace(figure, title=f"{figure.title} ({own})") for figure in figures]

    def _data(self) -> list[DataFacts]:
        """Return what was found in the data; nothing where sweeps did not record it."""
        found: list[DataFacts] = []
        for sweep in pd.unique(self.cells[tags.SWEEP]):
            with suppress(Exception):  # an extra, and cells may come from elsewhere
                found += data_facts_of(self.uri, find_sweep(self.uri, sweep))
        return found

    def _warnings(self, found: Sequence[DataFacts], untested: Sequence[str]) -> list[str]:
        cells, make_all = self.cells, self.parts.make_all
        warnings = [
            *caveats(cells, self.parts),
            *make_all("warnings about the data", partial(data_warnings, found, cells)),
            *make_all("limits of the tests", partial(self._untested, untested)),
            *make_all("cells without intervals", partial(self.intervals.missing, cells)),
            *make_all("damaged files", self._unread),
        ]
        if self.left_out:
            chosen = f"with the lowest mean {title_of(self.headline[0])}" if self.headline else "first"
            warnings.append(
                f"Of {counted(self.left_out + SHOWN, 'category')}, only the {SHOWN} {chosen} have figures, tables and "
                "a gallery of their own; --category selects others."
            )
        return warnings

    def _write_page(self, report: Report) -> None:
        """Write the page, at worst one that holds only what the report is of and what failed."""
        bare = replace(report, figures=(), gallery=(), gallery_note="", configs=(), environments=())
        empty = replace(bare, sheets=(), failures=pd.DataFrame(), facts=(), leaderboards=(), data="")
        for attempt in (report, bare, empty):
            failed = [
                f"This part of the report failed and is missing: {failure}" for failure in self.parts.failures
            ]
            complete = replace(attempt, warnings=[*failed, *attempt.warnings])
            try:
                page.write(complete, self.made / PAGE)
                return
            except Exception as error:  # whatever names and numbers do to it
                self.parts.fail("page", error)
        raise ReportError(f"the page cannot be written: {self.parts.failures[-1]}")

    def _untested(self, metrics: Sequence[str]) -> list[str]:
        """Return why measures have no statistics."""
        return list(
            dict.fromkeys(sentence for metric in metrics for sentence in limits_of(self.cells, metric))
        )

    def _unread(self) -> list[str]:
        """Return sentences on finished cells without files to draw, and on damaged files."""
        runs = self.measured[self.measured["status"] == "FINISHED"]
        runs = runs.drop_duplicates("run_id").assign(label=labels)
        lacking = [self.artifacts.path(run, tags.CURVES) is None for run in runs["run_id"]]
        counts = runs["label"][lacking].value_counts(sort=False)
        without = ", ".join(f"{label} ({count})" for label, count in counts.items())
        missing = (
            [f"Figures and gallery leave out cells whose artifacts lack the files: {without}."]
            if without
            else []
        )
        return missing + [
            f"Damaged and left out: {reason}." for reason in dict.fromkeys(self.artifacts.damaged)
        ]
