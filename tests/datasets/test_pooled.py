"""Several categories as one: the union of their images, of which each category holds out its own part."""

from dataclasses import replace
from pathlib import Path

import pytest

from datasets.category import Category, Sample
from datasets.errors import DatasetError
from datasets.pooled import pool


def category_of(name: str, count: int, validation: int = 0) -> Category:
    train, own = (
        tuple(Sample(Path(f"{name}/{part}/{i}.png")) for i in range(number))
        for part, number in (("train", count), ("validation", validation))
    )
    return Category(name, train, test=(Sample(Path(f"{name}/test/0.png"), "bent"),), validation=own)


BOLT, NUT = category_of("bolt", 10), category_of("nut", 7)


def test_it_has_the_train_images_of_all_and_no_test_images() -> None:
    pooled = pool([BOLT, NUT])
    assert pooled.train == (*BOLT.train, *NUT.train)
    assert (pooled.name, pooled.test, pooled.validation) == ("all 2 categories", (), ())
    assert pool([NUT, BOLT]) == pooled


@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_each_category_holds_out_the_part_that_it_holds_out_alone(fraction: float) -> None:
    split = pool([BOLT, NUT]).hold_out(fraction, seed=1)
    alone = [part.hold_out(fraction, seed=1) for part in (BOLT, NUT)]
    assert split.train == tuple(sample for part in alone for sample in part.train)
    assert split.validation == tuple(sample for part in alone for sample in part.validation)


def test_validation_images_of_its_own_are_all_that_is_held_out() -> None:
    parts = [category_of(name, 4, validation=2) for name in ("bolt", "nut")]
    pooled = pool(parts)
    assert pooled.validation == (*parts[0].validation, *parts[1].validation)
    assert pooled.hold_out(0.5, seed=0) == pooled


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"dataset.pool=all .* 'bolt' is the only one; expected several"):
        pool([BOLT])
    with pytest.raises(DatasetError, match=r"bit depths \['12', 'None'\]"):
        pool([BOLT, replace(NUT, bit_depth=12)])
    with pytest.raises(
        DatasetError, match="category 'nut' has no validation images of its own, and others have"
    ):
        pool([category_of("bolt", 4, validation=2), NUT])
