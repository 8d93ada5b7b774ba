"""AUPIMO equals the integral of its definition, ties included."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad

from metrics import MetricError, aupimo, aupimo_of_images
from metrics.slices import SLICE_PIXELS
from tests.metrics.reference import random_test_set

BOUNDS = (0.01, 0.2)


def integrated(
    maps: NDArray[np.floating], masks: NDArray[np.bool_], bounds: tuple[float, float]
) -> list[float]:
    """Integrate each image's recall over the logarithm of the rate, from every distinct score as threshold."""
    normal = np.sort(maps[~masks.any(axis=(1, 2))].ravel())
    thresholds = np.unique(maps)[::-1]
    rates = np.append(0.0, 1 - np.searchsorted(normal, thresholds) / normal.size)
    values = []
    for scores, mask in zip(maps, masks, strict=True):
        if not mask.any():
            continue
        recall = np.append(0.0, [np.mean(scores[mask] >= threshold) for threshold in thresholds])
        # where several thresholds share a rate, the lowest of them finds the most
        last = np.append(np.diff(rates) > 0, True)
        first = np.append(True, np.diff(rates) > 0)
        area = 0.0
        starts, ends = np.flatnonzero(first), np.flatnonzero(last)
        for end, start in zip(ends[:-1], starts[1:], strict=True):
            a, b, low, high = rates[end], rates[start], recall[end], recall[start]

            def at(
                log_rate: float, a: float = a, b: float = b, low: float = low, high: float = high
            ) -> float:
                return low + (high - low) * (np.exp(log_rate) - a) / (b - a)

            left, right = np.clip([a, b], *bounds)
            area += quad(at, np.log(left), np.log(right))[0] if right > left else 0.0
        values.append(area / np.log(bounds[1] / bounds[0]))
    return values


@pytest.mark.parametrize("levels", [None, 3, 30])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_integral_of_recall_over_the_logarithm_of_the_rate(seed: int, levels: int | None) -> None:
    maps, masks = random_test_set(seed, images=6, levels=levels)
    expected = integrated(maps, masks, BOUNDS)
    assert aupimo_of_images(maps, masks, BOUNDS) == pytest.approx(expected, abs=1e-9)
    assert aupimo(maps, masks, BOUNDS) == pytest.approx(np.mean(expected), abs=1e-9)


def test_normal_pixels_of_anomalous_images_do_not_matter() -> None:
    maps, masks = random_test_set(0, images=6)
    anomalous = masks.any(axis=(1, 2), keepdims=True) & ~masks
    assert aupimo(np.where(anomalous, 99.0, maps), masks, BOUNDS) == aupimo(maps, masks, BOUNDS)


def test_known_answers() -> None:
    _, masks = random_test_set(0)
    perfect = masks.astype(float)
    assert aupimo(perfect, masks) == 1
    assert aupimo(-perfect, masks) == 0
    assert aupimo(0 * perfect, masks, (0.01, 1.0)) == pytest.approx((1 - 0.01) / np.log(100))  # recall = rate


def test_slices_of_many_images_give_the_same() -> None:
    random = np.random.default_rng(0)
    maps = random.normal(size=(40, 256, 256)).astype(np.float32)
    masks = np.zeros(maps.shape, bool)
    masks[::2, 20:40, 20:40] = True
    maps += 4 * masks
    assert maps.size > 2 * SLICE_PIXELS
    normal, found = np.sort(maps[1::2].ravel()), maps[masks]
    rates = (normal.size - np.searchsorted(normal, found, side="right")) / normal.size
    expected = np.mean(np.log(1e-4 / np.clip(rates, 1e-5, 1e-4)) / np.log(10))
    assert aupimo(maps, masks) == pytest.approx(expected, abs=1e-9)


def test_without_a_normal_or_an_anomalous_image_it_is_undefined() -> None:
    maps, masks = random_test_set(0)
    assert np.isnan(aupimo(maps[::2], masks[::2]))
    assert np.isnan(aupimo(maps[1::2], masks[1::2]))


@pytest.mark.parametrize("bounds", [(0, 0.1), (0.2, 0.1), (0.1, 1.5), (0.1, np.nan)])
def test_bounds_out_of_range_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(MetricError, match=r"bounds: found .*; expected 0 < lower < upper <= 1"):
        aupimo(*random_test_set(0), bounds)
