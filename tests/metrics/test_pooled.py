"""A large test set is streamed: the same measures, without what needs all pixels at once."""

from typing import Any

import numpy as np
import pytest

import metrics
from metrics import EXACT_PIXELS, Evaluation, MetricError, evaluate, streaming
from tests.metrics.reference import random_test_set


def large_and_exact(monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Evaluation, Evaluation]:
    """Evaluate one test set as if it were large, and exactly."""
    exact = evaluate(**options)
    monkeypatch.setattr("metrics.evaluation.EXACT_PIXELS", 100)
    monkeypatch.setattr(streaming, "SLICE", 2**10)
    return evaluate(**options), exact


def made_up() -> dict[str, Any]:
    """Return a test set whose images are scored by their peaks."""
    maps, masks = random_test_set(0, images=24, size=32, dtype=np.float32)
    return {"maps": maps, "masks": masks, "labels": masks.any(axis=(1, 2)), "scores": maps.max(axis=(1, 2))}


@pytest.mark.parametrize("policy", ["f1_image", "dice_max"])
def test_a_large_test_set_is_streamed_and_says_so(monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    maps, masks = random_test_set(0, images=24, size=32, dtype=np.float32)
    masks[1] = True  # an image without a defect-free pixel
    labels = masks.any(axis=(1, 2))
    large, exact = large_and_exact(
        monkeypatch,
        maps=maps,
        masks=masks,
        labels=labels,
        scores=maps.mean(axis=(1, 2)),
        threshold_policy=policy,
    )
    assert (large.exact, exact.exact) == (False, True)
    assert large.values == pytest.approx(exact.values, abs=1e-12)
    assert (large.threshold, large.image_threshold) == (exact.threshold, exact.image_threshold)
    assert large.missing == exact.missing == {}
    assert large.pixels.one_class
    assert metrics.pro_of_regions(large.pixels).size == 0


def test_variants_that_rank_all_pixels_are_missing_for_a_large_test_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large, exact = large_and_exact(monkeypatch, **made_up(), pro_variants=metrics.PRO_VARIANTS)
    assert set(large.missing) == {"pro_official_100", "pro_rescaled"}
    assert all("not ranked at once" in cause for cause in large.missing.values())
    assert large.values["pro_per_image_200"] == exact.values["pro_per_image_200"]


def test_a_large_test_set_without_masks_has_image_measures_only(monkeypatch: pytest.MonkeyPatch) -> None:
    large, exact = large_and_exact(monkeypatch, **{**made_up(), "masks": None}, pro_variants=["rescaled"])
    np.testing.assert_equal(large.values, exact.values)
    assert large.missing == exact.missing
    assert set(large.missing.values()) == {"no masks"}


def test_the_size_of_exact_measures_covers_mvtec_at_1024_pixels() -> None:
    assert EXACT_PIXELS > 167 * 1024**2


@pytest.mark.parametrize(
    "change", [{"maps": np.full((2, 8, 8), np.nan)}, {"scores": [1.0]}, {"masks": [[[2]]]}]
)
def test_a_large_test_set_that_cannot_be_measured_is_refused(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    monkeypatch.setattr("metrics.evaluation.EXACT_PIXELS", 100)
    usual = {
        "maps": np.zeros((2, 8, 8)),
        "masks": np.zeros((2, 8, 8)),
        "labels": [0, 1],
        "scores": [0.0, 1.0],
    }
    if "scores" in change:
        change = {**change, "labels": [1]}
    with pytest.raises(MetricError, match=next(iter(change))):
        evaluate(**{**usual, **change})
