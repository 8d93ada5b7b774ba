"""The order of rows and columns, and the groups that have means of their own."""

import pandas as pd
import pytest

from reports.model import Sheet
from reports.tables.comparison import comparison_sheet
from reports.tables.groups import column_order, mean_rows, row_order, spans
from tests.reports.made import NAN, cells

GROUPS = {
    **dict.fromkeys(("bottle", "cable", "zipper"), "objects"),
    **dict.fromkeys(("carpet", "grid", "tile"), "textures"),
}


def made(*categories: str, **columns: str) -> pd.DataFrame:
    """Make cells of two methods; a category's PRO is its position, in hundredths, and stfpm's is half as large."""
    values = [
        (method, category, position / 100 / divisor)
        for method, divisor in (("rd", 1), ("stfpm", 2))
        for position, category in enumerate(categories)
    ]
    table = cells(*values, **columns)
    return table.assign(group=table["category"].map(lambda name: GROUPS.get(name, "")))


def sheet_of(table: pd.DataFrame) -> Sheet:
    sheet = comparison_sheet(table, "pro")
    assert sheet is not None
    return sheet


def test_categories_are_ordered_by_group_and_groups_have_means() -> None:
    sheet = sheet_of(made("grid", "bottle", "our own", "tile", "cable"))
    assert [*sheet.shown.index] == [
        *("grid", "tile", "bottle", "cable", "our own"),
        *("mean textures", "mean objects", "mean"),
    ]
    assert list(sheet.values.loc["mean textures"]) == pytest.approx([0.015, 0.0075])
    assert list(sheet.values.loc["mean objects"]) == pytest.approx([0.025, 0.0125])
    assert list(sheet.values.loc["mean"]) == pytest.approx([0.02, 0.01])
    assert sheet.rules == (2, 5)


@pytest.mark.parametrize("categories", [("bottle", "cable"), ("carpet",), ("our own", "bottle")])
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
    first = made("bottle", "carpet", "grid", seed="0")
    second = first.assign(seed="1", value=first["value"] + 0.2)
    assert sheet_of(pd.concat([first, second])).shown.loc["mean textures", "rd"] == "0.115 ± 0.141"


def test_categories_without_groups_keep_the_order_of_the_sweep() -> None:
    table = made("weave", "bolt", "carpet", dataset="folder").assign(group="")
    assert row_order(table) == ["weave", "bolt", "carpet"]
    assert list(mean_rows(table)) == ["mean"]


def test_several_datasets_have_means_of_their_own() -> None:
    sheet = sheet_of(pd.concat([made("cable", "grid"), made("washer", dataset="folder")]))
    assert [*sheet.shown.index] == [
        *("mvtec_ad cable", "mvtec_ad grid", "folder washer"),
        *("mean mvtec_ad", "mean folder", "mean"),
    ]
    assert sheet.values.loc["mean mvtec_ad", "rd"] == pytest.approx(0.005)
    assert sheet.rules == (2, 3)


def test_columns_are_grouped_by_mode() -> None:
    modes = [
        cells(("ast", "bagel", 0.5), dataset="mvtec_3d", variant=f"mode={mode}", mode=mode)
        for mode in ("rgbd", "depth", "rgb")
    ]
    table = pd.concat([*modes, cells(("rd", "bagel", 0.5), dataset="mvtec_3d", mode="rgb")])
    assert column_order(table) == ["ast (mode=rgb)", "rd", "ast (mode=depth)", "ast (mode=rgbd)"]
    assert sheet_of(table).spans == (("RGB", 2), ("3D", 1), ("RGB+3D", 1))


def test_columns_of_rgb_alone_have_no_headings_above() -> None:
    assert spans(made("bottle", mode="rgb")) == spans(made("bottle")) == ()
    assert column_order(made("bottle")) == ["rd", "stfpm"]
