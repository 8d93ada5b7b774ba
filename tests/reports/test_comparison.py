"""Comparison tables: entries, marks and captions."""

import re

import pandas as pd
import pytest

from metrics import MEASURES
from reports.model import Sheet
from reports.tables.comparison import (
    caption,
    category_sheets,
    comparison,
    comparison_sheet,
    method_sheets,
)
from tests.reports.made import NAN, cells, over_seeds

TWO_BY_TWO = cells(
    ("rd", "bottle", 0.91), ("rd", "cable", 0.8), ("stfpm", "bottle", 0.95), ("stfpm", "cable", 0.7)
)


def test_rows_are_categories_in_running_order_and_their_mean() -> None:
    table = comparison(TWO_BY_TWO, "pro")
    assert list(table.index) == ["bottle", "cable", "mean"]
    assert list(table.columns) == ["rd", "stfpm"]
    assert table.loc["mean"].to_numpy() == pytest.approx([0.855, 0.825])


def test_seeds_are_averaged() -> None:
    two = pd.concat([cells(("rd", "bottle", 0.9)), cells(("rd", "bottle", 0.8), seed="1")])
    assert comparison(two, "pro").loc["bottle", "rd"] == pytest.approx(0.85)


def sheet_of(made: pd.DataFrame, metric: str = "pro", relevant: float = 0.0) -> Sheet:
    sheet = comparison_sheet(made, metric, relevant)
    assert sheet is not None
    return sheet


def marked(frame: pd.DataFrame | None) -> list[tuple[str, str]]:
    """Return (row, column) of the entries that are marked."""
    assert frame is not None
    rows = zip(frame.index, frame.to_numpy(bool), strict=True)
    return [
        (str(row), str(column))
        for row, marks in rows
        for column, mark in zip(frame, marks, strict=True)
        if mark
    ]


def test_an_entry_without_a_value_says_why() -> None:
    sheet = sheet_of(
        pd.concat(
            [
                cells(("rd", "bottle", 0.9), ("stfpm", "bottle", 0.8), ("stfpm", "cable", NAN)),
                cells(("rd", "cable", NAN), status="FAILED", metric=""),
                cells(("rd", "grid", 0.5), metric="dice"),
                cells(("stfpm", "grid", NAN), status="RUNNING", metric=""),
            ]
        )
    )
    assert sheet.shown.loc["cable"].to_dict() == {"rd": "failed", "stfpm": "undefined"}
    assert sheet.shown.loc["grid"].to_dict() == {"rd": "undefined", "stfpm": "–"}
    for word in ("failed:", "undefined:", "–:"):
        assert word in sheet.caption
    assert "failed:" not in sheet_of(TWO_BY_TWO).caption


def test_what_failed_or_runs_everywhere_keeps_its_row_and_column() -> None:
    """A table does not look complete because a whole row or column is missing."""
    sheet = sheet_of(
        pd.concat(
            [
                cells(("rd", "bottle", 0.9)),
                cells(("ast", "bottle", NAN), status="FAILED", metric=""),
                cells(("rd", "cable", NAN), status="KILLED", metric=""),
            ]
        )
    )
    assert sheet.shown["ast"].to_dict() == {"bottle": "failed", "cable": "–", "mean": "–"}
    assert sheet.shown.loc["mean", "rd"] == "0.900 [1 of 2]"
    assert "[n of m]: n of m categories" in sheet.caption


def test_a_dataset_that_failed_as_a_whole_leaves_the_others_their_values() -> None:
    failed = cells(("rd", "bottle", NAN), dataset="folder", status="FAILED", metric="")
    table = comparison(pd.concat([cells(("rd", "bottle", 0.9)), failed]), "pro")
    assert table["rd"].to_dict() == pytest.approx(
        {"mvtec_ad bottle": 0.9, "folder bottle": NAN, "mean": 0.9}, nan_ok=True
    )


FEWER = cells(("rd", "bottle", 0.9), ("rd", "cable", 0.5), ("stfpm", "bottle", 0.8))


def test_a_mean_over_fewer_categories_says_so() -> None:
    assert list(sheet_of(FEWER).shown.loc["mean"]) == ["0.700", "0.800 [1 of 2]"]


