"""The page: one file, no request, everything that was given is in it and harmless."""

import base64
import hashlib
import io
import re
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing
from PIL import Image

from reports.model import Figure, GalleryRow, Report, Sheet, Tile
from reports.page.page import COLOURS, render, write
from tests.reports.made import NAN

EVIL = "<img src=x onerror=alert(1)>"
ODD = "100%_odd&co#{}~^\\ \"'\u2028</script>"
METHODS = ["rd", "stfpm", ODD]
CATEGORIES = ["bottle", "cable", EVIL]


def sheet(name: str, title: str, index: list[str], columns: list[str], **parts: Any) -> Sheet:
    """Make a sheet of distinct values, which fall along the rows; its last row is their mean."""
    numbers = 1 - np.arange(len(index) * len(columns)).reshape(len(index), -1) / 100
    of = "method" if index == METHODS else "category"
    values = pd.DataFrame(numbers, index=pd.Index(index, name=of), columns=columns)
    values.loc["mean"] = values.mean()
    shown = values.map("{:.3f}".format)
    best = values.eq(values.max(axis=1), axis=0)
    last = (len(index),)
    return Sheet(
        name, title, f"Caption of {title}", values, shown, best=best, rules=last, means=last, **parts
    )


def drawn() -> Drawing:
    figure = Drawing(figsize=(4, 2))
    figure.subplots().imshow(np.arange(600).reshape(20, 30), cmap="viridis")
    return figure


def figure(folder: Path, name: str, **parts: str) -> tuple[Figure, Path]:
    path = folder / "figures" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    drawn().savefig(path)
    parts = {"section": "results", **parts}
    return Figure(name, f"Title of {name}", f"Caption of {name}.", partial(drawn), **parts), path


def gallery_row(folder: Path, category: str, kind: str) -> GalleryRow:
    tiles = [tile(folder, name) for name in ("image", "ground truth")]
    outcomes = ["hit", "miss" if kind == "crack" else "hit"]
    tiles += [
        replace(tile(folder, method), note="score 0.5, 0.9 × threshold", outcome=outcome)
        for method, outcome in zip(METHODS[:2], outcomes, strict=True)
    ]
    ranks = {METHODS[0]: 0.25, METHODS[1]: 1.0, METHODS[2]: NAN}
    tiles.append(Tile(f"{ODD}: no map", b"", Path()))
    return GalleryRow(category, f"test/{kind}/000.png", kind, 0.75, ranks, tiles)


def tile(folder: Path, title: str) -> Tile:
    full, buffer = Path("pictures") / "a b" / f"{title}.jpg", io.BytesIO()
    (folder / full).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (256, 256), "teal").save(folder / full)
    Image.new("RGB", (112, 112), "teal").save(buffer, "JPEG")
    return Tile(title, buffer.getvalue(), full)


def made_report(folder: Path) -> Report:
    """Make a report of three methods and categories, of which one each has an odd name."""
    return Report(
        title=f"Sweep {ODD}",
        facts=[("store", EVIL)],
        warnings=[f"Mind {EVIL}"],
        failures=pd.DataFrame(
            [[ODD, EVIL, "0", "out of <b>memory</b>"]], columns=["method", "category", "seed", "reason"]
        ),
        sheets=[
            *(sheet(f"measure_{i}", f"Measure {i}", CATEGORIES, METHODS) for i in range(4)),
            *(
                sheet(f"category_{i}", name, METHODS, ["PRO"], category=name)
                for i, name in enumerate(CATEGORIES)
            ),
            *(sheet(f"method_{i}", name, CATEGORIES, ["PRO"], method=name) for i, name in enumerate(METHODS)),
            sheet("tests", "Tests", METHODS, ["p"], section="statistics"),
            replace(sheet("times", "Times", METHODS, ["s"], section="cost"), rules=(1, 3)),
            sheet("papers", "Papers", METHODS, ["PRO"], section="published"),
        ],
        figures=[
            figure(folder, "heat"),
            figure(folder, "cd", section="statistics"),
            figure(folder, "curves-0", section="curves", category="bottle"),
        ],
        gallery=[
            gallery_row(folder, "bottle", "crack"),
            gallery_row(folder, "cable", "hole"),
            gallery_row(folder, EVIL, ODD),
        ],
        gallery_note="How it is coloured.",
        configs=[("rd", f"name: {EVIL}"), (f"{ODD} bottle", "a: 1"), ("of everything", "b: 2")],
        environments=[("first", "torch==2")],
    )


