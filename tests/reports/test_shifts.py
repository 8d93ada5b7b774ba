"""Tables and figures of shifted test images: means over levels, seeds and categories, and what they leave out."""

import math
import pickle
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.text import Text

from reports.figures.shifts import shift_figures
from reports.figures.style import COLUMN, PAGE, STYLE
from reports.tables.rendering import to_latex
from reports.tables.shifts import shift_sheet, shift_sheets, shifted_measures_sheet
from store.artifacts import Artifacts
from store.shifts import LEVELS, SHIFT_COLUMNS, SHIFTS
from tests.reports.made import cells
from tests.reports.pictured import Made, files, texts, ys

FALL = {"rd": 0.02, "stfpm": 0.05}
"""By how much the image AUROC of a method falls from level to level."""


class Shifted(Made):
    """Files of cells whose measures fall by `FALL` at each level from 1, as misses rise by one image."""

    def __init__(self, shifts: Sequence[str] = tuple(SHIFTS), without: Sequence[str] = ()) -> None:
        super().__init__(without)
        self.names = shifts

    def shifts(self, run_id: str) -> pd.DataFrame | None:
        if run_id in self.without:
            return None
        fall = FALL[run_id.split("/")[0]]
        rows = [("none", 0, 0.0)] + [
            (name, level, SHIFTS[name].levels[level - 1]) for name in self.names for level in LEVELS
        ]
        return pd.DataFrame(
            [(*row, *[1 - fall * row[1]] * 4, float(row[1]), 0.0, 20, 10) for row in rows],
            columns=list(SHIFT_COLUMNS),
        )


def table_of(
    names: Sequence[str] = tuple(SHIFTS), seeds: Sequence[str] = ("0",), **columns: Any
) -> pd.DataFrame:
    """Return the cells of two methods and two categories with the metrics that go with `Shifted`."""
    parts = []
    for method, fall in FALL.items():
        for category in ("bottle", "cable"):
            for seed in seeds:
                values = {"image_auroc": 1.0, "pro": 1.0}
                values |= {f"shifted_image_auroc/{name}": 1 - 3 * fall for name in names}
                parts += [
                    cells((method, category, value), metric=metric, seed=seed, **columns)
                    for metric, value in values.items()
                ]
    return pd.concat(parts, ignore_index=True)


def artifacts(**options: Any) -> Artifacts:
    return files(Shifted(**options))


def test_the_table_has_the_means_and_what_is_lost() -> None:
    sheet = shift_sheet(table_of(["blur", "noise"]))
    assert sheet is not None
    assert sheet.shown.reset_index().to_numpy().tolist() == [
        ["rd", "1.000", "0.940 (-0.060)", "0.940 (-0.060)", "0.940 (-0.060)"],
        ["stfpm", "1.000", "0.850 (-0.150)", "0.850 (-0.150)", "0.850 (-0.150)"],
    ]
    assert [*sheet.shown.columns] == ["none", "blur", "noise", "mean of shifts"]
    assert [*sheet.values.loc["stfpm"]] == pytest.approx([1, 0.85, 0.85, 0.85])
    assert sheet.best is not None
    assert sheet.best["blur"].tolist() == [True, False]
    assert sheet.percent is not None
    assert sheet.percent.loc["rd", "blur"] == "94.0 (-6.0)"
    barely = table_of(["blur"]).replace({"value": {0.94: 0.9999}})
    assert shift_sheets(barely, artifacts())[0].shown.loc["rd", "blur"] == "1.000 (+0.000)"
    assert "difference from the images as they are (none)" in sheet.caption


def test_several_seeds_have_deviations_and_missing_categories_are_counted() -> None:
    table = table_of(["blur"], seeds=("0", "1"))
    own = (table["metric"] == "shifted_image_auroc/blur") & (table["method"] == "rd") & (table["seed"] == "1")
    table.loc[own, "value"] = 0.9
    table = table[~((table["method"] == "stfpm") & (table["category"] == "cable"))]
    sheet = shift_sheet(table)
    assert sheet is not None
    assert sheet.shown.loc["rd", "blur"] == "0.920 ± 0.028 (-0.080)"
    assert sheet.shown.loc["stfpm", "blur"] == "0.850 [1 of 2 categories] (-0.150)"


def test_cells_without_shifts_do_not_count() -> None:
    shifted = table_of(["blur"])
    plain = cells(("ast", "bottle", 0.2), ("rd", "tile", 0.2), metric="image_auroc")
    sheet = shift_sheet(pd.concat([shifted, plain], ignore_index=True))
    assert sheet is not None
    assert [*sheet.values.index] == ["rd", "stfpm"]
    assert sheet.values.loc["rd", "none"] == 1
    assert shift_sheets(plain, artifacts(without=["ast/bottle/0", "rd/tile/0"])) == []
    assert shift_figures(plain, artifacts(without=["ast/bottle/0", "rd/tile/0"])) == []


