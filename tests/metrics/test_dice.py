"""Dice of pixels at a threshold, its largest value, and the mean over images."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from metrics import MetricError, count_pixels, dice, dice_image, dice_max
from tests.metrics import reference

LEVELS = pytest.mark.parametrize("levels", [None, 2, 5, 40])


@LEVELS
def test_dice_is_the_f1_of_pixels(levels: int | None) -> None:
    maps, masks = reference.random_test_set(1, levels=levels)
    threshold = float(np.median(maps))
    expected = f1_score(masks.ravel(), maps.ravel() >= threshold)
    assert dice(count_pixels(maps, masks, [threshold]), threshold) == pytest.approx(expected)


@LEVELS
@pytest.mark.parametrize("seed", range(4))
def test_the_largest_dice_is_the_largest_over_all_thresholds(seed: int, levels: int | None) -> None:
    maps, masks = reference.random_test_set(seed, levels=levels)
    pixels = count_pixels(maps, masks)
    value, threshold = dice_max(pixels)
    assert (value, threshold) == pytest.approx(reference.dice_max(maps, masks), abs=1e-12)
    assert dice(pixels, threshold) == value


def test_among_equally_good_thresholds_the_highest_is_taken() -> None:
    # One true of one found, or two true of four found: Dice is 2/3 both times.
    pixels = count_pixels([[[4.0, 3.0, 2.0, 1.0]]], [[[1, 0, 0, 1]]])
    assert dice(pixels, 4.0) == dice(pixels, 1.0)
    assert dice_max(pixels) == (pytest.approx(2 / 3), 4.0)


def test_dice_of_images_is_the_mean_over_anomalous_images() -> None:
    maps, masks = reference.random_test_set(2)
    expected = np.mean([reference.dice_at(m, k, 0.8) for m, k in zip(maps, masks, strict=True) if k.any()])
    assert dice_image(maps, masks, 0.8) == pytest.approx(expected)


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_a_threshold_is_compared_exactly_in_float32_maps(offset: int) -> None:
    # 0.3 lies between two float32 numbers; rounding the threshold first would miscount a pixel.
    maps = np.array([[[0.1, 0.3]]], np.float32)
    threshold = float(maps[0, 0, 1]) + offset * 1e-12
    masks = np.array([[[0, 1]]])
    expected = 1.0 if float(maps[0, 0, 1]) >= threshold else 0.0
    assert dice(count_pixels(maps, masks, [threshold]), threshold) == expected
    assert dice_image(maps, masks, threshold) == expected


@pytest.mark.parametrize("value", [0, 1])
def test_one_class_is_undefined(value: int) -> None:
    maps, masks = np.arange(8.0).reshape(2, 2, 2), np.full((2, 2, 2), value)
    pixels = count_pixels(maps, masks)
    assert np.isnan([*dice_max(pixels), dice(pixels, 0.0), dice_image(maps, masks, 0.0)]).all()


def test_an_undefined_threshold_gives_an_undefined_dice() -> None:
    maps, masks = reference.random_test_set(0)
    assert np.isnan([dice(count_pixels(maps, masks), np.nan), dice_image(maps, masks, np.nan)]).all()


def test_an_image_without_a_normal_pixel_still_counts() -> None:
    assert dice_image([[[1.0, 1.0]], [[0.0, 0.0]]], [[[1, 1]], [[0, 0]]], 0.5) == 1


def test_a_threshold_at_which_nothing_was_counted_is_refused() -> None:
    maps, masks = reference.random_test_set(0)
    with pytest.raises(MetricError, match=r"threshold: found 0\.123, at which .*; expected a score of an"):
        dice(count_pixels(maps, masks), 0.123)
