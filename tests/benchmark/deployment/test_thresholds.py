"""Thresholds of a detector, and from normal images; oracles are named with the ways out."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmark.deployment.thresholds import FromNormal, threshold_of
from benchmark.errors import BenchmarkError

PAIRS = {
    "f1_image": {"pixel": 0.5, "image": 0.75},
    "dice_max": {"pixel": 0.25, "image": 0.25},
    "train_quantile": {"pixel": 1.0, "image": 2.0},
}


def detector(policy: str | None, *policies: str) -> Any:
    return SimpleNamespace(policy=policy, thresholds={name: PAIRS[name] for name in policies})


def test_the_policy_of_the_cell_is_the_default() -> None:
    threshold = threshold_of(detector("train_quantile", *PAIRS), None)
    assert threshold is not None
    assert (threshold.policy, threshold.image, threshold.pixel) == ("train_quantile", 2.0, 1.0)
    assert not threshold.judges_maps
    assert threshold.warning == ""


def test_an_oracle_is_named_with_the_honest_policies_that_the_detector_has() -> None:
    first = threshold_of(detector("f1_image", *PAIRS), None)
    second = threshold_of(detector("f1_image", "f1_image"), None)
    assert first is not None
    assert second is not None
    assert "is an oracle: f1_image" in first.warning
    assert "--policy train_quantile, or --threshold-from FOLDER" in first.warning
    assert "train_quantile" not in second.warning
    assert "--threshold-from FOLDER" in second.warning


def test_one_policy_judges_images_by_the_pixels_of_their_maps() -> None:
    threshold = threshold_of(detector("f1_image", *PAIRS), "dice_max")
    assert threshold is not None
    assert threshold.judged(score=9.0, map_max=0.125) == 0.125


def test_a_detector_without_thresholds_gives_none_and_an_unknown_policy_is_refused() -> None:
    assert threshold_of(detector(None), None) is None
    with pytest.raises(BenchmarkError, match=r"--policy mean: .* known: f1_image; --threshold-from"):
        threshold_of(detector("f1_image", "f1_image"), "mean")


def test_the_quantile_of_normal_images_and_of_the_largest_pixels_of_their_maps() -> None:
    scores, maxima = np.arange(401.0), np.arange(401.0) / 10
    threshold = FromNormal(quantile=0.995).threshold(scores.tolist(), maxima.tolist(), "good")
    assert (threshold.image, threshold.pixel) == pytest.approx((398.0, 39.8))
    assert threshold.policy == "quantile_0.995"
    assert threshold.origin == "from 401 normal images in good"
    assert threshold.warning == ""


def test_a_quantile_that_lies_next_to_the_largest_score_is_doubtful() -> None:
    threshold = FromNormal(quantile=0.995).threshold([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], "good")
    assert "3 normal images are few for the quantile 0.995" in threshold.warning


def test_the_mean_plus_some_sample_standard_deviations() -> None:
    threshold = FromNormal(sigma=3).threshold([1.0, 3.0], [0.0, 2.0], "good")
    assert threshold.image == pytest.approx(2 + 3 * 2**0.5)
    assert threshold.pixel == pytest.approx(1 + 3 * 2**0.5)
    assert threshold.policy == "mean_3_sigma"


@pytest.mark.parametrize(("rule", "scores"), [(FromNormal(quantile=0.5), []), (FromNormal(sigma=3), [1.0])])
def test_too_few_normal_images_are_refused(rule: FromNormal, scores: list[float]) -> None:
    with pytest.raises(
        BenchmarkError, match=r"--threshold-from good: found . images? that can be read; expected"
    ):
        rule.threshold(scores, scores, "good")
