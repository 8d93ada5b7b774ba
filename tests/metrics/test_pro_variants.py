"""Each variant of PRO equals a plain loop over its own thresholds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike

from metrics import (
    PRO_VARIANTS,
    MetricError,
    count_pixels,
    pro,
    pro_official_100,
    pro_per_image_200,
    pro_rescaled,
)
from tests.metrics import reference

MEASURES: dict[str, Callable[[Any, Any, float], float]] = {
    "exact": lambda maps, masks, limit: pro(count_pixels(maps, masks), limit),
    "official_100": lambda maps, masks, limit: pro_official_100(count_pixels(maps, masks), limit),
    "per_image_200": pro_per_image_200,
    "rescaled": lambda maps, masks, limit: pro_rescaled(count_pixels(maps, masks), limit),
}
LOOPS = {
    "exact": reference.exact,
    "official_100": reference.official_100,
    "per_image_200": reference.per_image_200,
    "rescaled": reference.rescaled,
}
VARIANTS = pytest.mark.parametrize("variant", PRO_VARIANTS)


def test_every_variant_has_a_loop_to_compare_with() -> None:
    assert set(PRO_VARIANTS) == set(LOOPS) == set(MEASURES)


@pytest.mark.parametrize("limit", [0.05, 0.3])
@pytest.mark.parametrize("levels", [None, 30])
@pytest.mark.parametrize("seed", range(3))
@VARIANTS
def test_a_variant_equals_its_loop(variant: str, seed: int, levels: int | None, limit: float) -> None:
    maps, masks = reference.random_test_set(seed, images=3, size=12, levels=levels)
    expected = LOOPS[variant](maps, masks, limit)
    assert MEASURES[variant](maps, masks, limit) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@VARIANTS
def test_a_point_exactly_at_the_limit_is_treated_as_in_the_loop(variant: str, seed: int) -> None:
    # Ten normal pixels: the rate 3/10 is the limit itself, kept by one variant and not by another.
    maps = np.random.default_rng(seed).permutation(np.arange(16.0)).reshape(1, 4, 4)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[0, :2, :3] = True
    maps[0, 0, 0] = 16.0
    expected = LOOPS[variant](maps, masks, 0.3)
    assert MEASURES[variant](maps, masks, 0.3) == pytest.approx(expected, abs=1e-12)


def test_official_approaches_exact_where_100_thresholds_suffice() -> None:
    # 100 normal pixels with distinct scores: every one of them is a threshold.
    maps = np.arange(110.0).reshape(1, 10, 11)
    masks = np.zeros(maps.shape, bool)
    masks[0, :, 5] = True
    pixels = count_pixels(maps, masks)
    assert pro_official_100(pixels) == pytest.approx(pro(pixels), abs=0.02)


def test_rescaled_cannot_tell_a_curve_from_half_of_it() -> None:
    # Half of the anomalous pixels score lowest of all: the overlap below the limit is halved.
    rng = np.random.default_rng(0)
    maps, masks = rng.random((1, 20, 20)), np.zeros((1, 20, 20), bool)
    masks[0, :4, :4] = True
    maps[0, :4, :4] += 0.5
    halved = maps.copy()
    halved[0, :4, 2:4] = -1e-3
    halved[0, :4, :2] = np.sort(maps[0, :4, :4].ravel())[::2].reshape(4, 2)
    whole, half = count_pixels(maps, masks), count_pixels(halved, masks)
    assert pro(half) < 0.6 * pro(whole)
    assert pro_rescaled(half) == pytest.approx(pro_rescaled(whole), abs=0.1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@VARIANTS
def test_a_lower_precision_is_widened_exactly(variant: str, dtype: DTypeLike) -> None:
    maps, masks = reference.random_test_set(1, dtype=dtype)
    wide = MEASURES[variant](maps.astype(np.float64), masks, 0.3)
    assert MEASURES[variant](maps, masks, 0.3) == pytest.approx(wide, abs=1e-12)


@VARIANTS
def test_the_order_of_the_images_changes_nothing(variant: str) -> None:
    maps, masks = reference.random_test_set(2)
    value = MEASURES[variant](maps, masks, 0.3)
    assert MEASURES[variant](maps[::-1], masks[::-1], 0.3) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("anomalous", [False, True], ids=["no anomalous pixel", "no normal pixel"])
@VARIANTS
def test_one_class_is_undefined(variant: str, anomalous: bool) -> None:
    maps, masks = reference.random_test_set(0)
    masks[:] = anomalous
    assert np.isnan(MEASURES[variant](maps, masks, 0.3))


@pytest.mark.parametrize("variant", ["per_image_200", "rescaled"])
@pytest.mark.parametrize("maps", ["constant", "perfect", "float64's whole range"])
def test_where_the_released_code_divides_by_zero_the_value_is_undefined(variant: str, maps: str) -> None:
    _, masks = reference.random_test_set(0)
    scale = {"constant": 0.0, "perfect": 1.0, "float64's whole range": 1.7e308}[maps]
    assert np.isnan(MEASURES[variant](scale * np.where(masks, 1.0, -1.0), masks, 0.3))


@VARIANTS
def test_input_that_cannot_be_measured_is_refused(variant: str) -> None:
    maps, masks = reference.random_test_set(0)
    with pytest.raises(MetricError, match="fpr_limit"):
        MEASURES[variant](maps, masks, 0)
    with pytest.raises(MetricError, match="masks: found shape"):
        MEASURES[variant](maps, masks[1:], 0.3)
    maps[0, 0, 0] = np.nan
    with pytest.raises(MetricError, match="maps: found NaN"):
        MEASURES[variant](maps, masks, 0.3)
