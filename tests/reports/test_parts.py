"""A part of a report that fails costs only itself, and is named on the page, on the console and by the exit code."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from reports import __main__, report, summary
from reports.errors import ReportError
from reports.figures import summaries
from reports.folder import PAGE
from reports.model import Figure
from reports.page import page
from reports.parts import WrittenReport
from reports.report import write_report
from reports.summary import attach_report, summarize
from reports.tables import files
from store.table import read_cells
from tests.reports.conftest import Call
from tests.reports.store import SWEEP, make_store

REASON = "the reason,\nwhich has two lines"


def broken(*_: object, **__: object) -> None:
    raise RuntimeError(REASON)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("store")
    return make_store(folder, ("ast", "stfpm"), ("carpet", "bottle"), seeds=1, images=8, side=32)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write empty figures, as drawing them takes seconds."""

    def save(figure: Figure, folder: Path, width: float) -> Path:
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (2, 2)).save(folder / f"{figure.name}.png")
        return folder / f"{figure.name}.png"

    monkeypatch.setattr("reports.drawing.save", save)


def written(uri: str, folder: Path) -> WrittenReport:
    return write_report(uri, read_cells(uri, [SWEEP]), "title", folder, ["image_auroc", "pro"])


def test_a_report_without_faults_has_no_failures(uri: str, tmp_path: Path) -> None:
    made = written(uri, tmp_path / "report")
    assert made == WrittenReport(tmp_path / "report" / PAGE)
    assert "failed and is missing" not in made.page.read_text()


def rarely(*values: object) -> object:
    """Return a case of the long checks: each writes a whole report."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("module", "function", "part"),
    [
        (report, "comparison_sheet", "table image_auroc"),
        rarely(report, "category_sheets", "tables of categories"),
        rarely(report, "method_sheets", "tables of methods"),
        rarely(report, "published_sheets", "published numbers"),
        rarely(report, "cost_sheets", "table of cost"),
        rarely(report, "data_sheets", "table of data"),
        rarely(report, "statistics_of", "statistics of image_auroc"),
        rarely(report, "summary_figures", "figures of image_auroc"),
        rarely(report, "cost_figures", "figures of cost"),
        rarely(report, "curve_figures", "curves"),
        rarely(report, "score_figures", "distributions of scores"),
        rarely(report, "size_figures", "overlap by size"),
        rarely(report, "loss_figures", "training curves"),
        rarely(report, "pair_figures", "outputs of teacher and student"),
        rarely(report, "gallery", "gallery"),
        rarely(report, "overview", "facts"),
        rarely(report, "failed_cells", "failed cells"),
        rarely(report, "configs", "configurations"),
        rarely(report, "environments", "environments"),
        rarely(report, "data_warnings", "warnings about the data"),
        (report, "limits_of", "limits of the tests"),
        rarely(report, "leaderboards", "leaderboard"),
        rarely(report, "heading", "title"),
        rarely(report, "wide", "all numbers"),
        (files, "write", "table leaderboard"),
    ],
)
@pytest.mark.usefixtures("quick")
def test_whatever_part_fails_the_others_are_written_and_the_page_names_it(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, function: str, part: str
) -> None:
    monkeypatch.setattr(module, function, broken)
    if function == "limits_of":
        monkeypatch.setattr(report, "statistics_of", lambda *_: ([], []))
    made = written(uri, tmp_path / "report")
    assert made.failures[0] == f"{part}: RuntimeError: the reason,"
    text = made.page.read_text()
    assert f"This part of the report failed and is missing: {made.failures[0]}" in text
    assert {path.name for path in made.page.parent.iterdir()} >= {"tables", "figures", PAGE}
    assert (made.page.parent / "tables" / "cells.csv").exists()
    assert "made-up" in text or function == "overview"


@pytest.mark.slow
def test_a_figure_that_cannot_be_drawn_costs_itself(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "draw_heat", broken)
    made = written(uri, tmp_path / "report")
    assert made.failures[0] == "figure heat-image_auroc: RuntimeError: the reason,"
    assert {"curves.pdf", "curves.png"} <= {path.name for path in (made.page.parent / "figures").iterdir()}


@pytest.mark.usefixtures("quick")
def test_a_page_that_fails_becomes_one_that_says_so(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_shown_figure", broken)
    made = written(uri, tmp_path / "report")
    assert made.failures == ("page: RuntimeError: the reason,",)
    text = made.page.read_text()
    assert "is missing: page: RuntimeError: the reason," in text
    assert "PRO (exact)" in text
    assert any((made.page.parent / "figures").iterdir())


@pytest.mark.usefixtures("quick")
def test_the_literature_costs_its_own_tables_only(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise ReportError("published.csv: not found")

    monkeypatch.setattr("reports.tables.published.read_published", missing)
    made = written(uri, tmp_path / "report")
    assert made.failures == ("published numbers: published.csv: not found",)


@pytest.mark.usefixtures("quick")
@pytest.mark.slow
def test_the_commands_say_what_is_missing_and_fail(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: Call
) -> None:
    monkeypatch.setattr(report, "curve_figures", broken)
    line = "error: part of the report is missing: curves: RuntimeError: the reason,"
    done = call(__main__.main, "--uri", uri, "--out", str(tmp_path / "report"))
    assert done.returncode == 1
    assert line in done.stderr.splitlines()
    made = attach_report(uri, SWEEP, tmp_path / "report")
    assert made is not None
    assert made.failures == ("curves: RuntimeError: the reason,",)
    assert line in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("function", ["comparison_sheet", "to_rich", "write_tables", "_log"])
def test_a_summary_keeps_the_counts_whatever_fails(
    uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], function: str
) -> None:
    def of_dice_alone(*arguments: object, **named: object) -> object:
        if function in ("comparison_sheet", "to_rich") and "dice" not in str(arguments[-1])[:40]:
            return original(*arguments, **named)
        raise RuntimeError(REASON)

    original: Callable[..., object] = getattr(summary, function)
    monkeypatch.setattr(summary, function, of_dice_alone)
    found = summarize(uri, SWEEP, ["pro", "dice"])
    assert (found.cells, found.failed) == (4, 0)
    assert any(name.startswith("pro/") for name in found.means)
    printed = capsys.readouterr()
    assert "PRO (exact)" in printed.out
    assert found.failures
    assert all(f"error: part of the summary is missing: {each}" in printed.err for each in found.failures)
