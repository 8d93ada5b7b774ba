"""Any folder in MVTec AD's layout: what is listed, and what a wrong one is told."""

import shutil
from pathlib import Path

import pytest

from datasets.category import Category
from datasets.errors import DatasetError
from datasets.folder import Folder
from tests.datasets.helpers import make_category, noise, save, square_mask


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("screw", "bottle"):
        make_category(tmp_path / "data" / name)
    return tmp_path / "data"


def bottle(root: Path, require_masks: bool = True) -> Category:
    return Folder(str(root), require_masks=require_masks).category("bottle")


def names(folder: Path, paths: list[Path]) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def test_layout_is_listed_in_order(root: Path) -> None:
    category = bottle(root)
    assert category.name == "bottle"
    assert names(root / "bottle", [sample.image for sample in category.train]) == [
        f"train/good/00{i}.png" for i in range(4)
    ]
    assert names(root / "bottle", [sample.image for sample in category.test]) == [
        f"test/{kind}/00{i}.png" for kind in ("good", "scratch") for i in range(2)
    ]
    assert category.validation == ()
    assert category.group == ""


def test_labels_follow_the_folders(root: Path) -> None:
    category = bottle(root)
    assert [sample.label for sample in category.train] == [0] * 4
    found = [(sample.kind, sample.label) for sample in category.test]
    assert found == [("good", 0), ("good", 0), ("scratch", 1), ("scratch", 1)]


def test_all_categories_are_sorted(root: Path) -> None:
    assert Folder(str(root)).categories == ("bottle", "screw")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("screw", ("screw",)),
        (["screw"], ("screw",)),
        (["screw", "bottle"], ("screw", "bottle")),
        (["screw", "bottle", "screw"], ("screw", "bottle")),
    ],
)
def test_categories_are_one_name_or_a_list(root: Path, asked: str | list[str], expected: tuple) -> None:
    assert Folder(str(root), asked).categories == expected


def test_root_may_be_one_category(root: Path) -> None:
    folder = Folder(str(root / "bottle"))
    assert folder.categories == ("bottle",)
    assert folder.category("bottle") == bottle(root)


def test_home_is_expanded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    assert Folder("~/data").root == root


@pytest.mark.parametrize("name", ["001.png", "001_mask.png", "001.bmp", "001_mask.tif", "001_mask.PNG"])
def test_mask_is_named_as_its_image(root: Path, name: str) -> None:
    truth = root / "bottle/ground_truth/scratch"
    (truth / "001_mask.png").unlink()
    save(truth / name, square_mask())
    assert bottle(root).test[-1].mask == truth / name


def test_jpg_images_have_png_masks(root: Path) -> None:
    images = root / "bottle/test/scratch"
    shutil.rmtree(images)
    save(images / "000.jpg", noise(12, 16, 3))
    sample = bottle(root).test[-1]
    assert sample.image == images / "000.jpg"
    assert sample.mask == root / "bottle/ground_truth/scratch/000_mask.png"


def test_suffixes_may_be_upper_case(root: Path) -> None:
    save(root / "bottle/train/good/900.PNG", noise(12, 16, 3))
    assert bottle(root).train[-1].image.name == "900.PNG"


def test_hidden_and_foreign_files_are_passed_over(root: Path) -> None:
    expected = bottle(root)
    for folder in ("train/good", "test/good", "test/scratch", "test", "."):
        for name in (".DS_Store", "._000.png", "Thumbs.db", "readme.txt"):
            (root / "bottle" / folder / name).touch()
    (root / "license.txt").touch()
    assert bottle(root) == expected


def test_hidden_folders_are_no_kinds_and_no_categories(root: Path) -> None:
    expected = bottle(root)
    shutil.copytree(root / "bottle", root / ".trash")
    shutil.copytree(root / "bottle/test/good", root / "bottle/test/.ipynb_checkpoints")
    assert Folder(str(root)).categories == ("bottle", "screw")
    assert bottle(root) == expected


def test_good_test_images_need_no_mask(root: Path) -> None:
    assert [sample.mask for sample in bottle(root).test if sample.label == 0] == [None, None]


def test_missing_mask_names_the_image_and_the_option(root: Path) -> None:
    (root / "bottle/ground_truth/scratch/001_mask.png").unlink()
    with pytest.raises(DatasetError, match=r"scratch/001\.png: its ground truth is missing.*require_masks"):
        bottle(root)


def test_missing_masks_are_none_where_they_are_not_required(root: Path) -> None:
    (root / "bottle/ground_truth/scratch/001_mask.png").unlink()
    found = [sample.mask is not None for sample in bottle(root, require_masks=False).test]
    assert found == [False, False, True, False]
    shutil.rmtree(root / "bottle/ground_truth")
    assert not any(sample.mask for sample in bottle(root, require_masks=False).test)


def test_mask_threshold_is_handed_on(root: Path) -> None:
    assert Folder(str(root), mask_threshold=7).category("bottle").mask_threshold == 7


@pytest.mark.parametrize("root_option", [None, ""])
def test_root_that_is_not_set_is_named(root_option: str | None) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.root is not set"):
        Folder(root_option)


def test_root_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"dataset\.root={tmp_path}/typo: there is no such folder"):
        Folder(f"{tmp_path}/typo")


@pytest.mark.parametrize("below", ["bottle/train", "bottle/test"])
def test_root_in_the_wrong_place_is_told_the_layout(root: Path, below: str) -> None:
    message = r"dataset\.root=.*: found no category; expected .*<category>/train/good"
    with pytest.raises(DatasetError, match=message):
        Folder(str(root / below))


def test_unknown_category_is_told_the_near_and_the_known(root: Path) -> None:
    message = r"dataset\.categories: 'botle' .*\(did you mean 'bottle'\?\); found: bottle, screw"
    with pytest.raises(DatasetError, match=message):
        Folder(str(root), ["screw", "botle"])


def test_no_categories_are_refused(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.categories is empty; expected all, or some of bottle"):
        Folder(str(root), [])


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def test_missing_train_images_are_named(root: Path) -> None:
    empty(root / "bottle/train/good")
    with pytest.raises(DatasetError, match=r"bottle/train/good: found no image; expected \.bmp, "):
        bottle(root)
    (root / "bottle/train/good").rmdir()
    with pytest.raises(DatasetError, match=r"bottle/train/good: the folder is missing"):
        bottle(root)


def test_missing_test_images_are_named(root: Path) -> None:
    message = r"bottle/test: found no test images; expected image files in test/good and test/<name"
    for kind in ("good", "scratch"):
        empty(root / "bottle/test" / kind)
    with pytest.raises(DatasetError, match=message):
        bottle(root)
    shutil.rmtree(root / "bottle/test")
    with pytest.raises(DatasetError, match=message):
        bottle(root)
