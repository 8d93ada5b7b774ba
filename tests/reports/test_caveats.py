"""The warnings of a report: each is there when it must be, names whom it concerns, and is not there otherwise."""

import pandas as pd
import pytest

from reports.caveats import caveats
from tests.reports.made import NAN, cells, over_seeds

PAIRS = [(method, category) for method in ("rd", "ast") for category in ("bottle", "cable")]
CLEAN = over_seeds({pair: [0.9] * 5 for pair in PAIRS})


def with_own(method: str, table: pd.DataFrame = CLEAN, **columns: str) -> pd.DataFrame:
    """Return a table of which one method has other tags."""
    return table.assign(**{n: table[n].where(table["method"] != method, v) for n, v in columns.items()})


def only(table: pd.DataFrame) -> str:
    """Return the one warning that there is."""
    (sentence,) = caveats(table)
    return sentence


def also(name: str, table: pd.DataFrame = CLEAN) -> pd.DataFrame:
    """Return a table of which every cell has another measure, too."""
    return pd.concat([table, table.assign(metric=name)], ignore_index=True)


def test_a_clean_comparison_has_no_warning() -> None:
    assert caveats(CLEAN) == []


def test_no_cells_have_no_warning() -> None:
    assert caveats(CLEAN.iloc[:0]) == []


def test_failed_cells_are_counted_and_named() -> None:
    failed = over_seeds({pair: [0.9] * 4 + [None if pair == ("rd", "cable") else 0.9] for pair in PAIRS})
    found = caveats(failed)
    assert found[0] == "1 of 20 cells failed, and means go without: rd (cable seed 4)."


@pytest.mark.parametrize(
    ("status", "told"), [("RUNNING", "is still running"), ("KILLED", "is unfinished (killed)")]
)
def test_cells_that_have_not_ended_are_counted_and_named(status: str, told: str) -> None:
    last = (CLEAN["method"] == "rd") & (CLEAN["category"] == "cable") & (CLEAN["seed"] == "4")
    table = CLEAN.assign(status=CLEAN["status"].mask(last, status))
    assert only(table) == f"1 of 20 cells {told}, and means go without: rd (cable seed 4)."


def test_cells_that_were_never_run_are_counted_and_of_many_some_are_named() -> None:
    table = CLEAN[(CLEAN["method"] != "rd") | (CLEAN["category"] != "cable")]
    assert only(table) == (
        "5 of 20 cells were never run, and means go without: "
        "rd (cable seed 0, cable seed 1, cable seed 2, cable seed 3, 1 more)."
    )


def test_a_measure_that_only_some_finished_cells_have_is_named() -> None:
    ap = cells(("rd", "bottle", 0.5), metric="image_ap")
    few = pd.concat([CLEAN, ap])
    assert only(few).startswith("Image AP is undefined or was not measured in 19 of 20 finished cells")


def test_an_untrained_teacher_and_the_quick_protocol_forbid_comparisons() -> None:
    assert "untrained (random weights) for rd, ast" in only(CLEAN.assign(weights="random"))
    assert "Protocol quick (small images, few epochs) for rd, ast" in only(CLEAN.assign(protocol="quick"))


def test_changes_of_the_protocol_are_told() -> None:
    assert only(CLEAN.assign(changes="training.epochs=5")).endswith("for rd, ast: training.epochs=5.")


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("protocol", "paper_3d", "Different protocols"),
        ("fpr_limit", "0.05", "their PROs are different measures: 0.3 (rd); 0.05 (ast)"),
        ("weights", "/home/me/teacher.pth", "Different teacher weights"),
        ("git_commit", "fedcba9876543210", "states of the code (commits)"),
    ],
)
def test_what_differs_between_methods_is_told_with_the_methods(column: str, value: str, told: str) -> None:
    sentence = only(with_own("ast", CLEAN, **{column: value}))
    assert told in sentence
    assert "(rd)" in sentence
    assert "(ast)" in sentence
    assert "/home" not in sentence


