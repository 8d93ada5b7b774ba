"""The page in a browser: nothing leaves it, and what can be clicked does what it says."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from reports.model import Leaderboard, Report, Sheet
from reports.page.page import write
from reports.statistics.significance import statistics_of
from reports.tables.comparison import comparison_sheet
from reports.tables.leaderboard import leaderboards
from reports.tables.paper import mean_sheets
from tests.reports.made import cells
from tests.reports.test_page import EVIL, METHODS, ODD, made_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Locator, Page

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
FIRST = "[data-views~=overview] table >> nth=1"  # the first is of the failed cells

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium (Debian: apt-get install chromium)"
)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    write(made_report(folder), folder / "index.html")
    return (folder / "index.html").as_uri()


class Seen:
    """The requests of a page, and its messages on the console or in dialogues."""

    def __init__(self, page: "Page") -> None:
        self.requests: list[str] = []
        self.messages: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("dialog", self.dismiss)

    def dismiss(self, dialog: "Dialog") -> None:
        self.messages.append(dialog.message)
        dialog.dismiss()


@pytest.fixture
def page(browser: "Browser", address: str) -> Iterator["Page"]:
    """The page, freshly opened; no test may cause a request for a file outside its folder."""
    opened = browser.new_page()
    seen = Seen(opened)
    opened.goto(address)
    yield opened
    opened.close()
    folder = address.rpartition("/")[0]
    assert [url for url in seen.requests if not url.startswith(("data:", folder))] == []
    assert seen.messages == []


def column(table: "Locator", place: int) -> list[str]:
    """Return what is shown in a column, from top to bottom."""
    cells = table.locator(f"tbody tr > :nth-child({place})").all()
    return [cell.inner_text() for cell in cells if cell.is_visible()]


def go(page: "Page", view: str) -> None:
    page.evaluate("view => { location.hash = view }", view)
    page.wait_for_function(
        "view => document.querySelector(`nav [aria-current]`).hash === `#${view}`", arg=view
    )


def titles(page: "Page") -> list[str]:
    """Return the headings of the sheets, figures and gallery rows that are shown."""
    return [heading.inner_text() for heading in page.locator("main h3").all() if heading.is_visible()]


def test_the_page_asks_for_nothing_but_itself(browser: "Browser", address: str) -> None:
    page = browser.new_page()
    seen = Seen(page)
    page.goto(address)
    for link in page.locator("nav a").all():
        link.click()
    page.close()
    assert [url for url in seen.requests if not url.startswith("data:")] == [address]
    assert seen.messages == []


def test_it_opens_with_the_overview(page: "Page") -> None:
    assert page.locator(".warnings li").inner_text() == f"Mind {EVIL}"
    assert titles(page) == ["Failed cells (1)", "Measure 0", "Measure 1", "Measure 2"]


def test_a_header_sorts_its_column_and_the_mean_stays_last(page: "Page") -> None:
    table = page.locator(FIRST)
    header = table.get_by_role("button", name="RD", exact=True)
    assert column(table, 2) == ["1.000", "0.970", "0.940", "0.970"]
    header.click()
    assert column(table, 2) == ["1.000", "0.970", "0.940", "0.970"]
    header.click()
    assert column(table, 2) == ["0.940", "0.970", "1.000", "0.970"]
    assert table.locator("th[aria-sort=ascending]").inner_text().startswith("RD")
    header.click()
    assert column(table, 1) == ["bottle", "cable", EVIL, "mean"]


def test_rows_between_two_rules_are_sorted_among_themselves_and_the_rules_stay(page: "Page") -> None:
    go(page, "cost")
    table = page.locator("#cost table")
    for _ in range(2):
        table.get_by_role("button", name="s", exact=True).click()
    assert column(table, 2) == ["1.000", "0.980", "0.990", "0.990"]
    rules = table.locator("tbody tr").evaluate_all("rows => rows.map(row => row.className)")
    assert rules == ["", "rule", "", "rule"]


def test_names_are_sorted_with_the_keyboard_too(page: "Page") -> None:
    table = page.locator(FIRST)
    table.get_by_role("button", name="category").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert column(table, 1) == ["cable", "bottle", EVIL, "mean"]


def test_the_filter_hides_rows_and_says_so(page: "Page") -> None:
    page.fill("#filter", "CABLE")
    assert column(page.locator(FIRST), 1) == ["cable", "mean"]
    assert "by the filter" in page.locator("#hidden").inner_text()
    page.fill("#filter", "")
    assert column(page.locator(FIRST), 1) == ["bottle", "cable", EVIL, "mean"]
    assert not page.locator("#hidden").is_visible()


def test_a_methods_box_hides_its_columns_rows_and_tiles(page: "Page") -> None:
    page.uncheck("#methods [data-method='1']")
    headers = [
        cell.inner_text() for cell in page.locator(FIRST).locator("thead th").all() if cell.is_visible()
    ]
    assert [text.strip() for text in headers] == ["category", "RD", ODD]
    assert "STFPM" in page.locator("#hidden").inner_text()
    go(page, "cost")
    assert column(page.locator("#cost table"), 1)[0] == "RD"
    assert len(column(page.locator("#cost table"), 1)) == 3
    go(page, "gallery")
    tiles = page.locator("article >> nth=0").locator("li span").all()
    assert [tile.inner_text() for tile in tiles if tile.is_visible()][:3] == ["image", "ground truth", "rd"]
    assert len([tile for tile in tiles if tile.is_visible()]) == 4


@pytest.mark.slow
def test_marks_and_ranks_are_those_of_the_methods_shown(browser: "Browser", tmp_path: Path) -> None:
    def sheets(cells: pd.DataFrame) -> tuple[Leaderboard, list[Sheet]]:
        ranks = statistics_of(cells, "pro")[0][:1]
        (board,) = leaderboards(cells, ["pro"])
        return board, [*mean_sheets(cells, ["pro"]), *filter(None, [comparison_sheet(cells, "pro")]), *ranks]

    def report(cells: pd.DataFrame) -> Report:
        board, others = sheets(cells)
        return Report("title", [], [], pd.DataFrame(), others, [], leaderboards=[board])

    def shown(page: "Page") -> list[list[tuple[str, str]]]:
        """Return text and mark of every entry shown, row by row, but for the comparison with the best."""
        rows = page.locator("main table tbody tr").all()
        entries = [
            row.locator("th, td:not(:last-child), :is(#results, #statistics) td").all() for row in rows
        ]
        return [
            [
                (cell.inner_text(), str(cell.get_attribute("class")).split()[-1])
                for cell in row
                if cell.is_visible()
            ]
            for row in entries
            if any(cell.is_visible() for cell in row)
        ]

    values = np.random.default_rng(0).uniform(0.8, 1, (4, 7)).round(3)
    values[0] += 0.1  # the best, which is hidden
    whole = cells(
        *((m, f"c{i}", v) for m, own in zip("abcd", values, strict=True) for i, v in enumerate(own))
    )
    seen = []
    for name, part in (("whole", whole), ("part", whole[whole["method"] != "a"])):
        write(report(part), tmp_path / f"{name}.html")
        page = browser.new_page()
        page.goto((tmp_path / f"{name}.html").as_uri())
        if name == "whole":
            page.uncheck("#methods [data-method='0']")
        for view in ("overview", "results", "statistics"):
            go(page, view)
            seen.append((name, view, shown(page)))
        page.close()
    for (_, view, hidden), (_, _, alone) in zip(seen[:3], seen[3:], strict=True):
        assert hidden == alone, view


def test_the_gallery_is_filtered_by_category_and_kind(page: "Page") -> None:
    go(page, "gallery")
    page.select_option("#category", "cable")
    assert titles(page) == ["cable test/hole/000.png hole disagreement 0.750"]
    page.select_option("#category", "")
    page.select_option("#kind", "crack")
    assert titles(page) == ["bottle test/crack/000.png crack disagreement 0.750"]


def test_the_gallery_shows_the_misses_and_disagreements_of_the_methods_that_are_shown(page: "Page") -> None:
    crack = ["bottle test/crack/000.png crack disagreement 0.750"]
    go(page, "gallery")
    for wanted, expected in (("miss", crack), ("disagreement", crack), ("false alarm", [])):
        page.select_option("#verdicts", wanted)
        assert titles(page) == expected
    page.select_option("#verdicts", "miss")
    page.uncheck("#methods [data-method='1']")
    assert titles(page) == []


def test_a_picture_opens_in_full_is_followed_by_the_next_and_closes(page: "Page") -> None:
    go(page, "gallery")
    viewer, picture = page.locator("#viewer"), page.locator("#viewer-picture")
    page.locator("article a >> nth=0").click()
    assert viewer.is_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 256
    assert picture.get_attribute("alt") == "bottle, test/crack/000.png: image"
    page.keyboard.press("ArrowRight")
    assert picture.get_attribute("alt") == "bottle, test/crack/000.png: ground truth"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert str(picture.get_attribute("alt")).endswith("stfpm")
    page.keyboard.press("Escape")
    assert not viewer.is_visible()


def test_a_category_and_a_method_have_their_views(page: "Page") -> None:
    go(page, "category/0")
    assert titles(page) == [
        "bottle",
        "Title of curves-0",
        "bottle test/crack/000.png crack disagreement 0.750",
    ]
    assert page.locator("#view").inner_text() == "Category: bottle"
    go(page, "method/1")
    assert titles(page)[0] == "STFPM"
    tiles = page.locator("article >> nth=0").locator("li span").all()
    assert [tile.inner_text() for tile in tiles if tile.is_visible()] == ["image", "ground truth", METHODS[1]]


def test_an_unknown_view_is_the_overview(browser: "Browser", address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}#category/99")
    assert titles(page)[0] == "Failed cells (1)"
    page.close()


def test_odd_names_are_shown_as_they_are(page: "Page") -> None:
    go(page, "category/2")
    assert EVIL in page.locator("#view").inner_text()
    assert page.locator("img[src=x]").count() == 0
    page.select_option("#kind", index=3)
    assert page.locator("article:visible").count() == 1


def test_everything_is_shown_without_scripts(browser: "Browser", address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator("figure.sheet:visible").count() == 14
    assert page.locator("article:visible").count() == 3
    assert not page.locator("#filter").is_visible()
    context.close()


def test_a_phone_shows_no_more_than_its_width(browser: "Browser", address: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(address)
    for view in ("overview", "results", "figures", "gallery", "settings"):
        go(page, view)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


def test_it_works_in_a_frame_that_may_do_nothing_but_run_scripts(
    browser: "Browser", address: str, tmp_path: Path
) -> None:
    # as MLflow shows a run's files: full pictures are out of reach, and their thumbnails take their place
    (tmp_path / "frame.html").write_text(
        "<iframe sandbox='allow-scripts' width=1200 height=800></iframe><script>"
        "const show = (html) => {document.querySelector('iframe').src ="
        "URL.createObjectURL(new Blob([html], {type: 'text/html'}))}</script>"
    )
    html = Path(address.removeprefix("file://")).read_text("utf-8")
    outer = browser.new_page()
    outer.goto((tmp_path / "frame.html").as_uri())
    outer.evaluate("html => show(html)", html)
    frame = outer.frame_locator("iframe")
    frame.locator("nav a[href='#gallery']").click()
    frame.locator("article a >> nth=1").click()
    assert frame.locator("#viewer").is_visible()
    assert frame.locator("#viewer-picture[src^='data:']").count() == 1
    outer.close()
