"""The order of rows and columns, and the groups that have means of their own."""

import pandas as pd
import pytest

from reports.parts import Sheet
from reports.tables.comparison import comparison_sheet
from reports.tables.groups import OBJECTS, TEXTURES, column_order, mean_rows, row_order, spans
from tests.reports.made import NAN, cells

ALL = [*OBJECTS, *TEXTURES]


def made(*categories: str, **columns: str) -> pd.DataFrame:
    """Make cells of two methods; a category's PRO is its place, in hundredths, and stfpm's is half as large."""
    values = [
        (method, category, place / 100 / divisor)
        for method, divisor in (("rd", 1), ("stfpm", 2))
        for place, category in enumerate(categories)
    ]
    return cells(*values, **columns)


def sheet_of(table: pd.DataFrame) -> Sheet:
    sheet = comparison_sheet(table, "pro")
    assert sheet is not None
    return sheet


def test_mvtec_ad_has_textures_then_objects_then_their_means() -> None:
    sheet = sheet_of(made(*ALL))
    assert [*sheet.shown.index] == [*TEXTURES, *OBJECTS, "mean textures", "mean objects", "mean"]
    # objects came first: 0 to 9 hundredths; textures 10 to 14
    assert list(sheet.values.loc["mean textures"]) == pytest.approx([0.12, 0.06])
    assert list(sheet.values.loc["mean objects"]) == pytest.approx([0.045, 0.0225])
    assert list(sheet.values.loc["mean"]) == pytest.approx([0.07, 0.035])
    assert sheet.rules == (5, 15)
    assert "row mean textures" not in sheet.caption


def test_means_of_groups_say_which_categories_they_cover() -> None:
    sheet = sheet_of(made("zipper", "bottle", "grid"))
    assert [*sheet.shown.index] == ["grid", "bottle", "zipper", "mean textures", "mean objects", "mean"]
    assert "row mean textures: 1 of 5 (grid); row mean objects: 2 of 10 (bottle, zipper)" in sheet.caption


@pytest.mark.parametrize("categories", [("bottle", "cable"), ("carpet",), ("capsule of our own", "bottle")])
def test_one_group_alone_has_no_mean_of_its_own(categories: tuple[str, ...]) -> None:
    assert list(mean_rows(made(*categories))) == ["mean"]


def test_a_mean_of_a_group_is_marked_where_a_method_lacks_a_category_and_the_others_are_not() -> None:
    table = made("grid", "tile", "bottle")
    table.loc[(table["method"] == "rd") & (table["category"] == "tile"), "value"] = NAN
    sheet = sheet_of(table)
    assert list(sheet.shown.loc["mean textures"]) == ["0.000 [1 of 2]", "0.003"]
    assert list(sheet.shown.loc["mean objects"]) == ["0.020", "0.010"]
    assert sheet.best is not None
    assert sheet.best.loc["mean objects", "rd"]
    assert not sheet.best.loc[["mean textures", "mean"]].any(axis=None)


def test_means_of_groups_are_over_seeds_like_all_means() -> None:
    seeds = [made(*ALL, seed="0"), made(*ALL, seed="1").assign(value=lambda table: table["value"] + 0.2)]
    assert sheet_of(pd.concat(seeds)).shown.loc["mean textures", "rd"] == "0.220 ± 0.141"


def test_other_datasets_keep_the_order_of_the_sweep() -> None:
    table = made("weave", "bottle", "carpet", dataset="folder")
    assert row_order(table) == ["weave", "bottle", "carpet"]
    assert list(mean_rows(table)) == ["mean"]


def test_several_datasets_have_means_of_their_own() -> None:
    sheet = sheet_of(pd.concat([made("cable", "grid"), made("washer", dataset="folder")]))
    assert [*sheet.shown.index] == [
        *("mvtec_ad grid", "mvtec_ad cable", "folder washer"),
        *("mean mvtec_ad", "mean folder", "mean"),
    ]
    assert sheet.values.loc["mean mvtec_ad", "rd"] == pytest.approx(0.005)
    assert sheet.rules == (2, 3)


def test_columns_are_grouped_by_what_a_method_looks_at() -> None:
    modes = [
        cells(("ast", "bagel", 0.5), dataset="mvtec_3d", variant=f"mode={mode}", mode=mode)
        for mode in ("rgbd", "depth", "rgb")
    ]
    table = pd.concat([*modes, cells(("rd", "bagel", 0.5), dataset="mvtec_3d", mode="rgb")])
    assert column_order(table) == ["ast (mode=rgb)", "rd", "ast (mode=depth)", "ast (mode=rgbd)"]
    assert sheet_of(table).spans == (("RGB", 2), ("3D", 1), ("RGB+3D", 1))


def test_columns_of_images_alone_have_no_headings_above() -> None:
    assert spans(made("bottle", mode="rgb")) == spans(made("bottle")) == ()
    assert column_order(made("bottle")) == ["rd", "stfpm"]