def test_all_measures_stand_in_one_table_with_the_images_as_they_are_first() -> None:
    sheet = shifted_measures_sheet(table_of(["blur"]), artifacts(shifts=["blur"]))
    assert sheet is not None
    rows = sheet.shown.reset_index().to_numpy().tolist()
    assert rows[0] == ["rd", "none", *["1.000"] * 4, "0.0 of 40", "0.0 of 20"]
    assert rows[1] == ["rd", "blur", *["0.940 (-0.060)"] * 4, "6.0 of 40", "0.0 of 20"]
    assert [row[:2] for row in rows[2:]] == [["stfpm", "none"], ["stfpm", "blur"]]
    assert sheet.rules == (2,)
    assert "blur 3, 4, 6, 8, 10 (radius" in sheet.caption
    assert "threshold f1_image (oracle: chosen on the test images)" in sheet.caption


def test_undefined_measures_are_dashes_and_leave_out_their_figures() -> None:
    class Bare(Shifted):
        def shifts(self, run_id: str) -> pd.DataFrame | None:
            found = super().shifts(run_id)
            assert found is not None
            return found.assign(pro=math.nan, misses=math.nan, false_alarms=math.nan)

    sheet = shifted_measures_sheet(table_of(["blur"]), files(Bare(["blur"])))
    assert sheet is not None
    assert sheet.shown["PRO (exact)"].tolist() == ["–"] * 4
    assert sheet.shown["misses"].tolist() == ["–"] * 4
    figures = shift_figures(table_of(["blur"]), files(Bare(["blur"])))
    assert [figure.name for figure in figures] == ["shifts-image_auroc"]


def test_a_line_per_method_leads_from_the_images_as_they_are_to_the_last_level() -> None:
    figures = {figure.name: figure for figure in shift_figures(table_of(), artifacts())}
    assert list(figures) == ["shifts-image_auroc", "shifts-misses", "shifts-false_alarms"]
    drawn = pickle.loads(pickle.dumps(figures["shifts-image_auroc"])).draw()
    assert len(drawn.axes) == len(SHIFTS)
    for axes in drawn.axes:
        assert [ys(line) for line in axes.lines] == [
            pytest.approx([1 - fall * level for level in (0, *LEVELS)]) for fall in FALL.values()
        ]
        assert axes.get_xlabel() == "Level"
        assert axes.get_ylabel() == "Image AUROC"
    assert {"RD", "STFPM", "Blur"} <= {*texts(drawn)}
    misses = figures["shifts-misses"].draw().axes[0]
    assert ys(misses.lines[0]) == pytest.approx(
        [5 * level for level in (0, *LEVELS)]
    )  # of 20 images, in percent


def test_captions_say_what_was_done_and_what_is_missing() -> None:
    table = table_of(mode="rgbd")
    names = ["rd/bottle/0", "rd/cable/0", "stfpm/cable/0"]
    for figure in shift_figures(table, artifacts(without=names)):
        assert "level 0: the images as they are" in figure.caption
        assert "jpeg 80, 65, 58, 50, 40 (quality" in figure.caption
        assert "means over 2 categories, of fewer for stfpm (1 of 2)" in figure.caption
        assert "depth of stfpm is left as it is" in figure.caption
        assert figure.caption.endswith("no shifts of rd")


@pytest.mark.parametrize("width", [COLUMN, PAGE])
@pytest.mark.parametrize("count", [1, 8])
def test_nothing_is_cut_off_and_text_has_seven_points(width: float, count: int) -> None:
    names = [*SHIFTS][:count]
    for figure in shift_figures(table_of(names), artifacts(shifts=names))[:2]:
        with mpl.rc_context(STYLE):
            drawn = figure.draw(width=width)
            drawn.draw_without_rendering()
            box = drawn.get_tightbbox()
        assert min(box.x0, box.y0) > -0.03
        assert box.x1 < drawn.get_figwidth() + 0.03 <= width + 0.03
        assert box.y1 < drawn.get_figheight() + 0.03
        assert min(float(text.get_fontsize()) for text in drawn.findobj(Text) if text.get_text()) >= 7


def test_the_tables_are_printed_in_latex() -> None:
    for sheet in shift_sheets(table_of(), artifacts()):
        assert r"\begin{tabular" in to_latex(sheet)
