"""The pixel measures equal scikit-learn and the full curves, ties included."""

import numpy as np
import pytest
from numpy.typing import ArrayLike, DTypeLike
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from metrics import MetricError, dice, dice_image, dice_max, pixel_ap, pixel_auroc, pro, rank_pixels
from tests.metrics import reference

# Rounded to few levels, most pixels are tied with others, of both classes.
LEVELS = pytest.mark.parametrize("levels", [None, 2, 5, 40])
SEEDS = pytest.mark.parametrize("seed", range(4))


def all_measures(maps: ArrayLike, masks: ArrayLike) -> list[float]:
    """Every rank measure of one test set."""
    scores = rank_pixels(maps, masks)
    return [pixel_auroc(scores), pro(scores), pixel_ap(scores), dice_max(scores)[0]]


@LEVELS
@SEEDS
def test_auroc_and_average_precision_equal_scikit_learn(seed: int, levels: int | None) -> None:
    maps, masks = reference.random_test_set(seed, levels=levels)
    scores = rank_pixels(maps, masks)
    assert pixel_auroc(scores) == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-12)
    assert pixel_ap(scores) == pytest.approx(average_precision_score(masks.ravel(), maps.ravel()), abs=1e-12)


@pytest.mark.parametrize("limit", [0.01, 0.3, 1.0])
@LEVELS
@SEEDS
def test_pro_equals_the_area_of_the_full_curve(seed: int, levels: int | None, limit: float) -> None:
    maps, masks = reference.random_test_set(seed, levels=levels)
    assert pro(rank_pixels(maps, masks), limit) == pytest.approx(
        reference.exact(maps, masks, limit), abs=1e-12
    )


def test_pro_of_one_region_without_limit_is_pixel_auroc() -> None:
    maps, _ = reference.random_test_set(0, levels=10)
    masks = np.zeros(maps.shape, bool)
    masks[2, 3:9, 5:7] = True
    scores = rank_pixels(maps, masks)
    assert scores.regions == 1
    assert pro(scores, fpr_limit=1) == pytest.approx(pixel_auroc(scores), abs=1e-12)


def test_pro_counts_a_small_region_as_much_as_a_large_one() -> None:
    # The large region is found above every defect-free pixel, the single pixel below all of them.
    maps = np.full((1, 8, 8), 0.5)
    masks = np.zeros(maps.shape, bool)
    masks[0, :4, :4] = masks[0, 7, 7] = True
    maps[0, :4, :4], maps[0, 7, 7] = 1.0, 0.0
    assert pro(rank_pixels(maps, masks)) == pytest.approx(0.5)


@LEVELS
@SEEDS
def test_largest_dice_is_the_largest_over_all_thresholds(seed: int, levels: int | None) -> None:
    maps, masks = reference.random_test_set(seed, levels=levels)
    value, threshold = dice_max(rank_pixels(maps, masks))
    assert (value, threshold) == pytest.approx(reference.dice_max(maps, masks), abs=1e-12)
    assert dice(rank_pixels(maps, masks), threshold) == value


def test_among_equally_good_thresholds_the_highest_is_taken() -> None:
    # One true of one found, or two true of four found: Dice is 2/3 both times.
    scores = rank_pixels([[[4.0, 3.0, 2.0, 1.0]]], [[[1, 0, 0, 1]]])
    assert dice(scores, 4.0) == dice(scores, 1.0)
    assert dice_max(scores) == (pytest.approx(2 / 3), 4.0)


@LEVELS
def test_dice_is_the_f1_of_pixels(levels: int | None) -> None:
    maps, masks = reference.random_test_set(1, levels=levels)
    threshold = float(np.median(maps))
    expected = f1_score(masks.ravel(), maps.ravel() >= threshold)
    assert dice(rank_pixels(maps, masks), threshold) == pytest.approx(expected)


def test_dice_of_images_is_the_mean_over_defective_images() -> None:
    maps, masks = reference.random_test_set(2)
    expected = np.mean([reference.dice_at(m, k, 0.8) for m, k in zip(maps, masks, strict=True) if k.any()])
    assert dice_image(maps, masks, 0.8) == pytest.approx(expected)


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_a_threshold_is_compared_exactly_in_float32_maps(offset: int) -> None:
    # 0.3 lies between two float32 numbers; rounding the threshold first would let a pixel pass by.
    maps = np.full((1, 1, 2), 0.1, np.float32)
    maps[0, 0, 1] = score = np.float32(0.3)
    threshold = float(score) + offset * 1e-12
    masks = np.array([[[0, 1]]])
    expected = 1.0 if float(score) >= threshold else 0.0
    assert dice(rank_pixels(maps, masks), threshold) == expected
    assert dice_image(maps, masks, threshold) == expected


def test_perfect_and_inverted_maps() -> None:
    _, masks = reference.random_test_set(0)
    assert all_measures(masks.astype(float), masks) == [1.0, pytest.approx(1.0), 1.0, 1.0]
    assert all_measures(-masks.astype(float), masks)[:2] == [0.0, 0.0]


