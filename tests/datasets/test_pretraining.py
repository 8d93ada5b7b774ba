"""The images for pretraining: found at any depth, limited at random, and never silently none."""

from pathlib import Path

import pytest

from datasets.errors import DatasetError
from datasets.folder import Folder
from datasets.pretraining import natural_images, train_images
from tests.datasets.helpers import make_category, noise, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as ImageNet's: images of several sizes in subfolders, and other files."""
    for i in range(6):
        save(tmp_path / f"n{i % 2}" / "deep" / f"{i}.jpg", noise(10 + i, 20, 3, seed=i))
    save(tmp_path / "n0" / ".hidden.png", noise(8, 8, 3))
    save(tmp_path / ".trash" / "old.png", noise(8, 8, 3))
    (tmp_path / "n1" / "labels.txt").write_text("no image")
    return tmp_path


def test_images_are_found_at_any_depth_without_hidden_and_other_files(folder: Path) -> None:
    category = natural_images(folder, 100)
    assert sorted(sample.image.name for sample in category.train) == [f"{i}.jpg" for i in range(6)]
    assert not any(sample.label for sample in category.train)
    assert category.test == ()


def test_a_limit_takes_a_random_part_that_is_always_the_same(folder: Path) -> None:
    few = natural_images(folder, 4).train
    assert len(few) == 4
    assert set(few) < set(natural_images(folder, 100).train)
    assert natural_images(folder, 4).train == few


def test_a_folder_without_images_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty" / "n0").mkdir(parents=True)
    with pytest.raises(
        DatasetError,
        match=r"training\.pretraining\.images=.*empty: found no image at any depth; expected \.bmp",
    ):
        natural_images(tmp_path / "empty", 10)


def test_a_missing_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"method\.training\.pretraining\.images=.*nowhere: there is no such folder"
    ):
        natural_images(tmp_path / "nowhere", 10)


def test_train_images_of_several_categories_hold_no_test_image(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_category(tmp_path / name, train=3)
    dataset = Folder(str(tmp_path))
    found = train_images(map(dataset.category, dataset.categories), 100).train
    assert len(found) == 6
    assert {sample.image.parts[-3] for sample in found} == {"train"}


def test_a_folder_that_is_a_link_is_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "n2").symlink_to(save(tmp_path.parent / "elsewhere" / "9.png", noise(8, 8, 3)).parent)
    assert len(natural_images(folder, 100).train) == 7


@pytest.mark.parametrize("name", ["9.png", "n2"])
def test_a_link_that_leads_nowhere_is_named(folder: Path, name: str) -> None:
    (folder / "n0" / name).symlink_to("/mnt/gone")
    with pytest.raises(DatasetError, match=rf"n0/{name}: found a link to /mnt/gone, which does not exist"):
        natural_images(folder, 100)


def test_train_images_are_read_with_their_bit_depth(tmp_path: Path) -> None:
    make_category(tmp_path / "a")
    categories = [Folder(str(tmp_path), bit_depth=bits).category("a") for bits in (12, 12, 10)]
    assert train_images(categories[:2], 100).bit_depth == 12
    with pytest.raises(DatasetError, match=r"bit depths \['10', '12'\]; expected one for all"):
        train_images(categories, 100)
