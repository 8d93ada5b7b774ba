"""The warnings of a report: each appears where it must, names the methods it concerns, and only then."""

import pandas as pd
import pytest

from reports.caveats import _OF_FINISHED, caveats
from reports.parts import Parts
from reports.tables.literature import SETTINGS, published_networks
from tests.reports.made import NAN, cells, over_seeds

PAIRS = [(method, category) for method in ("rd", "stfpm") for category in ("bottle", "cable")]
WIDE = "wide_resnet50_2.tv_in1k"  # numbers of both methods were published with it
CLEAN = over_seeds({pair: [0.9] * 5 for pair in PAIRS}, backbone=WIDE)
LITE = "tf_efficientnet_lite0.in1k"


def with_own(method: str, table: pd.DataFrame = CLEAN, **columns: str) -> pd.DataFrame:
    """Return the table with other tags for one method."""
    return table.assign(**{n: table[n].where(table["method"] != method, v) for n, v in columns.items()})


def only(table: pd.DataFrame) -> str:
    """Return the only warning."""
    (sentence,) = caveats(table)
    return sentence


def also(name: str, table: pd.DataFrame = CLEAN) -> pd.DataFrame:
    """Return the table with one more measure in every cell."""
    return pd.concat([table, table.assign(metric=name)], ignore_index=True)


def test_a_clean_comparison_has_no_warning() -> None:
    assert caveats(CLEAN) == []


def test_no_cells_have_no_warning() -> None:
    assert caveats(CLEAN.iloc[:0]) == []


def test_failed_cells_are_counted_and_named() -> None:
    failed = over_seeds(
        {pair: [0.9] * 4 + [None if pair == ("rd", "cable") else 0.9] for pair in PAIRS}, backbone=WIDE
    )
    first = caveats(failed)[0]
    assert first.startswith("1 of 20 cells failed")
    assert first.endswith("rd (cable seed 4).")


@pytest.mark.parametrize(
    ("status", "state"), [("RUNNING", "is still running"), ("KILLED", "is unfinished (killed)")]
)
def test_cells_that_have_not_ended_are_counted_and_named(status: str, state: str) -> None:
    last = (CLEAN["method"] == "rd") & (CLEAN["category"] == "cable") & (CLEAN["seed"] == "4")
    table = CLEAN.assign(status=CLEAN["status"].mask(last, status))
    assert only(table).startswith(f"1 of 20 cells {state}")
    assert only(table).endswith("rd (cable seed 4).")


def test_cells_that_were_never_run_are_counted_and_of_many_some_are_named() -> None:
    table = CLEAN[(CLEAN["method"] != "rd") | (CLEAN["category"] != "cable")]
    assert only(table).startswith("5 of 20 cells were never run")
    assert only(table).endswith("rd (cable seed 0, cable seed 1, cable seed 2, cable seed 3, 1 more).")


def test_a_seed_that_only_another_method_has_was_not_forgotten() -> None:
    own = CLEAN["seed"].where(CLEAN["method"] == "rd", "4" + CLEAN["seed"])
    assert caveats(CLEAN.assign(seed=own)) == []


def test_one_cell_is_in_the_singular() -> None:
    one = cells(("rd", "bottle", NAN), status="FAILED", metric="", backbone=WIDE)
    assert only(one) == "1 of 1 cell failed and missing from means: rd (bottle seed 0)."


def test_images_without_ground_truth_are_counted_by_category() -> None:
    counts = also("images_without_ground_truth", CLEAN)
    lacking = (counts["metric"] == "images_without_ground_truth") & (counts["category"] == "cable")
    table = counts.assign(value=counts["value"].where(lacking, 0.0).where(~lacking, 3.0))
    table["value"] = table["value"].where(table["metric"] != "pro", 0.9)
    assert only(table) == (
        "3 anomalous test images are without ground truth, which pixel measures leave out: cable (3)."
    )


def test_without_any_pixel_measure_nobody_is_told_what_these_leave_out() -> None:
    of_images = CLEAN.assign(metric="image_auroc")
    counts = also("images_without_ground_truth", of_images)
    assert caveats(counts) == []


