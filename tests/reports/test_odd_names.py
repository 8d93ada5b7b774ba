"""Names that HTML, LaTeX, Markdown and file systems could misread are harmless and readable everywhere in a report."""

import html
import re
from pathlib import Path

import pytest

from reports.summary import attach_report
from reports.tables.escaping import escape_latex
from tests.reports.store import SWEEP, make_store

METHOD = r"100%_odd&co#{}~^\$x$"
CATEGORY = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of a sweep with such names."""
    root = tmp_path_factory.mktemp("odd")
    uri = make_store(root, (METHOD, "stfpm"), (CATEGORY, "bottle"), seeds=1, images=8, side=32)
    written = attach_report(uri, SWEEP, root / "report")
    assert written is not None
    assert written.failures == ()
    return written.page.parent


def test_the_page_shows_them_and_runs_nothing(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert "<img src=x" not in text
    assert html.escape(CATEGORY) in text
    assert html.escape(METHOD) in text


def test_latex_holds_them_escaped(folder: Path) -> None:
    text = (folder / "tables" / "pro.tex").read_text()
    assert escape_latex(CATEGORY) in text
    assert METHOD not in text
    assert not re.search(r"(?<!\\)[&%#_]odd", text)


def test_files_have_plain_names_and_stay_in_their_folder(folder: Path) -> None:
    for path in folder.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", path.name), path.name
    assert sum(path.suffix == ".jpg" for path in (folder / "pictures").rglob("*")) == 2 * 8 * 4
