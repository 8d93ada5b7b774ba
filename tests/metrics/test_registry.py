"""The table of measures covers every variant, says what is an oracle, and takes a measure in by one entry."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from metrics import (
    HELD_OUT_POLICIES,
    MEASURES,
    PRO_VARIANTS,
    THRESHOLD_POLICIES,
    Measure,
    MetricError,
    evaluate,
    is_oracle,
    with_companions,
)
from tests.conftest import PROJECT_ROOT


def test_every_variant_of_pro_has_its_own_name_and_label() -> None:
    names = ["pro" if variant == "exact" else f"pro_{variant}" for variant in PRO_VARIANTS]
    assert set(names) <= set(MEASURES)
    assert len({measure.label for measure in MEASURES.values()}) == len(MEASURES)


def test_only_a_threshold_from_train_images_is_no_oracle() -> None:
    assert [policy for policy in THRESHOLD_POLICIES if not is_oracle(policy)] == [*HELD_OUT_POLICIES]
    assert HELD_OUT_POLICIES == ("train_quantile", "mean_3std")


@pytest.mark.parametrize("policy", THRESHOLD_POLICIES)
def test_measures_at_the_threshold_are_oracles_where_the_policy_is(policy: str) -> None:
    oracles = {name for name, measure in MEASURES.items() if measure.is_oracle(policy)}
    at_threshold = {"dice", "dice_image", "iou", "image_f1", "image_precision", "image_recall"}
    assert oracles == {"dice_max", "pg2", "pb2"} | (at_threshold if is_oracle(policy) else set())


def test_an_unknown_policy_is_answered_with_the_near_ones() -> None:
    with pytest.raises(
        MetricError, match=r"found 'f1_images' \(did you mean 'f1_image'\?\); expected one of f1_image, dice_"
    ):
        is_oracle("f1_images")


def test_a_measure_is_added_by_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    added = (
        Measure("regions", "Regions", "pixel", "", lambda data: data.pixels.regions),
        Measure("mine", "Mine", "image", "", lambda data: np.nan),
    )
    for measure in added:
        monkeypatch.setitem(MEASURES, measure.name, measure)
    measures = evaluate([[[1, 0]], [[0, 0]]], [[[1, 0]], [[0, 0]]], [1, 0], [1, 0])
    assert measures.values["regions"] == 1
    assert measures.missing == {"mine": "undefined on this test set"}


def test_dice_at_a_threshold_is_shown_with_the_largest_one() -> None:
    assert with_companions(["dice"]) == ["dice", "dice_max"]
    assert with_companions(["dice_max", "pro", "dice"]) == ["dice_max", "pro", "dice"]
    assert with_companions(["train_seconds"]) == ["train_seconds"]


@pytest.mark.parametrize("policy", THRESHOLD_POLICIES)
def test_both_are_always_measured_and_only_the_largest_one_is_an_oracle_under_every_policy(
    policy: str,
) -> None:
    held_out: dict[str, Any] = {
        "validation_scores": [0.5],
        "validation_max": [0.5],
        "validation_maps": [[[0.5]]],
    }
    maps, masks = [[[1.0, 0.4]], [[0.0, 0.2]]], [[[1, 1]], [[0, 0]]]
    values = evaluate(maps, masks, [1, 0], [1, 0], threshold_policy=policy, **held_out).values
    assert values["dice"] == (1 if policy == "dice_max" else 2 / 3)
    assert values["dice_max"] == 1
    assert MEASURES["dice_max"].is_oracle(policy)


def test_a_report_that_reads_names_imports_neither_scipy_nor_scikit_learn() -> None:
    code = "import sys, metrics; assert not {'scipy', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True)