def test_test_images_that_differ_between_cells_of_a_category_are_named() -> None:
    digests = CLEAN["category"].where(CLEAN["category"] == "bottle", CLEAN["method"])
    assert only(CLEAN.assign(test_images=digests)).startswith("The test images of cable were changed")


def test_settings_of_the_data_that_differ_are_named_with_their_categories() -> None:
    params = [{"dataset.mask_threshold": "0" if name == "cable" else "127"} for name in CLEAN["category"]]
    sentence = only(CLEAN.assign(params=pd.Series(params)))
    assert sentence == (
        "The data were read with different settings: dataset.mask_threshold=127 for bottle; "
        "dataset.mask_threshold=0 for cable."
    )
    same = pd.Series([{"dataset.mask_threshold": "0"}] * len(CLEAN))
    assert caveats(CLEAN.assign(params=same)) == []


def test_a_rule_that_fails_costs_its_warnings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(done: pd.DataFrame) -> list[str]:
        raise RuntimeError("out of order")

    monkeypatch.setattr("reports.caveats._OF_FINISHED", (broken, *_OF_FINISHED))
    parts = Parts()
    assert "neither" in " ".join(caveats(CLEAN[CLEAN["seed"] == "0"], parts))
    assert parts.failures == ["warnings: RuntimeError: out of order"]


def test_a_measure_that_only_some_finished_cells_have_is_named() -> None:
    ap = cells(("rd", "bottle", 0.5), metric="image_ap", backbone=WIDE)
    few = pd.concat([CLEAN, ap])
    assert only(few).startswith("Image AP is undefined")
    assert "19 of 20 finished cells" in only(few)


def test_an_untrained_teacher_is_named() -> None:
    sentence = only(CLEAN.assign(weights="random"))
    assert sentence.startswith(
        f"The teacher of rd, stfpm is {WIDE} (untrained): its numbers are not comparable"
    )


def test_a_teacher_that_published_numbers_did_not_use_is_named_with_those_that_they_used() -> None:
    assert only(CLEAN.assign(backbone=LITE, weights="package")) == (
        f"The teacher of rd, stfpm is {LITE}, but published numbers used wide_resnet50_2.tv_in1k for rd; "
        "resnet18.tv_in1k or wide_resnet50_2.tv_in1k for stfpm."
    )


def test_methods_of_one_teacher_have_one_sentence_that_groups_them_by_published_teacher() -> None:
    six = ("rd", "stfpm", "feature_variance", "simple_student", "uninformed_students", "ast")
    table = over_seeds(
        {(method, category): [0.9] * 5 for method in six for category in ("bottle", "cable")},
        backbone=LITE,
    )
    assert only(table).endswith(
        "wide_resnet50_2.tv_in1k for rd; resnet18.tv_in1k or wide_resnet50_2.tv_in1k for stfpm; "
        "resnet18.tv_in1k for feature_variance, simple_student, uninformed_students; "
        "tf_efficientnet_b5.aa_in1k for ast."
    )


@pytest.mark.parametrize("method", SETTINGS)
def test_a_published_teacher_needs_no_warning_and_another_has_one(method: str) -> None:
    published = published_networks(method)
    table = over_seeds({(method, category): [0.9] * 5 for category in ("bottle", "cable")})
    for network in published:
        assert caveats(table.assign(backbone=network)) == []
    sentence = only(table.assign(backbone="resnet50.tv_in1k"))
    assert sentence.startswith(f"The teacher of {method} is resnet50.tv_in1k")
    assert sentence.endswith(f"but published numbers used {' or '.join(published)}.")


def test_a_method_without_published_numbers_may_have_any_teacher() -> None:
    own = CLEAN.assign(method="mine", backbone=LITE)
    assert caveats(own) == []
    mixed = pd.concat([own, CLEAN[CLEAN["method"] == "rd"].assign(backbone=LITE)])
    assert only(mixed) == f"The teacher of rd is {LITE}, but published numbers used {WIDE}."