def test_a_mean_over_fewer_categories_makes_no_mean_best_or_second() -> None:
    sheet = sheet_of(FEWER)
    assert marked(sheet.best) == [("bottle", "rd")]
    assert marked(sheet.second) == [("bottle", "stfpm")]


def test_the_best_and_the_second_of_a_row_are_marked_as_printed_ties_included() -> None:
    """0.91249 and 0.91151 are printed alike; all that share the next value are second."""
    values = {"a": 0.91249, "b": 0.91151, "c": 0.5, "d": 0.4999, "e": 0.4}
    sheet = sheet_of(cells(*[(name, "bottle", value) for name, value in values.items()]))
    assert marked(sheet.best) == [(row, name) for row in ("bottle", "mean") for name in "ab"]
    assert marked(sheet.second) == [(row, name) for row in ("bottle", "mean") for name in "cd"]
    assert "best of each row bold, second underlined" in sheet.caption


def test_values_that_are_printed_alike_are_alike_however_they_round() -> None:
    """0.9015 is a little less in binary and printed as 0.901, though numpy rounds it to 0.902."""
    sheet = sheet_of(cells(("a", "bottle", 0.9015), ("b", "bottle", 0.901)))
    assert list(sheet.shown.loc["bottle"]) == ["0.901", "0.901"]
    assert ("bottle", "a") in marked(sheet.best)
    assert ("bottle", "b") in marked(sheet.best)


@pytest.mark.parametrize("others", [[], [("stfpm", "bottle", NAN)]])
def test_one_method_alone_is_not_marked(others: list[tuple[str, str, float]]) -> None:
    sheet = sheet_of(cells(("rd", "bottle", 0.9), *others))
    assert marked(sheet.best) == marked(sheet.second) == []
    assert "bold" not in sheet.caption


@pytest.mark.parametrize(
    ("second", "relevant"), [(0.894, True), (0.895, False), (0.8949, False), (0.9, False)]
)
def test_by_the_thesis_rule_only_an_improvement_of_more_than_half_a_point_is_marked(
    second: float, relevant: bool
) -> None:
    sheet = sheet_of(
        cells(("rd", "bottle", 0.9), ("stfpm", "bottle", second), ("ast", "bottle", 0.1)), relevant=0.005
    )
    assert (("bottle", "rd") in marked(sheet.best)) == relevant
    assert bool(marked(sheet.second)) == relevant
    assert "by more than 0.005" in sheet.caption


def test_values_keep_the_full_numbers() -> None:
    assert sheet_of(cells(("rd", "bottle", 0.123456789))).values.loc["bottle", "rd"] == 0.123456789


def test_the_caption_names_variant_protocol_data_teacher_and_code() -> None:
    text = caption(cells(("rd", "bottle", 0.9), git_dirty="true"), "pro")
    for part in (
        "PRO (exact)",
        "protocol paper",
        "dataset mvtec_ad",
        "teacher resnet18.tv_in1k (timm's ImageNet weights);",
        "rate of 0.3",
    ):
        assert part in text
    assert "code 0123456789 with changes" in text


@pytest.mark.parametrize(
    ("policy", "oracle"), [("f1_image", True), ("dice_max", True), ("train_quantile", False)]
)
def test_the_caption_admits_a_threshold_chosen_on_test_images(policy: str, oracle: bool) -> None:
    text = caption(cells(("rd", "bottle", 0.9), threshold_policy=policy, metric="dice"), "dice")
    assert ("oracle" in text) == oracle


def test_a_measure_that_nobody_has_gives_no_table() -> None:
    assert comparison(TWO_BY_TWO, "dice").empty


def test_variants_of_a_method_have_their_own_columns() -> None:
    variants = [cells(("rd", "bottle", 0.9), variant=f"combine={name}") for name in ("sum", "multiply")]
    table = comparison(pd.concat([*variants, cells(("stfpm", "bottle", 0.8))]), "pro")
    assert list(table.columns) == ["rd (combine=sum)", "rd (combine=multiply)", "stfpm"]


@pytest.mark.parametrize(
    ("images", "text"),
    [("own", "240 train images of the tested categories"), ("imagenet", "240 images of imagenet")],
)
def test_the_caption_says_on_which_images_teachers_were_pretrained(images: str, text: str) -> None:
    columns = {"pretraining_images": images, "pretraining_count": "240"}
    table = pd.concat([TWO_BY_TWO, cells(("uninformed_students", "bottle", 0.9), **columns)])
    assert f"teachers of uninformed_students pretrained on {text};" in caption(table, "pro")
    assert "pretrained" not in caption(TWO_BY_TWO, "pro")


