"""Names that mean something to a parser, a file system or a table of means are like any others in every output."""

import csv
import html
import re
from pathlib import Path

import pandas as pd
import pytest

from reports.figures.curves import curve_figures
from reports.figures.distributions import draw_kinds, score_figures
from reports.figures.losses import loss_figures
from reports.figures.style import save
from reports.figures.summaries import summary_figures
from reports.model import Report, Sheet
from reports.naming import slug
from reports.page.page import render
from reports.parts import Parts
from reports.statistics.significance import statistics_of
from reports.tables.comparison import category_sheets, comparison_sheet, method_sheets
from reports.tables.cost import cost_sheets
from reports.tables.files import write_tables
from reports.tables.published import published_sheets
from reports.tables.rendering import to_markdown
from store.table import rows
from tests.reports.pictured import Made, files, pictured_cells

NAMES = (
    *(
        "mean",
        "average",
        "mean x",
        "category mean",
        "category x",
        "nan",
        "null",
        "None",
        "all",
        "a,b",
        "a=b",
        "[x]",
    ),
    *(
        "-1",
        "1e3",
        "it's",
        "50%",
        "<b>bold</b>",
        "$x_1$",
        r"\input{x}",
        "two\nlines",
        "",
        " ",
        "a\tb",
        "&amp;",
    ),
    *(
        "rd",
        "ä" * 200,
        "x" * 200 + "1",
        "x" * 200 + "2",
        "CON",
        "con",
        "../../up",
        "#1",
        "`q`|*b*",
        "中文",
        "=1+1",
    ),
)
MEASURES = ("image_auroc", "pro")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Return cells of methods and categories with such names."""
    return pictured_cells(("rd", "mean", "nan", "<b>$x_1$\n" + "x" * 200), NAMES)


@pytest.fixture(scope="module")
def sheets(table: pd.DataFrame) -> list[Sheet]:
    return [
        *(sheet for metric in MEASURES if (sheet := comparison_sheet(table, metric))),
        *category_sheets(table, MEASURES),
        *method_sheets(table, MEASURES),
        *(sheet for metric in MEASURES for sheet in published_sheets(table, metric)),
        *statistics_of(table, "pro")[0],
        *cost_sheets(table),
    ]


def test_each_category_has_a_row_of_its_own_and_the_mean_is_the_last(table: pd.DataFrame) -> None:
    sheet = comparison_sheet(table, "pro")
    assert sheet is not None
    index = [*sheet.values.index]
    assert len(index) == len(set(index)) == len(NAMES) + 1
    assert sheet.means == (len(NAMES),)
    assert index[-1] == "mean"
    expected = table[(table["metric"] == "pro") & (table["method"] == "rd")]["value"].mean()
    assert sheet.values.loc["mean", "rd"] == pytest.approx(expected)


def test_categories_of_several_datasets_keep_rows_of_their_own(table: pd.DataFrame) -> None:
    pairs = [("a", "b c"), ("a b", "c"), ("mean", "x"), ("", "mean x"), ("a / b", "c")]
    both = pd.concat([table[table["category"] == "nan"].assign(dataset=d, category=c) for d, c in pairs])
    named = both.assign(row=rows(both)).drop_duplicates("row")
    assert len(named) == len(pairs)
    assert not any(row.split(" ")[0] in ("mean", "average") for row in named["row"])


def test_every_format_holds_every_name(table: pd.DataFrame, sheets: list[Sheet], tmp_path: Path) -> None:
    parts = Parts()
    written = write_tables(table, MEASURES, sheets, tmp_path, parts)
    assert parts.failures == []
    assert [sheet.name for sheet in written] == [sheet.name for sheet in sheets]
    names = [sheet.name for sheet in sheets]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_-]+", name) and len(name) < 200 for name in names)
    with (tmp_path / "pro.csv").open(newline="") as file:
        kept = [row[0] for row in csv.reader(file)]
    assert set(NAMES) - {"mean", "average", "mean x", "category mean"} <= set(kept)
    cells = pd.read_parquet(tmp_path / "cells.parquet")
    assert set(cells["category"]) == set(NAMES)
    page = (tmp_path / "pro.html").read_text("utf-8")
    assert html.escape("<b>bold</b>") in page
    assert "<b>" not in page
    for sheet in sheets:
        lines = to_markdown(sheet).splitlines()
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in lines[: 2 + len(sheet.shown)]}
        assert len(columns) == 1, sheet.name


def test_a_row_that_only_looks_like_a_mean_is_sorted_on_the_page(sheets: list[Sheet]) -> None:
    page = render(Report("names", [], [], pd.DataFrame(), sheets, []))
    assert f'data-fixed="{len(NAMES)}"' in page
    # methods are rows of the sheets of categories: none of them is a mean, nor is the category `rd` a method
    (lines,) = set(re.findall(r'data-columns="- -" data-lines="(.*?)" data-fixed=""', page))
    assert lines == "0 1 2 3"


@pytest.mark.filterwarnings("ignore:Glyph")
def test_figures_are_drawn_with_every_name_and_stay_on_a_page(table: pd.DataFrame, tmp_path: Path) -> None:
    few = ("mean", "two\nlines", "ä" * 200, "$x_1$", "")
    own = table[table["category"].isin(few)]
    made = [
        *summary_figures(own, ["pro"]),
        *curve_figures(own, files(Made())),
        *score_figures(own, files(Made())),
        *loss_figures(own, files(Made())),
        *statistics_of(own, "pro")[1],
    ]
    assert len({figure.name for figure in made}) == len(made)
    for figure in (made[0], made[2], *made[-3:]):
        size = figure.draw().get_size_inches()
        assert size[0] <= 7
        assert size[1] <= 12
    assert save(made[0], tmp_path).name.endswith(".png")


@pytest.mark.filterwarnings("ignore:Glyph")
def test_kinds_of_defects_may_have_any_name(tmp_path: Path) -> None:
    kinds = pd.DataFrame({"rd": [0.5] * 4}, index=["two\nlines", "<b>", "x" * 200, "$x$"])
    drawn = draw_kinds(kinds, pd.Series(1, index=kinds.index), ["rd"])
    (panel,) = drawn.axes
    assert [label.get_text().count("\n") < 5 for label in panel.get_xticklabels()] == [True] * 4


def test_file_names_of_different_names_differ() -> None:
    parts = [("a", "b-c"), ("a-b", "c"), ("a", "b", "c"), ("a-b", "c-d"), ("a", "b-c-d")]
    assert len({slug("pairs", *names) for names in parts}) == len(parts)
    names = [slug(name) for name in [*NAMES, slug("A"), slug("../A b")]]
    assert all(names)
    assert len({name.lower() for name in names}) == len(names)
    assert max(map(len, names)) <= 100