def test_a_dataset_without_published_numbers_may_have_any_teacher() -> None:
    assert caveats(CLEAN.assign(dataset="digits", dataset_choice="digits", backbone=LITE)) == []
    # of these two, only AST has published numbers of MVTec 3D-AD
    pairs = [(method, category) for method in ("ast", "rd") for category in ("bagel", "dowel")]
    table = over_seeds({pair: [0.9] * 5 for pair in pairs}, dataset="mvtec_3d", backbone=LITE)
    assert only(table).startswith(f"The teacher of ast is {LITE}, but published numbers used ")


def test_other_networks_are_named_one_by_one_and_only_for_the_methods_that_they_concern() -> None:
    rd, stfpm, *_ = caveats(with_own("stfpm", CLEAN.assign(backbone=LITE), backbone="resnet50.tv_in1k"))
    assert rd.startswith(f"The teacher of rd is {LITE}, ")
    assert stfpm.startswith("The teacher of stfpm is resnet50.tv_in1k, ")
    first, mixed = caveats(with_own("rd", backbone=LITE))
    assert first.startswith(f"The teacher of rd is {LITE}, ")
    assert mixed.startswith("Different teachers")


@pytest.mark.parametrize("protocol", ["quick", "paper_small"])
def test_a_protocol_that_is_not_the_published_one_is_named(protocol: str) -> None:
    assert f"Protocol {protocol} of rd, stfpm is not the published one" in only(
        CLEAN.assign(protocol=protocol)
    )
    assert caveats(CLEAN.assign(protocol="paper_3d")) == []


def test_changes_of_the_protocol_are_named() -> None:
    assert only(CLEAN.assign(changes="training.epochs=5")).endswith("for rd, stfpm: training.epochs=5.")


def test_changes_on_one_of_several_datasets_are_named_with_it() -> None:
    screws = CLEAN.assign(dataset="screws", dataset_choice="folder", changes="dataset.mask_threshold=127")
    sentences = caveats(pd.concat([CLEAN, screws], ignore_index=True))
    assert (
        "Settings were changed from the protocol's for rd, stfpm on screws: dataset.mask_threshold=127."
        in sentences
    )


def test_cells_of_an_earlier_format_are_counted_and_named() -> None:
    sentence = only(CLEAN.assign(format=CLEAN["format"].mask(CLEAN["method"] == "stfpm", "")))
    assert sentence.startswith("10 of 20 finished cells (stfpm) were recorded by an earlier version")
    assert "not known" in sentence


@pytest.mark.parametrize(
    ("column", "value", "part"),
    [
        ("protocol", "paper_3d", "Different protocols"),
        ("fpr_limit", "0.05", "their PROs are different measures: 0.3 for rd; 0.05 for stfpm"),
        ("weights", "/home/me/teacher.pth", "Different teachers"),
        ("git_commit", "fedcba9876543210", "states of the code (commits)"),
    ],
)
def test_differences_between_methods_are_named_with_the_methods(column: str, value: str, part: str) -> None:
    sentence = only(with_own("stfpm", CLEAN, **{column: value}))
    assert part in sentence
    assert "for rd; " in sentence
    assert "for stfpm." in sentence
    assert "/home" not in sentence


def test_different_networks_are_named() -> None:
    sentence = only(with_own("stfpm", backbone="resnet18.tv_in1k"))
    assert sentence.startswith("Different teachers")
    assert sentence.endswith(
        "wide_resnet50_2.tv_in1k (timm's ImageNet weights) for rd; "
        "resnet18.tv_in1k (timm's ImageNet weights) for stfpm."
    )


def test_a_network_with_weights_of_several_sources_is_several_teachers() -> None:
    sentence = only(with_own("stfpm", weights="package"))
    assert f"{WIDE} (timm's ImageNet weights) for rd; {WIDE} (ImageNet weights from an inst" in sentence


def test_different_limits_matter_to_pro_alone() -> None:
    auroc = CLEAN.assign(metric="image_auroc")
    assert caveats(with_own("stfpm", auroc, fpr_limit="0.05")) == []