@pytest.mark.parametrize(("images", "is_named"), [("none", True), ("imagenet", False), ("", False)])
def test_the_caption_says_where_natural_images_were_missing(images: str, is_named: bool) -> None:
    table = pd.concat([TWO_BY_TWO, cells(("efficient_ad", "bottle", 0.9), natural_images=images)])
    assert ("efficient_ad trained without natural images;" in caption(table, "pro")) == is_named


def test_changed_settings_are_in_the_caption() -> None:
    """`protocol paper` with five epochs instead of a hundred is not the published schedule."""
    text = caption(cells(("rd", "bottle", 0.9), changes="training.epochs=5"), "pro")
    assert "protocol paper" in text
    assert "changed: training.epochs=5" in text


@pytest.mark.parametrize(
    ("metric", "variant"),
    [
        ("pro", "exact: "),
        ("pro_official_100", "official_100: "),
        ("pro_per_image_200", "per_image_200: "),
        ("pro_rescaled", "rescaled: "),
    ],
)
def test_the_caption_of_every_pro_names_its_variant(metric: str, variant: str) -> None:
    assert f"PRO variant {variant}{MEASURES[metric].note[:-1]}" in caption(
        cells(("rd", "bottle", 0.9), metric=metric), metric
    )


def test_the_caption_admits_a_measure_that_is_an_oracle_by_itself() -> None:
    text = caption(
        cells(("rd", "bottle", 0.9), metric="dice_max", threshold_policy="train_quantile"), "dice_max"
    )
    assert "Dice (max) is an oracle" in text


SEVERAL = pd.concat(
    [
        over_seeds(
            {("rd", "bottle"): [0.9, 0.8], ("stfpm", "bottle"): [0.7, 0.7], ("rd", "cable"): [0.6, None]}
        ),
        over_seeds({("rd", "bottle"): [0.5, 0.6], ("stfpm", "bottle"): [0.6, 0.6]}).assign(metric="dice"),
    ]
)


def test_a_category_has_a_sheet_of_all_methods_and_measures() -> None:
    bottle, cable = category_sheets(SEVERAL, ["pro", "dice", "image_ap"])
    assert (bottle.category, bottle.name, bottle.shown.index.name) == ("bottle", "category-bottle", "method")
    assert bottle.shown.to_dict("index") == {
        "rd": {"PRO (exact)": "0.850 ± 0.071", "Dice": "0.550 ± 0.071"},
        "stfpm": {"PRO (exact)": "0.700 ± <0.001", "Dice": "0.600 ± <0.001"},
    }
    assert marked(bottle.best) == [("rd", "PRO (exact)"), ("stfpm", "Dice")]
    assert "row mean" not in bottle.caption
    assert list(cable.shown.loc["rd"]) == ["0.600 [1 of 2]", "failed"]


def test_a_method_has_a_sheet_of_all_categories_and_measures() -> None:
    rd, stfpm = method_sheets(SEVERAL, ["pro", "dice"])
    assert (rd.method, rd.name, rd.best) == ("rd", "method-rd", None)
    assert rd.shown["PRO (exact)"].to_dict() == {
        "bottle": "0.850 ± 0.071",
        "cable": "0.600 [1 of 2]",
        "mean": "0.750 [1 of 2]",
    }
    assert list(stfpm.shown.loc["cable"]) == ["–", "–"]
    assert "PRO variant exact" in rd.caption
    assert "threshold f1_image (oracle" in rd.caption


def test_names_that_differ_in_signs_alone_get_files_of_their_own() -> None:
    odd = cells(*[("rd", name, 0.5) for name in ("a 2", "a", "a+", "a-", "中")])
    names = [sheet.name for sheet in category_sheets(odd, ["pro"])]
    assert len(set(names)) == 5
    assert all(re.fullmatch(r"[\w-]+", name, re.ASCII) for name in names)


def test_no_measure_gives_no_sheets() -> None:
    assert comparison_sheet(TWO_BY_TWO, "dice") is None
    assert category_sheets(TWO_BY_TWO, ["dice"]) == method_sheets(TWO_BY_TWO, ["dice"]) == []