class Elements(HTMLParser):
    """All elements of a page, (tag, attributes), and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attributes}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, attribute: str, tag: str = "") -> list[str]:
        return [found[attribute] for name, found in self.found if attribute in found and tag in ("", name)]

    def views(self, tag: str) -> list[str]:
        return self.values("data-views", tag)


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(made_report(tmp_path_factory.mktemp("report")))


@pytest.fixture(scope="module")
def page(html: str) -> Elements:
    return Elements(html)


def test_everything_is_in_the_file_and_links_lead_to_files_next_to_it(page: Elements) -> None:
    sources = [*page.values("src"), *page.values("href", "link")]
    assert all(source.startswith("data:") for source in sources)
    links = {link for link in page.values("href", "a") if not link.startswith("#")}
    assert {link.split("/")[0] for link in links} == {"figures", "pictures"}
    assert "figures/curves-0.pdf" in links
    assert "pictures/a%20b/ground%20truth.jpg" in links


def test_the_policy_lets_the_own_script_and_style_run_and_nothing_else(html: str, page: Elements) -> None:
    policy = next(
        found["content"] for _, found in page.found if "Content-Security" in found.get("http-equiv", "")
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_no_element_has_styles_or_handlers_of_its_own(page: Elements) -> None:
    names = {name for _, found in page.found for name in found}
    assert not [name for name in names if name == "style" or name.startswith("on")]


def test_odd_names_are_text(page: Elements) -> None:
    assert all("onerror" not in found for tag, found in page.found if tag == "img")
    assert [tag for tag, _ in page.found].count("script") == 1
    for text in (EVIL, ODD, "out of <b>memory</b>", f"Mind {EVIL}", f"name: {EVIL}"):
        assert text in page.text


def test_all_that_a_report_holds_is_on_the_page(page: Elements) -> None:
    given = ["How it is coloured.", "torch==2", "b: 2", "Caption of Papers", "Caption of cd.", "1 warning"]
    assert [text for text in given if text not in page.text] == []
    assert len(page.views("article")) == 3
    # the sheets, and the failed cells
    assert (
        len([found for tag, found in page.found if "sheet" in found.get("class", "") and tag == "figure"])
        == 14
    )


def test_categories_and_methods_have_views_of_their_sheets_figures_gallery_and_configurations(
    page: Elements,
) -> None:
    # and only these, as there are several
    for view in ("category/0", "method/2"):
        assert view in page.views("figure")
    assert page.views("figure").count("category/0") == 2
    assert "gallery method/0 method/1 method/2 category/2" in page.views("article")
    # a configuration belongs to the method that its label begins with
    assert page.views("details")[1:] == ["settings method/0", "settings method/2", "settings", "settings"]


def test_the_overview_shows_the_first_tables_of_the_results_and_the_figures_of_statistics_are_there_too(
    page: Elements,
) -> None:
    assert page.views("figure").count("overview results") == 3
    assert "figures statistics" in page.views("figure")


def test_the_only_category_is_in_the_common_views_too(tmp_path: Path) -> None:
    alone = sheet("alone", "bottle", ["rd"], ["PRO"], category="bottle")
    drawn_alone = figure(tmp_path, "curves", section="curves", category="bottle")
    page = Elements(render(Report("title", [], [], pd.DataFrame(), [alone], [drawn_alone])))
    assert page.views("figure") == ["results category/0", "figures category/0"]


def test_columns_and_rows_name_the_methods_that_they_are_about(page: Elements) -> None:
    assert page.values("data-columns")[0] == "0 1 2"
    assert page.values("data-lines")[4] == "0 1 2 -"
    assert page.values("data-fixed")[0] == "3"


def test_a_tile_has_its_score_and_a_wrong_verdict_and_without_a_picture_says_so(page: Elements) -> None:
    assert f"{ODD}: no map" in page.text
    assert "rank –" in page.text
    assert "score 0.5, 0.9 × threshold" in page.text
    assert "missed" in page.text


def test_a_sheet_of_an_unknown_section_is_among_the_results(tmp_path: Path) -> None:
    lost = sheet("lost", "Lost", ["bottle"], ["rd"], section="elsewhere")
    nothing = pd.DataFrame(columns=["method"])
    page = Elements(render(Report("title", [], [], nothing, [lost], [])))
    assert page.views("figure") == ["overview results"]


def test_a_report_of_nothing_is_a_page_that_says_what_it_is_of() -> None:
    page = Elements(render(Report("nothing yet", [], [], pd.DataFrame(columns=["method"]), [], [])))
    assert page.text.count("nothing yet") == 2
    assert page.values("href", "a") == ["#content", "#overview"]


def test_figures_are_reduced_to_few_colours_on_white_and_keep_their_size(tmp_path: Path) -> None:
    report = made_report(tmp_path)
    source = next(src for src in Elements(render(report)).values("src") if src.startswith("data:image/png"))
    with (
        Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as reduced,
        Image.open(report.figures[0][1]) as drawing,
    ):
        assert reduced.size == drawing.size
        assert len(reduced.convert("RGB").getcolors(2**16) or []) <= COLOURS
        assert reduced.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        difference = np.asarray(reduced.convert("RGB"), float) - np.asarray(drawing.convert("RGB"), float)
        assert np.abs(difference).mean() < 2


def test_the_page_is_written_in_utf_8(tmp_path: Path) -> None:
    write(made_report(tmp_path), tmp_path / "index.html")
    assert 'charset="utf-8"' in (tmp_path / "index.html").read_text("utf-8")
