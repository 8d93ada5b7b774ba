"""Curves against the false-positive rate: means, legends, and the limit of PRO."""

import numpy as np
import pandas as pd
import pytest

from reports.figures.curves import curve_figures, mean_curve
from reports.figures.style import linestyles, palette
from tests.reports.pictured import CELLS, FILES, METHODS, Made, files, texts, xs

FIGURES = {figure.name: figure for figure in curve_figures(CELLS, FILES)}


class OfImages(Made):
    """Files of cells without ground truth for pixels."""

    def curves(self, run_id: str) -> pd.DataFrame | None:
        table = super().curves(run_id)
        return None if table is None else table[table["curve"] == "image_roc"]


def test_one_curve_stays_as_it_is() -> None:
    rates, values = np.array([0, 0.5, 1]), np.array([0, 0.8, 1])
    assert mean_curve([(rates, values)]) == (rates, values)


def test_the_area_under_a_mean_is_the_mean_of_the_areas() -> None:
    corners = np.array([0.0, 0.5, 1.0])
    curves = [(corners, np.array([0.0, 0.6, 1.0])), (corners, np.array([0.2, 1.0, 1.0]))]
    rates, values = mean_curve(curves)
    areas = [np.trapezoid(y, x) for x, y in curves]
    assert np.trapezoid(values, rates) == pytest.approx(np.mean(areas))


def test_a_curve_that_ends_at_the_limit_is_averaged_up_to_it() -> None:
    limit = np.array([0.0, 0.3])
    rates, values = mean_curve([(limit, limit), (limit, 2 * limit)])
    assert rates[-1] == pytest.approx(0.3)
    assert values[-1] == pytest.approx(0.45)


def test_legends_give_the_measures_and_colours_stay_with_the_methods() -> None:
    panel, *_ = FIGURES["curves-cable"].draw().axes
    own = CELLS[(CELLS["category"] == "cable") & (CELLS["metric"] == "image_auroc")]
    expected = own.groupby("method")["value"].mean()
    assert panel.get_legend_handles_labels()[1] == [
        f"{m.upper()} {expected[m]:.3f}" for m in ("stfpm", "ast")
    ]
    # rd, which failed here, keeps the second colour
    assert [line.get_color() for line in panel.lines] == [palette(METHODS)[m] for m in ("stfpm", "ast")]
    assert [line.get_linestyle() for line in panel.lines] == [
        linestyles(METHODS)[m] for m in ("stfpm", "ast")
    ]


def test_a_mean_over_fewer_categories_says_so_in_the_legend() -> None:
    panel, *_ = FIGURES["curves"].draw().axes
    named = [text.rsplit(" ", 4) for text in panel.get_legend_handles_labels()[1]]
    assert [len(parts) for parts in named] == [5, 5, 2]
    assert "[2 of 3]" in panel.get_legend_handles_labels()[1][1]


def test_all_panels_end_at_a_rate_of_three_tenths_or_at_a_higher_limit_of_pro() -> None:
    assert {panel.get_xlim() for panel in FIGURES["curves-bottle"].draw().axes} == {(0, 0.3)}
    higher, *_ = curve_figures(CELLS.assign(fpr_limit="0.5"), FILES)
    assert {panel.get_xlim() for panel in higher.draw().axes} == {(0, 0.5)}


def test_a_lower_limit_of_pro_is_marked() -> None:
    figure, *_ = curve_figures(CELLS.assign(fpr_limit="0.05"), FILES)
    *_, panel = figure.draw().axes
    assert [xs(line)[0] for line in panel.lines if len(xs(line)) == 2] == [0.05]


def test_without_ground_truth_for_pixels_neither_panels_nor_captions_speak_of_them() -> None:
    for figure in curve_figures(CELLS.assign(fpr_limit="0.5"), files(OfImages())):
        (panel,) = figure.draw().axes
        assert panel.get_xlim() == (0, 0.3)
        assert figure.caption.startswith("ROC of image scores, to a false-positive rate of 0.3;")
        assert "ROC of pixels" not in texts(figure.draw())


def test_a_caption_names_the_curves_and_the_limit_of_pro() -> None:
    assert FIGURES["curves-bottle"].caption.startswith(
        "ROC of image scores, ROC of pixels and mean overlap of ground-truth regions, to a false-positive rate of 0.3 "
        "(limit of PRO: 0.3); "
    )


def test_files_without_a_curve_give_no_figure() -> None:
    class Empty(Made):
        def curves(self, run_id: str) -> pd.DataFrame | None:
            return pd.DataFrame({"curve": [], "false_positive_rate": [], "value": []})

    assert curve_figures(CELLS, files(Empty())) == []
