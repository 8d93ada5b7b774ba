"""Few and contaminated train images: seeded, nested, the same for all methods, and never among the test images."""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.category import GOOD, Category, Sample
from datasets.dataset import Dataset
from datasets.errors import DatasetError
from datasets.folder import Folder
from datasets.folder_3d import Folder3D
from datasets.mvtec_ad_2 import MVTecAD2
from datasets.one_class import Labelled, OneClass
from datasets.synthetic import Synthetic
from datasets.training_sets import DrawnTrainImages, contaminating, draw
from datasets.visa import VisA
from tests.datasets.helpers import make_category_3d
from tests.datasets.official_trees import make_btad, make_mvtec_ad_2, make_visa

SCRATCHED, BENT, STAINED = 12, 6, 3


def samples(kind: str, count: int) -> tuple[Sample, ...]:
    mask = None if kind == GOOD else Path(f"ground_truth/{kind}.png")
    return tuple(Sample(Path(f"test/{kind}/{i:03d}.png"), kind, mask) for i in range(count))


def category_of(train: int = 40) -> Category:
    images = tuple(Sample(Path(f"train/{GOOD}/{i:03d}.png")) for i in range(train))
    test = (*samples(GOOD, 5), *samples("bent", BENT), *samples("scratch", SCRATCHED))
    return Category("bolt", images, test=(*test, *samples("stain", STAINED)), mask_threshold=3)


def images(drawn: tuple[Sample, ...]) -> list[Path]:
    return [sample.image for sample in drawn]


def defective(category: Category) -> list[Path]:
    return [path for path in images(category.train) if path.parts[0] == "test"]


def test_without_options_all_images_stay() -> None:
    assert draw(category_of(), None, 0.0, seed=3) == category_of()


@pytest.mark.parametrize("count", [1, 8, 40])
def test_so_many_train_images_are_drawn_and_nothing_else_changes(count: int) -> None:
    whole = replace(category_of(), validation=(Sample(Path("validation/good/000.png")),))
    drawn = draw(whole, count, 0.0, seed=0)
    assert len(drawn.train) == count
    assert images(drawn.train) == sorted(set(images(drawn.train)) & set(images(whole.train)))
    assert replace(drawn, train=whole.train) == whole


def test_smaller_draws_are_parts_of_larger_ones() -> None:
    drawn = [set(images(draw(category_of(), count, 0.0, seed=2).train)) for count in (1, 2, 4, 8, 16, 40)]
    assert all(fewer < more for fewer, more in itertools.pairwise(drawn))
    dirty = [draw(category_of(), None, share, seed=2) for share in (0.05, 0.1, 0.2, 0.4)]
    moved = [set(defective(each)) for each in dirty]
    assert all(fewer < more for fewer, more in itertools.pairwise(moved))


def test_seeds_draw_different_images_and_equal_seeds_the_same() -> None:
    for count, share in ((8, 0.0), (None, 0.2), (8, 0.25)):
        first, again, other = (draw(category_of(), count, share, seed) for seed in (0, 0, 1))
        assert first == again
        assert first.train != other.train
    picked = Counter(path for seed in range(300) for path in images(draw(category_of(), 8, 0.0, seed).train))
    assert len(picked) == 40
    assert max(picked.values()) < 100  # each with the probability 1/5


@pytest.mark.parametrize(("count", "share"), [(None, 0.05), (None, 0.1), (None, 0.45), (20, 0.5), (8, 0.2)])
def test_defective_images_move_from_test_to_train_and_count_as_normal(
    count: int | None, share: float
) -> None:
    whole, drawn = category_of(), draw(category_of(), count, share, seed=5)
    total = count or 40
    moved = defective(drawn)
    assert len(drawn.train) == total
    assert len(moved) == contaminating(total, share) > 0
    assert not set(images(drawn.train)) & set(images(drawn.test))
    assert [path for path in images(whole.test) if path not in moved] == images(drawn.test)
    assert {(sample.kind, sample.mask) for sample in drawn.train} == {(GOOD, None)}
    assert {sample.kind for sample in drawn.test} == {GOOD, "bent", "scratch", "stain"}


