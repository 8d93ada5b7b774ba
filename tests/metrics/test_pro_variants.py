"""Each variant of PRO equals a plain loop over its own thresholds."""

import numpy as np
import pytest
from numpy.typing import DTypeLike

from metrics import PRO_VARIANTS, MetricError, pro, rank_pixels
from tests.metrics import reference

LOOPS = {
    "exact": reference.exact,
    "official_100": reference.official_100,
    "per_image_200": reference.per_image_200,
    "rescaled": reference.rescaled,
}
VARIANTS = pytest.mark.parametrize("variant", PRO_VARIANTS)


def test_every_variant_has_a_loop_to_compare_with() -> None:
    assert list(PRO_VARIANTS) == list(LOOPS)


@pytest.mark.parametrize("limit", [0.05, 0.3])
@pytest.mark.parametrize("levels", [None, 30])
@pytest.mark.parametrize("seed", range(3))
@VARIANTS
def test_a_variant_equals_its_loop(variant: str, seed: int, levels: int | None, limit: float) -> None:
    maps, masks = reference.random_test_set(seed, images=3, size=12, levels=levels)
    expected = LOOPS[variant](maps, masks, limit)
    assert PRO_VARIANTS[variant](maps, masks, limit) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@VARIANTS
def test_a_point_exactly_at_the_limit_is_treated_as_in_the_loop(variant: str, seed: int) -> None:
    # Ten defect-free pixels: the rate 3/10 is the limit itself, kept by one variant and not by another.
    maps = np.random.default_rng(seed).permutation(np.arange(16.0)).reshape(1, 4, 4)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[0, :2, :3] = True
    maps[0, 0, 0] = 16.0
    expected = LOOPS[variant](maps, masks, 0.3)
    assert PRO_VARIANTS[variant](maps, masks, 0.3) == pytest.approx(expected, abs=1e-12)


def test_exact_is_pro() -> None:
    maps, masks = reference.random_test_set(0)
    assert PRO_VARIANTS["exact"](maps, masks, 0.2) == pro(rank_pixels(maps, masks), 0.2)


def test_official_approaches_exact_where_100_thresholds_suffice() -> None:
    # 100 defect-free pixels with distinct scores: every one of them is a threshold.
    maps = np.arange(110.0).reshape(1, 10, 11)
    masks = np.zeros(maps.shape, bool)
    masks[0, :, 5] = True
    official = PRO_VARIANTS["official_100"](maps, masks, 0.3)
    assert official == pytest.approx(reference.official_100(maps, masks, 0.3), abs=1e-12)
    assert official == pytest.approx(PRO_VARIANTS["exact"](maps, masks, 0.3), abs=0.02)


def test_rescaled_cannot_tell_a_curve_from_half_of_it() -> None:
    # Half of the defective pixels score lowest of all: the overlap below the limit is halved.
    rng = np.random.default_rng(0)
    maps, masks = rng.random((1, 20, 20)), np.zeros((1, 20, 20), bool)
    masks[0, :4, :4] = True
    maps[0, :4, :4] += 0.5
    halved = maps.copy()
    halved[0, :4, 2:4] = -1e-3
    halved[0, :4, :2] = np.sort(maps[0, :4, :4].ravel())[::2].reshape(4, 2)
    assert PRO_VARIANTS["exact"](halved, masks, 0.3) < 0.6 * PRO_VARIANTS["exact"](maps, masks, 0.3)
    assert PRO_VARIANTS["rescaled"](halved, masks, 0.3) == pytest.approx(
        PRO_VARIANTS["rescaled"](maps, masks, 0.3), abs=0.1
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@VARIANTS
def test_a_lower_precision_is_widened_exactly(variant: str, dtype: DTypeLike) -> None:
    maps, masks = reference.random_test_set(1, dtype=dtype)
    wide = PRO_VARIANTS[variant](maps.astype(np.float64), masks, 0.3)
    assert PRO_VARIANTS[variant](maps, masks, 0.3) == pytest.approx(wide, abs=1e-12)


@VARIANTS
def test_the_order_of_the_images_changes_nothing(variant: str) -> None:
    maps, masks = reference.random_test_set(2)
    value = PRO_VARIANTS[variant](maps, masks, 0.3)
    assert PRO_VARIANTS[variant](maps[::-1], masks[::-1], 0.3) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("defective", [False, True], ids=["no defective pixel", "no defect-free pixel"])
@VARIANTS
def test_one_class_is_undefined(variant: str, defective: bool) -> None:
    maps, masks = reference.random_test_set(0)
    masks[:] = defective
    assert np.isnan(PRO_VARIANTS[variant](maps, masks, 0.3))


@pytest.mark.parametrize("variant", ["per_image_200", "rescaled"])
@pytest.mark.parametrize("maps", ["constant", "perfect"])
def test_where_the_released_code_divides_by_zero_the_value_is_undefined(variant: str, maps: str) -> None:
    _, masks = reference.random_test_set(0)
    values = np.zeros(masks.shape) if maps == "constant" else masks.astype(float)
    assert np.isnan(PRO_VARIANTS[variant](values, masks, 0.3))


@VARIANTS
def test_what_cannot_be_measured_is_refused(variant: str) -> None:
    maps, masks = reference.random_test_set(0)
    with pytest.raises(MetricError, match="fpr_limit"):
        PRO_VARIANTS[variant](maps, masks, 0)
    with pytest.raises(MetricError, match="masks: found shape"):
        PRO_VARIANTS[variant](maps, masks[1:], 0.3)
    maps[0, 0, 0] = np.nan
    with pytest.raises(MetricError, match="maps: found NaN"):
        PRO_VARIANTS[variant](maps, masks, 0.3)
