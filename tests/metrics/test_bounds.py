"""No rounding takes a measure or a curve outside [0, 1], and the extremes are reached exactly."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from metrics import (
    MEASURES,
    PRO_VARIANTS,
    THRESHOLD_POLICIES,
    count_pixels,
    evaluate,
    pixel_roc,
    pro_curve,
    pro_of_regions,
)
from tests.metrics.reference import random_test_set

Array = NDArray[Any]
AT_OWN_THRESHOLDS = {"pro_per_image_200", "pro_rescaled"}
"""They sample the curve at thresholds between the extremes of the maps, and are undefined where it is flat there."""
SEEDS = range(60)
LIMITS = (0.3, 1.0, 0.01, 1 / 3)
FROM_TRUTH: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "perfect": lambda masks, _: masks.astype(np.float64),
    "perfect, no ties": lambda masks, rng: masks + rng.random(masks.shape),
    "perfect, but few normal pixels score high": lambda masks, rng: masks + (rng.random(masks.shape) < 0.01),
    "inverted": lambda masks, _: -masks.astype(np.float64),
    "inverted, no ties": lambda masks, rng: rng.random(masks.shape) - masks,
    "constant": lambda masks, _: np.full(masks.shape, 0.1),
    "noise": lambda masks, rng: rng.normal(size=masks.shape),
    "few levels": lambda masks, rng: rng.integers(0, 3, masks.shape) + masks / 2,
    "huge range": lambda masks, rng: 3e38 * rng.uniform(-1, 1, masks.shape),
    "denormal": lambda masks, rng: 1e-44 * rng.integers(0, 9, masks.shape),
}
MAPS = pytest.mark.parametrize("kind", FROM_TRUTH)


def test_set(kind: str, seed: int) -> tuple[Array, Array, Array]:
    """Return float32 maps, masks and image scores, which are the maxima of the maps."""
    rng = np.random.default_rng(seed)
    _, masks = random_test_set(seed, images=int(rng.integers(3, 12)), size=int(rng.integers(6, 24)))
    maps = FROM_TRUTH[kind](masks, rng).astype(np.float32)
    return maps, masks, maps.max(axis=(1, 2)).astype(np.float64)


test_set.__test__ = False  # type: ignore[attr-defined]


def measures_of(kind: str, seed: int, limit: float) -> list[tuple[str, float]]:
    """Return the names and values of all measures, by every threshold policy."""
    maps, masks, scores = test_set(kind, seed)
    normal = scores[1::2]
    measures = evaluate(
        maps,
        masks,
        masks.any(axis=(1, 2)),
        scores,
        validation_scores=normal,
        validation_max=normal,
        validation_maps=maps[1::2],
        fpr_limit=limit,
        pro_variants=PRO_VARIANTS,
    )
    at_thresholds = (
        (f"{name}/{policy}", value)
        for policy, values in measures.by_policy.items()
        for name, value in values.items()
    )
    return [*measures.values.items(), *at_thresholds]


@MAPS
def test_no_measure_is_outside_its_range_by_any_policy(kind: str) -> None:
    seen = set()
    for seed in SEEDS:
        values = measures_of(kind, seed, LIMITS[seed % len(LIMITS)])
        outside = [(name, value) for name, value in values if not (np.isnan(value) or 0 <= value <= 1)]
        assert not outside, (seed, outside)
        seen |= {name for name, value in values if not np.isnan(value)}
    assert seen >= set(MEASURES) - AT_OWN_THRESHOLDS
    assert seen >= {
        f"dice/{policy}" for policy in THRESHOLD_POLICIES if (kind, policy) != ("huge range", "mean_3std")
    }


@pytest.mark.parametrize("kind", ["perfect", "perfect, no ties"])
@pytest.mark.parametrize("limit", LIMITS)
def test_a_perfect_detector_has_exactly_one(kind: str, limit: float) -> None:
    for seed in SEEDS:
        values = dict(measures_of(kind, seed, limit))
        free = {name for name, measure in MEASURES.items() if not measure.at_threshold}
        best = free | {name for name in values if name.endswith("/dice_max")}
        assert {name for name in best if values[name] != 1} <= AT_OWN_THRESHOLDS, seed


@MAPS
def test_no_curve_is_outside_its_range(kind: str) -> None:
    rates = np.concatenate([[0, 1e-9], np.linspace(0, 1, 97)])
    for seed in SEEDS:
        maps, masks, _ = test_set(kind, seed)
        pixels = count_pixels(maps, masks)
        for curve in (pixel_roc(pixels, rates), pro_curve(pixels, rates), pro_of_regions(pixels, 0.3)):
            assert 0 <= curve.min() <= curve.max() <= 1, seed
        assert pixel_roc(pixels, [1.0]) == pro_curve(pixels, [1.0]) == 1
