"""Figures of a selection of cells: what they show, what their captions admit, and that any names are harmless."""

import pickle
import re
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.text import Text

from reports.figures.curves import curve_figures
from reports.figures.distributions import score_figures
from reports.figures.losses import loss_figures
from reports.figures.pairs import pair_figures
from reports.figures.sizes import size_figures
from reports.figures.style import COLUMN, PAGE, STYLE, save
from reports.figures.summaries import summary_figures
from reports.model import Figure
from store.artifacts import Artifacts
from tests.reports.pictured import CATEGORIES, CELLS, FILES, METHODS, Made, files, pictured_cells, texts

ODD_METHODS = (r"100%_odd&co#{}~^\ $\x{$", "ast_" * 12)
ODD_CATEGORIES = ("<img src=x onerror=alert(1)>", "../$a_b$", "ünïcode 缺陷")


def all_figures(table: pd.DataFrame, artifacts: Artifacts) -> list[Figure]:
    makers = (curve_figures, score_figures, size_figures, loss_figures, pair_figures)
    figures = [figure for make in makers for figure in make(table, artifacts)]
    return [*figures, *summary_figures(table, ["image_auroc", "pro"])]


FIGURES = {figure.name: figure for figure in all_figures(CELLS, FILES)}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_can_be_drawn_by_another_process_with_all_axes_named(name: str) -> None:
    drawn = pickle.loads(pickle.dumps(FIGURES[name])).draw()
    # a colour bar and a heat map, whose ticks are names, have one name for both
    named = [bool(axes.get_xlabel()) + bool(axes.get_ylabel()) for axes in drawn.axes]
    assert sum(named) == (1 if name.startswith("heat") else 2 * len(named))


@pytest.mark.parametrize("name", FIGURES)
def test_every_caption_says_data_and_seeds(name: str) -> None:
    text = FIGURES[name].caption
    assert "dataset mvtec_ad" in text
    assert re.search(r"seeds? ", text)


def test_the_number_of_figures_is_bounded() -> None:
    by_kind = pd.Series([name.partition("-")[0] for name in FIGURES]).value_counts().to_dict()
    categories, methods, measures = len(CATEGORIES), len(METHODS), 2
    assert by_kind == {
        "curves": 1 + categories,
        **{"scores": categories, "kinds": categories, "sizes": 1, "losses": methods},
        **{"pairs": categories, "heat": measures, "boxes": measures},
    }


@pytest.mark.slow
def test_odd_names_are_printed_as_they_are_and_never_reach_a_path(tmp_path: Path) -> None:
    table = pictured_cells(ODD_METHODS, ODD_CATEGORIES)
    found = {figure.name: figure for figure in all_figures(table, files(Made()))}
    assert len(found) == len(all_figures(table, files(Made())))
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in found)
    scores = next(figure for figure in found.values() if figure.name.startswith("scores"))
    assert ODD_METHODS[0] in texts(scores.draw())
    # the font has no Chinese glyphs, which it says in a warning
    latin = [figure for figure in found.values() if figure.category != ODD_CATEGORIES[2]]
    for figure in [each for each in latin if each.section != "results" and not each.method]:
        save(figure, tmp_path)
    assert {path.parent for path in tmp_path.rglob("*")} == {tmp_path}


@pytest.mark.parametrize("width", [COLUMN, pytest.param(PAGE, marks=pytest.mark.slow)])
def test_nothing_is_cut_off_however_many_and_long_the_names(width: float) -> None:
    variants = [f"ast (mode=rgbd student={i} combine=multiply)" for i in range(7)]
    table = pictured_cells([*ODD_METHODS, *variants], [*ODD_CATEGORIES[:2], "bottle"])
    one_of_a_kind = {figure.name.partition("-")[0]: figure for figure in all_figures(table, files(Made()))}
    for figure in one_of_a_kind.values():
        with mpl.rc_context(STYLE):
            drawn = figure.draw(width=width)
            drawn.draw_without_rendering()
            box = drawn.get_tightbbox()
        assert min(box.x0, box.y0) > -0.03, figure.name
        assert box.x1 < drawn.get_figwidth() + 0.03, figure.name
        assert box.y1 < drawn.get_figheight() + 0.03, figure.name


@pytest.mark.parametrize("width", [COLUMN, PAGE])
@pytest.mark.parametrize(
    "name", [name for name in FIGURES if "-" not in name or name.endswith(("bottle", "rd", "pro"))]
)
def test_figures_are_no_wider_than_asked_for_and_their_text_has_seven_points(name: str, width: float) -> None:
    with mpl.rc_context(STYLE):
        drawn = FIGURES[name].draw(width=width)
    assert drawn.get_figwidth() <= width
    assert min(float(text.get_fontsize()) for text in drawn.findobj(Text) if text.get_text()) >= 7


def test_what_has_no_files_is_named_with_the_reason() -> None:
    assert FIGURES["curves-cable"].caption.endswith("no curves of rd (failed)")
    assert FIGURES["curves-tile"].caption.endswith("no curves of stfpm")
    assert FIGURES["scores-cable"].caption.endswith("no scores of rd (failed)")
    assert FIGURES["losses-rd"].caption.endswith("no losses of cable")
    assert "no curves" not in FIGURES["curves-bottle"].caption


def test_a_category_without_any_file_has_no_figure() -> None:
    table = pictured_cells(["rd"], ["bottle", "cable"])
    names = [figure.name for figure in curve_figures(table, files(Made(["rd/cable/0"])))]
    assert names == ["curves-bottle"]
    assert all_figures(table[:0], files(Made())) == []


def test_seeds_that_are_averaged_and_those_that_are_not() -> None:
    assert "mean over 2 seeds (0, 1)" in FIGURES["curves-bottle"].caption
    assert "seed 0 of 0, 1" in FIGURES["scores-bottle"].caption


def test_methods_of_different_seeds_say_so() -> None:
    table = pictured_cells(["stfpm", "rd"], ["bottle"], ("0", "1"), failed=["rd/bottle/0"])
    scores, *_ = score_figures(table, files(Made()))
    assert "seeds: stfpm 0, rd 1" in scores.caption
