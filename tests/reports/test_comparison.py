"""Comparison tables: what stands in a cell, which is marked best, and what the caption admits."""

import io

import pandas as pd
import pytest

from reports.cells import labels_and_changes
from reports.comparison import caption, comparison, metric_name
from reports.rendering import to_latex, to_markdown, to_rich
from tests.reports.made import NAN, cells

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


def test_missing_and_failed_cells_are_dashes_and_stay_visible() -> None:
    failed = cells(("rd", "cable", NAN), status="FAILED", metric="")
    table = comparison(pd.concat([cells(("rd", "bottle", 0.9), ("stfpm", "bottle", 0.8)), failed]), "pro")
    text = to_markdown(table, "caption")
    (row,) = [line for line in text.splitlines() if "cable" in line]
    assert row.count("–") == 2


def test_a_dataset_that_failed_as_a_whole_leaves_the_others_their_values() -> None:
    failed = cells(("rd", "bottle", NAN), dataset="folder", status="FAILED", metric="")
    table = comparison(pd.concat([cells(("rd", "bottle", 0.9)), failed]), "pro")
    assert table["rd"].to_dict() == pytest.approx(
        {"mvtec_ad bottle": 0.9, "folder bottle": NAN, "mean": 0.9}, nan_ok=True
    )


def test_a_mean_over_fewer_categories_says_so() -> None:
    table = comparison(cells(("rd", "bottle", 0.9), ("rd", "cable", 0.5), ("stfpm", "bottle", 0.8)), "pro")
    text = to_markdown(table, "caption")
    (row,) = [line for line in text.splitlines() if "mean" in line]
    assert "0.800 [1 of 2]" in row
    assert "0.700" in row


def test_a_mean_over_fewer_categories_is_never_marked_best() -> None:
    table = comparison(cells(("rd", "bottle", 0.9), ("rd", "cable", 0.5), ("stfpm", "bottle", 0.8)), "pro")
    (row,) = [line for line in to_markdown(table, "").splitlines() if "mean" in line]
    assert "**" not in row


def test_the_best_of_a_row_is_marked_as_printed_ties_included() -> None:
    table = comparison(cells(("a", "bottle", 0.91249), ("b", "bottle", 0.91151), ("c", "bottle", 0.5)), "pro")
    (row,) = [line for line in to_markdown(table, "").splitlines() if "bottle" in line]
    assert row.count("**0.912**") == 2


def test_one_method_alone_is_not_marked() -> None:
    assert "**" not in to_markdown(comparison(cells(("rd", "bottle", 0.9)), "pro"), "")


def test_latex_is_booktabs_with_names_escaped() -> None:
    table = comparison(cells(("my_method", "metal_nut & co", 0.9), ("rd", "metal_nut & co", NAN)), "pro")
    text = to_latex(table, "50 % of a_b", "tab:pro")
    assert all(
        part in text for part in (r"\toprule", r"\bottomrule", r"my\_method", r"metal\_nut \& co", "& --")
    )
    assert r"50 \% of a\_b" in text


def test_csv_keeps_the_full_numbers() -> None:
    table = comparison(cells(("rd", "bottle", 0.123456789)), "pro")
    assert pd.read_csv(io.StringIO(table.to_csv()), index_col=0).loc["bottle", "rd"] == 0.123456789


def test_the_caption_names_variant_protocol_data_weights_and_code() -> None:
    text = caption(cells(("rd", "bottle", 0.9), git_dirty="true"), "pro")
    for part in (
        "PRO (exact)",
        "protocol paper",
        "dataset mvtec_ad",
        "teacher weights imagenet",
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


def test_cells_that_differ_by_an_option_stand_in_columns_of_their_own() -> None:
    labels, changes = labels_and_changes(
        [
            ["method=rd", "method.combine=sum", "seed=0"],
            ["method=rd", "method.combine=multiply", "seed=0"],
            ["method=stfpm", "method.combine=sum", "seed=1"],
        ]
    )
    assert labels == ["combine=sum", "combine=multiply", "combine=sum"]
    assert changes == ""


@pytest.mark.parametrize(
    "option", ["backbone.weights", "protocol", "evaluation.threshold", "trainer.precision"]
)
def test_whatever_is_swept_tells_columns_apart(option: str) -> None:
    labels, _ = labels_and_changes([["method=rd", f"{option}=a"], ["method=rd", f"{option}=b"]])
    assert labels == [f"{option}=a", f"{option}=b"]


def test_the_caption_says_what_teachers_were_distilled_on() -> None:
    distilled = cells(("uninformed_students", "bottle", 0.9), pretext="240 train images of bottle, cable")
    text = caption(pd.concat([TWO_BY_TWO, distilled]), "pro")
    assert "teachers of uninformed_students distilled on 240 train images of bottle, cable;" in text
    assert "distilled" not in caption(TWO_BY_TWO, "pro")


def test_a_schedule_that_all_cells_changed_stands_in_the_caption() -> None:
    """`protocol paper` with five epochs instead of a hundred is not what was published."""
    labels, changes = labels_and_changes(
        [
            [
                "method=rd",
                "protocol=paper",
                "method.training.epochs=5",
                "trainer.threads=1",
                "tracking.maps=false",
            ],
            ["method=stfpm", "protocol=paper", "method.training.epochs=5", "trainer.threads=1"],
        ]
    )
    assert labels == ["", ""]
    assert changes == "training.epochs=5"
    text = caption(cells(("rd", "bottle", 0.9), changes=changes), "pro")
    assert "protocol paper" in text
    assert "changed: training.epochs=5" in text


def test_markup_in_names_is_shown_and_not_obeyed() -> None:
    table = comparison(cells(("[red]x", "[bold]y", 0.9), ("rd", "[bold]y", 0.8)), "pro")
    drawn = to_rich(table)
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100)
    console.print(drawn)
    assert "[red]x" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "[bold]y" in console.file.getvalue()  # type: ignore[attr-defined]


def test_metric_names_hold_what_mlflow_accepts() -> None:
    assert metric_name("pro/rd (combine=sum)") == "pro/rd _combine_sum_"
