"""Where the ground truth of some images is unknown, pixel measures are those of the other images alone."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import metrics
from metrics import MEASURES, PRO_VARIANTS, Measures, MetricError, PixelCounts, evaluate
from metrics.slices import SLICE_PIXELS, Selection, slices
from tests.metrics import reference

SEEDS = pytest.mark.parametrize("seed", range(8))
LEVELS = pytest.mark.parametrize("levels", [None, 5])
HELD_OUT = {"validation_scores": np.arange(3.0), "validation_max": np.arange(3.0)}


def partial_set(seed: int, levels: int | None) -> dict[str, Any]:
    """Return maps, masks, labels and scores of images, of which some anomalous ones lack ground truth."""
    maps, masks = reference.random_test_set(seed, images=12, levels=levels, dtype=np.float32)
    labels = masks.any(axis=(1, 2))
    has_truth = ~labels | (np.random.default_rng(seed).random(12) < 0.6)
    has_truth[0], has_truth[2] = True, False
    return {
        "maps": maps,
        "masks": masks & has_truth[:, None, None],
        "labels": labels,
        "scores": maps.mean(axis=(1, 2)),
        "has_truth": has_truth,
    }


def known_part(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: array[arrays["has_truth"]] for name, array in arrays.items() if name != "has_truth"}


def at_level(measures: Measures, level: str) -> dict[str, float]:
    return {name: value for name, value in measures.values.items() if MEASURES[name].level == level}


@SEEDS
@LEVELS
@pytest.mark.parametrize("policy", ["dice_max", "train_quantile"])
def test_pixel_measures_are_those_of_the_images_with_ground_truth_alone(
    seed: int, levels: int | None, policy: str
) -> None:
    arrays = partial_set(seed, levels)
    options: dict[str, Any] = {"threshold_policy": policy, "pro_variants": PRO_VARIANTS, **HELD_OUT}
    found, alone = evaluate(**arrays, **options), evaluate(**known_part(arrays), **options)
    assert at_level(found, "pixel") == at_level(alone, "pixel")
    assert (found.threshold, found.dice_max_threshold) == (alone.threshold, alone.dice_max_threshold)
    for field in fields(PixelCounts):
        if "thresholds" not in field.name:  # the largest scores of the other maps are counted at, too
            np.testing.assert_array_equal(
                getattr(found.pixels, field.name), getattr(alone.pixels, field.name)
            )


@SEEDS
@LEVELS
def test_measures_equal_plain_loops_over_the_images_with_ground_truth(seed: int, levels: int | None) -> None:
    arrays = partial_set(seed, levels)
    found = evaluate(**arrays)
    part = known_part(arrays)
    maps, masks = part["maps"].astype(np.float64), part["masks"]
    assert found.values["pro"] == pytest.approx(reference.exact(maps, masks, 0.3), abs=1e-12)
    assert found.values["dice"] == reference.dice_at(maps, masks, found.threshold)
    assert (found.values["dice_max"], found.dice_max_threshold) == reference.dice_max(maps, masks)


@SEEDS
@LEVELS
def test_image_measures_and_their_thresholds_are_those_of_all_images(seed: int, levels: int | None) -> None:
    arrays = partial_set(seed, levels)
    found = evaluate(**arrays)
    whole = evaluate(**{**arrays, "has_truth": None})
    assert at_level(found, "image") == at_level(whole, "image")
    assert found.thresholds["f1_image"] == whole.thresholds["f1_image"]
    maxima = arrays["maps"].max(axis=(1, 2))
    assert found.threshold == metrics.best_f1_threshold(arrays["labels"], maxima)
    judged = evaluate(**arrays, threshold_policy="dice_max")
    expected = metrics.image_f1(arrays["labels"], maxima, judged.dice_max_threshold)
    assert judged.values["image_f1"] == expected


def test_all_ground_truth_known_is_the_same_as_nothing_said() -> None:
    arrays = partial_set(0, None)
    whole = evaluate(**{**arrays, "has_truth": None}, pro_variants=PRO_VARIANTS)
    assert evaluate(**{**arrays, "has_truth": [1] * 12}, pro_variants=PRO_VARIANTS).values == whole.values


def test_the_maps_of_images_without_ground_truth_must_be_finite_too() -> None:
    arrays = partial_set(0, None)
    arrays["maps"][2, 3, 3] = np.nan
    with pytest.raises(MetricError, match="maps: found NaN or infinity in 1 of 256 pixels"):
        evaluate(**arrays)


def test_a_wrong_number_of_images_is_refused() -> None:
    arrays = partial_set(0, None)
    with pytest.raises(MetricError, match=r"has_truth: found shape \(11,\); expected \(12,\)"):
        evaluate(**{**arrays, "has_truth": arrays["has_truth"][1:]})


class OnDisk:
    """A stack of images that only offers its shape and slices, and remembers the largest one."""

    def __init__(self, images: NDArray[Any]) -> None:
        self.shape, self.largest, self._images = images.shape, 0, images

    def __getitem__(self, images: slice) -> NDArray[Any]:
        part = self._images[images]
        self.largest = max(self.largest, part.size)
        return part


@pytest.mark.parametrize("seed", range(20))
def test_a_selection_reads_the_chosen_images_slice_by_slice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.random((int(rng.integers(1, 20)), 2, 3))
    chosen = rng.random(len(images)) < rng.random()
    selection = Selection(images, chosen)
    assert selection.shape == images[chosen].shape
    for step in (1, 3, 50):
        parts = [np.empty((0, 2, 3)), *(selection[part] for part in slices(selection, 6 * step))]
        np.testing.assert_array_equal(np.concatenate(parts), images[chosen])


def test_maps_on_disk_are_never_read_as_a_whole() -> None:
    images, side = 40, 512
    rng = np.random.default_rng(0)
    maps = OnDisk(rng.random((images, side, side), np.float32))
    masks = OnDisk(np.arange(side * side).reshape(side, side) < np.arange(images)[:, None, None])
    labels = np.arange(images) > 0
    evaluate(maps, masks, labels, np.zeros(images), has_truth=~labels | (np.arange(images) % 3 > 0))
    assert max(maps.largest, masks.largest) <= max(SLICE_PIXELS, side * side)
