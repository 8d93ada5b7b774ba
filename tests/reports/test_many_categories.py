"""Reports of very many categories: the work grows with their number, not with its square; figures stay legible."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

from reports.figures.captions import find
from reports.figures.curves import curve_figures
from reports.figures.distributions import score_figures
from reports.figures.losses import loss_figures
from reports.figures.summaries import summary_figures
from reports.model import Report, Sheet
from reports.page.page import render
from reports.report import SHOWN
from reports.statistics.significance import limits_of, statistics_of
from reports.tables.comparison import category_sheets, comparison_sheet, lowest_rows, method_sheets
from reports.tables.latex import TALLEST, to_latex
from tests.reports.made import cells
from tests.reports.pictured import METRICS, Made, files

METHODS = ("rd", "stfpm")
PAGE_HEIGHT = 17.0  # inches: a figure of 60 rows, and twice what is left of a page


def many(count: int) -> pd.DataFrame:
    """Make cells of so many categories with names of 40 characters."""
    names = [f"{i:04}-{'name' * 9}"[:40] for i in range(count)]
    values = np.random.default_rng(0).uniform(0.6, 1, (len(METHODS), count))
    parts = [
        cells(*[(method, name, values[i, j]) for j, name in enumerate(names)], metric=metric).assign(
            run_id=[f"{method}/{name}/0" for name in names]
        )
        for metric in METRICS
        for i, method in enumerate(METHODS)
    ]
    return pd.concat(parts, ignore_index=True)


def tables(table: pd.DataFrame) -> list[Sheet]:
    compared = comparison_sheet(table, "pro")
    assert compared is not None
    return [compared, *category_sheets(table, ["pro"]), *method_sheets(table, ["pro"])]


def page(table: pd.DataFrame) -> str:
    return render(Report("many", [], [], pd.DataFrame(), tables(table), []))


@pytest.mark.parametrize(
    "work", [tables, page, partial(find, read=str), partial(score_figures, artifacts=files(Made()))]
)
@pytest.mark.slow
def test_the_work_grows_with_the_number_of_categories_and_not_with_its_square(
    work: Callable[[pd.DataFrame], object],
) -> None:
    def seconds(count: int) -> float:
        table = many(count)
        start = time.process_time()
        work(table)
        return time.process_time() - start

    seconds(20)
    assert seconds(400) < 9 * seconds(100)  # a square would be 16 times as much


@pytest.mark.slow
def test_figures_show_so_many_categories_as_are_legible() -> None:
    table = many(3 * SHOWN)
    only = lowest_rows(table, "pro", SHOWN)
    artifacts = files(Made())
    made = [
        *summary_figures(table, ["pro"], only),
        *curve_figures(table, artifacts, only),
        *score_figures(table, artifacts, only),
        *loss_figures(table, artifacts, only),
    ]
    assert len(made) == 2 + (1 + SHOWN) + 2 * SHOWN + len(METHODS)
    assert f"{SHOWN} of {3 * SHOWN} categories" in made[0].caption
    for figure in (made[0], made[1], made[2], made[-1]):
        assert height(figure.draw()) < PAGE_HEIGHT


def test_the_shown_categories_are_those_with_the_lowest_means() -> None:
    table = many(50)
    means = table[table["metric"] == "pro"].groupby("category")["value"].mean().sort_values()
    assert lowest_rows(table, "pro", 5) == [*means.index[:5]]


def test_tests_of_a_thousand_categories_name_few_and_take_no_minutes() -> None:
    table = many(1000)
    start = time.process_time()
    sheets, _ = statistics_of(table, "pro")
    assert time.process_time() - start < 20
    assert "by the normal distribution" in sheets[0].caption
    lacking = table[(table["method"] == "rd") | (table["category"] < "0500")]
    assert max(map(len, limits_of(lacking, "pro"))) < 1000


def test_a_long_table_is_continued_on_the_next_page_in_latex() -> None:
    sheet = comparison_sheet(many(120), "pro")
    assert sheet is not None
    parts = to_latex(sheet).split("\\toprule")[1:]
    rows = [part.count("\n0") for part in parts]  # names begin with a number of four digits
    assert sum(rows) == 120
    assert max(rows) <= TALLEST


def height(drawn: Drawing) -> float:
    return float(drawn.get_figheight())
