"""PRO equals the area under the full curve, ties included."""

import numpy as np
import pytest

from metrics import MetricError, count_pixels, pixel_auroc, pro
from tests.metrics import reference


@pytest.mark.parametrize("limit", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("levels", [None, 2, 5, 40])
@pytest.mark.parametrize("seed", range(4))
def test_pro_equals_the_area_of_the_full_curve(seed: int, levels: int | None, limit: float) -> None:
    maps, masks = reference.random_test_set(seed, levels=levels)
    expected = reference.exact(maps, masks, limit)
    assert pro(count_pixels(maps, masks), limit) == pytest.approx(expected, abs=1e-12)


def test_pro_of_one_region_without_limit_is_pixel_auroc() -> None:
    maps, _ = reference.random_test_set(0, levels=10)
    masks = np.zeros(maps.shape, bool)
    masks[2, 3:9, 5:7] = True
    pixels = count_pixels(maps, masks)
    assert pixels.regions == 1
    assert pro(pixels, fpr_limit=1) == pytest.approx(pixel_auroc(pixels), abs=1e-12)


def test_pro_counts_a_small_region_as_much_as_a_large_one() -> None:
    # The large region is found above every normal pixel, the single pixel below all of them.
    maps = np.full((1, 8, 8), 0.5)
    masks = np.zeros(maps.shape, bool)
    masks[0, :4, :4] = masks[0, 7, 7] = True
    maps[0, :4, :4], maps[0, 7, 7] = 1.0, 0.0
    assert pro(count_pixels(maps, masks)) == pytest.approx(0.5)


def test_known_answers() -> None:
    _, masks = reference.random_test_set(0)
    perfect = masks.astype(float)
    for maps, expected in ((perfect, 1.0), (-perfect, 0.0), (0 * perfect, 0.15)):
        assert pro(count_pixels(maps, masks)) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0, 1])
def test_one_class_is_undefined(value: int) -> None:
    assert np.isnan(pro(count_pixels([[[0.0, 1.0]]], [[[value, value]]])))


@pytest.mark.parametrize("limit", [0, -0.3, 1.5, np.nan])
def test_a_limit_outside_zero_to_one_is_refused(limit: float) -> None:
    with pytest.raises(MetricError, match=r"fpr_limit: found .*; expected a number above 0 and at most 1"):
        pro(count_pixels(*reference.random_test_set(0)), limit)
