"""Held-out validation images: a seeded part of the train images, the one of STFPM's released code."""

from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.model_selection import train_test_split

from datasets.category import Category, Sample
from datasets.errors import DatasetError


def category_of(count: int) -> Category:
    train = tuple(Sample(Path(f"train/good/{i:03d}.png")) for i in range(count))
    return Category("bottle", train, test=(Sample(Path("test/broken/000.png"), "broken"),))


@pytest.mark.parametrize(("count", "fraction"), [(2, 0.5), (10, 0.2), (209, 0.2), (28, 0.33), (5, 0.01)])
def test_train_is_parted_in_two(count: int, fraction: float) -> None:
    category = category_of(count)
    parted = category.hold_out(fraction, seed=3)
    assert sorted(parted.train + parted.validation, key=lambda sample: sample.image) == list(category.train)
    assert len(parted.validation) == pytest.approx(fraction * count, abs=1)
    assert parted.train
    assert parted.validation


def test_each_part_stays_in_the_order_of_the_files() -> None:
    parted = category_of(50).hold_out(0.4, seed=0)
    for part in (parted.train, parted.validation):
        assert [sample.image for sample in part] == sorted(sample.image for sample in part)


def test_everything_else_stays() -> None:
    category = replace(category_of(10), mask_threshold=3)
    parted = category.hold_out(0.2, seed=0)
    assert replace(parted, train=category.train, validation=()) == category


@pytest.mark.parametrize("count", [5, 60, 209, 391])
def test_split_is_that_of_the_released_code(count: int) -> None:
    category = category_of(count)
    paths = [str(sample.image) for sample in category.train]
    train, validation = train_test_split(paths, test_size=0.2, random_state=0)
    parted = category.hold_out(0.2, seed=0)
    assert [str(sample.image) for sample in parted.train] == sorted(train)
    assert [str(sample.image) for sample in parted.validation] == sorted(validation)


def test_split_depends_on_the_seed_alone() -> None:
    category = category_of(40)
    assert category.hold_out(0.2, seed=1) == category.hold_out(0.2, seed=1)
    assert len({category.hold_out(0.2, seed=seed).validation for seed in range(5)}) == 5


def test_nothing_is_held_out_for_fraction_0() -> None:
    category = category_of(4)
    assert category.hold_out(0, seed=0) == category


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.9])
def test_validation_images_of_its_own_are_kept(fraction: float) -> None:
    category = replace(category_of(4), validation=(Sample(Path("validation/good/000.png")),))
    assert category.hold_out(fraction, seed=0) == category


@pytest.mark.parametrize(
    ("count", "fraction"),
    [(10, -0.1), (10, 1), (10, 1.0), (10, 20), (10, float("nan")), (10, 0.95), (1, 0.2)],
)
def test_fraction_that_empties_a_part_is_refused(count: int, fraction: float) -> None:
    message = rf"method\.training\.validation_fraction={fraction} of the {count} train images of .*'bottle'"
    with pytest.raises(DatasetError, match=message):
        category_of(count).hold_out(fraction, seed=0)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(DatasetError, match=rf"method\.training\.validation_seed={seed}; expected 0 to"):
        category_of(10).hold_out(0.2, seed)