def test_constant_maps_are_chance() -> None:
    _, masks = reference.random_test_set(0)
    share = masks.mean()
    assert all_measures(np.zeros(masks.shape), masks) == pytest.approx(
        [0.5, 0.15, share, 2 * share / (1 + share)]
    )


@pytest.mark.parametrize("defective", [False, True], ids=["no defective pixel", "no defect-free pixel"])
def test_one_class_is_undefined(defective: bool) -> None:
    maps, masks = reference.random_test_set(0)
    masks[:] = defective
    scores = rank_pixels(maps, masks)
    values = [*all_measures(maps, masks), *dice_max(scores), dice(scores, 0.0), dice_image(maps, masks, 0.0)]
    assert np.isnan(values).all()


def test_no_image_is_undefined() -> None:
    assert np.isnan(all_measures(np.empty((0, 4, 4)), np.empty((0, 4, 4), bool))).all()


def test_an_undefined_threshold_gives_an_undefined_dice() -> None:
    maps, masks = reference.random_test_set(0)
    assert np.isnan(dice(rank_pixels(maps, masks), np.nan))
    assert np.isnan(dice_image(maps, masks, np.nan))


def test_one_single_image() -> None:
    maps, masks = reference.random_test_set(3, images=1)
    scores = rank_pixels(maps, masks)
    assert pixel_auroc(scores) == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()))
    assert pro(scores) == pytest.approx(reference.exact(maps, masks, 0.3))


@LEVELS
def test_a_monotone_change_of_the_scores_changes_nothing(levels: int | None) -> None:
    maps, masks = reference.random_test_set(4, levels=levels)
    assert all_measures(np.exp(maps / 10) - 7, masks) == pytest.approx(all_measures(maps, masks), abs=1e-12)


def test_the_order_of_the_images_changes_nothing() -> None:
    maps, masks = reference.random_test_set(5, levels=20)
    order = np.random.default_rng(0).permutation(len(maps))
    assert all_measures(maps[order], masks[order]) == pytest.approx(all_measures(maps, masks), abs=1e-12)


def test_the_layout_in_memory_changes_nothing() -> None:
    maps, masks = reference.random_test_set(6, levels=20)
    assert all_measures(maps[:, ::2, ::-1], masks[:, ::2, ::-1]) == all_measures(
        maps[:, ::2, ::-1].copy(), masks[:, ::2, ::-1].copy()
    )
    assert all_measures(np.asfortranarray(maps), np.asfortranarray(masks)) == all_measures(maps, masks)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_every_precision_keeps_its_ties(dtype: DTypeLike) -> None:
    maps, masks = reference.random_test_set(7, levels=30, dtype=dtype)
    assert all_measures(maps, masks) == all_measures(maps.astype(np.float64), masks)


def test_masks_of_zeros_and_ones_equal_boolean_masks() -> None:
    maps, masks = reference.random_test_set(8)
    assert all_measures(maps, masks.astype(np.uint8)) == all_measures(maps, masks)


def test_the_inputs_are_left_as_they_were() -> None:
    maps, masks = reference.random_test_set(9)
    before = maps.copy(), masks.copy()
    all_measures(maps, masks)
    np.testing.assert_array_equal(maps, before[0])
    np.testing.assert_array_equal(masks, before[1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(value: float) -> None:
    maps, masks = reference.random_test_set(0)
    maps[1, 2, 3] = value
    with pytest.raises(MetricError, match=r"maps: found NaN or infinity in 1 of 1280 values"):
        rank_pixels(maps, masks)


def test_masks_of_another_shape_are_refused() -> None:
    maps, masks = reference.random_test_set(0)
    with pytest.raises(MetricError, match=r"masks: found shape \(5, 16, 15\); accepted is \(5, 16, 16\)"):
        rank_pixels(maps, masks[:, :, 1:])


def test_maps_without_an_image_axis_are_refused() -> None:
    with pytest.raises(MetricError, match=r"maps: found shape \(4, 4\); accepted is \(N, H, W\)"):
        rank_pixels(np.zeros((4, 4)), np.zeros((4, 4), bool))


@pytest.mark.parametrize("value", [255, 0.5, np.nan])
def test_masks_that_are_not_binary_are_refused(value: float) -> None:
    maps, masks = reference.random_test_set(0)
    with pytest.raises(
        MetricError, match=r"masks: found the value .*; accepted are booleans or the numbers 0"
    ):
        rank_pixels(maps, masks * value)


def test_maps_that_are_not_real_numbers_are_refused() -> None:
    with pytest.raises(MetricError, match="maps: found dtype complex128"):
        rank_pixels(np.zeros((1, 2, 2), complex), np.zeros((1, 2, 2), bool))


@pytest.mark.parametrize("limit", [0, -0.3, 1.5, np.nan])
def test_a_limit_outside_zero_to_one_is_refused(limit: float) -> None:
    with pytest.raises(MetricError, match="fpr_limit: found"):
        pro(rank_pixels(*reference.random_test_set(0)), limit)