def test_kinds_of_defects_are_drawn_as_evenly_as_they_last() -> None:
    for seed in range(10):
        for share, expected in ((0.15, [2, 2, 2]), (0.3, [2, 5, 5]), (0.45, [2, 5, 11])):
            moved = defective(draw(category_of(), None, share, seed))
            assert sorted(Counter(path.parts[1] for path in moved).values()) == expected


def test_a_share_of_half_an_image_is_none() -> None:
    assert [contaminating(count, 0.5) for count in (1, 2, 3, 4)] == [0, 1, 1, 2]
    with pytest.raises(
        DatasetError, match=r"dataset.contamination=0.05 of the 8 train images .* are none; exp"
    ):
        draw(category_of(), 8, 0.05, seed=0)


def test_what_there_are_too_few_images_for_is_refused() -> None:
    with pytest.raises(
        DatasetError, match=r"dataset.train_images=41: category 'bolt' has 40 train images; .* 40"
    ):
        draw(category_of(), 41, 0.0, seed=0)
    with pytest.raises(
        DatasetError, match=r"asks for 20 .* found 21 of 3 kinds, of which 18 can be moved"
    ) as error:
        draw(category_of(), None, 0.5, seed=0)
    most = float(str(error.value).rpartition("at most ")[2])
    assert len(defective(draw(category_of(), None, most, seed=0))) == 18
    with pytest.raises(DatasetError, match="found 0 of 0 kinds"):
        draw(replace(category_of(), test=()), None, 0.1, seed=0)


class Shades(OneClass):
    """Grey squares of two shades."""

    classes = ("dark", "light")

    def read(self, split: str) -> Labelled:
        shades = np.arange(24, dtype=np.uint8)
        return Labelled(np.tile(shades[:, None, None], (1, 8, 8)), (shades % 2).astype(np.int64))


def one_class(folder: Path) -> Dataset:
    return Shades(folder)


def synthetic(folder: Path) -> Dataset:
    return Synthetic(folder, ["washer"], image_size=32, train=4, test_good=1, test_defective=2)


def btad(folder: Path) -> Dataset:
    return Folder(str(make_btad(folder)), normal_names="ok")


def folder_3d(folder: Path) -> Dataset:
    make_category_3d(folder / "bagel")
    return Folder3D(str(folder))


def visa(folder: Path) -> Dataset:
    return VisA(str(make_visa(folder, ["candle"])), ["candle"])


def mvtec_ad_2(folder: Path) -> Dataset:
    return MVTecAD2(str(make_mvtec_ad_2(folder, ["can"])), ["can"])


@pytest.mark.parametrize("make", [one_class, synthetic, btad, folder_3d, visa, mvtec_ad_2])
def test_images_of_every_class_of_datasets_are_drawn(make: Callable[[Path], Dataset], tmp_path: Path) -> None:
    whole = make(tmp_path / "data")
    drawn = DrawnTrainImages(whole, 4, 0.25, seed=1)
    for name in ("name", "categories", "has_depth", "has_ground_truth", "has_validation"):
        assert getattr(drawn, name) == getattr(whole, name)
    for name in whole.categories:
        before, after = whole.category(name), drawn.category(name)
        tested = set(images(after.test))
        assert len(after.train) == 4
        assert len(set(images(after.train)) - set(images(before.train))) == 1
        assert not tested & {*images(after.train), *images(after.validation)}
        assert len(tested) == len(before.test) - 1
        assert after.validation == before.validation
        assert {sample.xyz is None for sample in after.train} == {not whole.has_depth}
        assert (drawn.group(name), drawn.unused(after)) == (whole.group(name), whole.unused(before))