def test_different_networks_are_told() -> None:
    table = with_own("ast", CLEAN.assign(backbone="resnet18"), backbone="wide_resnet50_2")
    assert "Different teacher networks" in only(table)
    assert "resnet18 (rd); wide_resnet50_2 (ast)" in only(table)


def test_different_limits_matter_to_pro_alone() -> None:
    auroc = CLEAN.assign(metric="image_auroc")
    assert caveats(with_own("ast", auroc, fpr_limit="0.05")) == []


def test_oracle_thresholds_are_told_with_the_measures_that_they_touch() -> None:
    sentence = only(also("image_f1", also("dice")))
    assert sentence.startswith(
        "Oracle: Dice, Image F1 of rd, ast are taken at thresholds chosen on the test images"
    )
    assert caveats(CLEAN.assign(threshold_policy="dice_max")) == []


def test_an_honest_threshold_is_no_oracle_but_the_best_over_all_is() -> None:
    honest = CLEAN.assign(threshold_policy="train_quantile")
    assert caveats(also("dice", honest)) == []
    assert only(also("dice_max", honest)).startswith(
        "Oracle: Dice (max) of rd, ast is the best over all thresholds"
    )


def test_different_rules_for_thresholds_are_told() -> None:
    found = caveats(with_own("ast", also("dice"), threshold_policy="train_quantile"))
    assert len(found) == 2
    assert found[0].startswith(
        "Different rules for thresholds stand side by side, so values of Dice do not compare"
    )
    assert "Dice of rd is" in found[1]


def test_teachers_distilled_on_the_tested_categories_are_told_and_natural_images_are_not() -> None:
    own = "400 train images of bottle, cable"
    assert f"teachers of ast were distilled on {own}" in only(with_own("ast", pretext=own))
    assert caveats(with_own("ast", pretext="1000 images of train")) == []


def test_streamed_pixel_measures_are_told() -> None:
    assert "Pixel measures of ast were streamed" in only(with_own("ast", pixel_measures="streamed"))


def test_uncommitted_and_unknown_code_is_told() -> None:
    assert "Uncommitted changes were in the code of ast: commit 0123456789" in only(
        with_own("ast", git_dirty="true")
    )
    unknown = CLEAN.assign(git_commit="unknown", git_dirty="unknown")
    assert only(unknown) == "The state of the code is not recorded for rd, ast."


def test_one_category_is_told() -> None:
    assert "but one category, bottle (rd, ast)" in only(CLEAN[CLEAN["category"] == "bottle"])


def test_few_seeds_are_told_by_method() -> None:
    seeds = CLEAN["seed"].astype(int)
    assert only(CLEAN[seeds < 1]).startswith("One seed of rd, ast: ")
    assert only(CLEAN[seeds < 3]).startswith("Fewer than 5 seeds of rd (3), ast (3): ")
    mixed = caveats(CLEAN[(seeds < 1) | ((seeds < 3) & (CLEAN["method"] == "rd"))])
    assert [sentence.partition(":")[0] for sentence in mixed[1:]] == [
        "One seed of ast",
        "Fewer than 5 seeds of rd (3)",
    ]


def test_costs_of_different_machines_are_told() -> None:
    costs = also("train_seconds", CLEAN.assign(cpu="EPYC", device="cpu"))
    assert caveats(costs) == []
    assert "device cpu, CPU EPYC (rd); device cpu, CPU Xeon (ast)" in only(with_own("ast", costs, cpu="Xeon"))


def test_variants_of_a_method_are_named_as_in_the_tables() -> None:
    table = with_own("rd", variant="combine=sum", weights="random")
    assert caveats(table)[0].startswith("The teacher is untrained (random weights) for rd (combine=sum):")


def test_what_is_missing_comes_first_and_the_order_is_always_the_same() -> None:
    failed = pd.concat([CLEAN, cells(("rd", "screw", NAN), status="FAILED", metric="")])
    table = failed.assign(weights="random", protocol="quick", git_dirty="true")
    begins = [sentence.split(" ")[0] for sentence in caveats(table)]
    assert begins == ["1", "9", "The", "Protocol", "Uncommitted"]
    assert caveats(table) == caveats(table.copy())