def test_oracle_thresholds_are_named_with_the_measures_that_they_affect() -> None:
    sentence = only(also("image_f1", also("dice")))
    assert sentence.startswith("Oracle: Dice, Image F1 of rd, stfpm")
    assert "test images (f1_image)" in sentence
    assert caveats(CLEAN.assign(threshold_policy="dice_max")) == []


def test_a_threshold_from_validation_is_no_oracle_but_the_best_over_all_is() -> None:
    validated = CLEAN.assign(threshold_policy="train_quantile")
    assert caveats(also("dice", validated)) == []
    assert only(also("dice_max", validated)).startswith("Oracle: Dice (max) of rd, stfpm")


def test_different_rules_for_thresholds_are_named() -> None:
    rules, oracle = caveats(with_own("stfpm", also("dice"), threshold_policy="train_quantile"))
    assert rules.startswith("Different rules for thresholds")
    assert rules.endswith("Dice do not compare: f1_image for rd; train_quantile for stfpm.")
    assert "Dice of rd is" in oracle


def test_teachers_pretrained_on_the_tested_categories_are_named_and_natural_images_are_not() -> None:
    own = with_own("stfpm", pretraining_images="own", pretraining_count="400")
    assert "teachers of stfpm were pretrained on 400 train images of the tested categories" in only(own)
    assert caveats(with_own("stfpm", pretraining_images="imagenet", pretraining_count="1000")) == []


def test_training_without_natural_images_is_named_where_the_method_wants_some() -> None:
    sentence = only(with_own("stfpm", natural_images="none"))
    assert sentence.startswith("The training steps of stfpm saw no natural images besides the category's")
    assert caveats(with_own("stfpm", natural_images="imagenet")) == []


def test_uncommitted_and_unknown_code_is_named() -> None:
    assert "code of stfpm had uncommitted changes: commit 0123456789" in only(
        with_own("stfpm", git_dirty="true")
    )
    assert "not recorded for rd, stfpm" in only(CLEAN.assign(git_commit="unknown", git_dirty="unknown"))


def test_one_category_is_named() -> None:
    assert "only one category, bottle (rd, stfpm)" in only(CLEAN[CLEAN["category"] == "bottle"])


def test_few_seeds_are_named_by_method() -> None:
    seeds = CLEAN["seed"].astype(int)
    assert only(CLEAN[seeds < 1]).startswith("One seed of rd, stfpm: ")
    assert only(CLEAN[seeds < 3]).startswith("Fewer than 5 seeds of rd (3), stfpm (3): ")
    mixed = caveats(CLEAN[(seeds < 1) | ((seeds < 3) & (CLEAN["method"] == "rd"))])
    assert [sentence.partition(":")[0] for sentence in mixed] == [
        "One seed of stfpm",
        "Fewer than 5 seeds of rd (3)",
    ]


def test_costs_of_different_machines_are_named() -> None:
    costs = also("train_seconds", CLEAN.assign(cpu="EPYC", device="cpu"))
    assert caveats(costs) == []
    assert "device cpu, CPU EPYC (rd); device cpu, CPU Xeon (stfpm)" in only(
        with_own("stfpm", costs, cpu="Xeon")
    )


def test_variants_of_a_method_are_named_as_in_the_tables() -> None:
    table = with_own("rd", variant="combine=sum", weights="random")
    assert "rd (combine=sum)" in caveats(table)[0]


def test_missing_cells_come_first_and_the_order_is_always_the_same() -> None:
    failed = pd.concat([CLEAN, cells(("rd", "screw", NAN), status="FAILED", metric="")])
    table = failed.assign(backbone=LITE, weights="random", protocol="quick", git_dirty="true")
    facts = ["cells failed", "never run", "untrained", "but published", "Protocol quick", "uncommitted"]
    sentences = caveats(table)
    assert len(sentences) == len(facts)
    assert all(fact in sentence for fact, sentence in zip(facts, sentences, strict=True))
    assert sentences == caveats(table.copy())
