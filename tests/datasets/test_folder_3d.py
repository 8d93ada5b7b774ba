"""The layout of MVTec 3D-AD: splits, point clouds and masks, what is missing, and the other layout recognised."""

import shutil
from pathlib import Path

import pytest

from datasets.errors import DatasetError
from datasets.folder import Folder
from datasets.folder_3d import Folder3D
from datasets.mvtec_3d import CATEGORIES, MVTec3D
from datasets.mvtec_ad import MVTecAD
from tests.datasets.helpers import (
    make_category,
    make_category_3d,
    point_cloud,
    save,
    save_cloud,
    square_mask,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_category_3d(tmp_path / "data" / "bagel")
    return tmp_path / "data"


def test_every_image_comes_with_its_point_cloud_and_defective_ones_with_their_mask(root: Path) -> None:
    category = Folder3D(str(root)).category("bagel")
    splits = {"train": category.train, "validation": category.validation, "test": category.test}
    assert {split: len(samples) for split, samples in splits.items()} == {
        "train": 4,
        "validation": 2,
        "test": 4,
    }
    assert [sample.kind for sample in category.test] == ["dent", "dent", "good", "good"]
    for split, samples in splits.items():
        for sample in samples:
            folder = root / "bagel" / split / sample.kind
            assert sample.image.parent == folder / "rgb"
            assert sample.xyz == folder / f"xyz/{sample.image.stem}.tiff"
            assert sample.mask == (folder / f"gt/{sample.image.stem}.png" if sample.label else None)


def test_its_own_validation_images_are_not_replaced_by_train_images(root: Path) -> None:
    category = Folder3D(str(root)).category("bagel")
    assert category.hold_out(0.25, 0) == category


def test_without_validation_images_train_images_can_be_held_out(tmp_path: Path) -> None:
    folder = make_category_3d(tmp_path / "bagel", validation=0)
    category = Folder3D(str(folder)).category("bagel")
    assert category.validation == ()
    assert [
        len(part) for part in (category.hold_out(0.25, 0).train, category.hold_out(0.25, 0).validation)
    ] == [3, 1]


def test_an_empty_validation_folder_is_named(root: Path) -> None:
    for path in (root / "bagel/validation/good/rgb").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=r"validation/good/rgb: found no image; expected \.bmp"):
        Folder3D(str(root)).category("bagel")


@pytest.mark.parametrize("part", ["train/good", "validation/good", "test/good", "test/dent"])
def test_a_missing_point_cloud_is_named(root: Path, part: str) -> None:
    (root / "bagel" / part / "xyz/001.tiff").unlink()
    message = rf"{part}/rgb/001\.png: its point cloud is missing; expected .*{part}/xyz/001\.tiff"
    with pytest.raises(DatasetError, match=message):
        Folder3D(str(root)).category("bagel")


def test_a_missing_mask_is_named_unless_none_is_required(root: Path) -> None:
    (root / "bagel/test/dent/gt/001.png").unlink()
    message = r"test/dent/rgb/001\.png: its ground truth is missing; expected .*test/dent/gt/001"
    with pytest.raises(DatasetError, match=message):
        Folder3D(str(root)).category("bagel")
    category = Folder3D(str(root), require_masks=False).category("bagel")
    assert [sample.mask is None for sample in category.test] == [False, True, True, True]


def test_missing_train_images_are_named(root: Path) -> None:
    (root / "bagel/train/good/rgb").rename(root / "elsewhere")
    message = r"train/good/rgb: the folder is missing; expected the normal train images in it"
    with pytest.raises(DatasetError, match=message):
        Folder3D(str(root), "bagel").category("bagel")


def test_without_test_images_a_category_can_be_trained(root: Path) -> None:
    for kind in ("good", "dent"):
        (root / "bagel/test" / kind / "rgb").rename(root / kind)
    message = r"test: found 8 image files, but no test images; expected image files in test/good/rgb and test/<name of"
    with pytest.raises(DatasetError, match=message):
        Folder3D(str(root), "bagel").category("bagel")
    shutil.rmtree(root / "bagel/test")
    category = Folder3D(str(root), "bagel").category("bagel")
    assert (len(category.train), len(category.validation), category.test) == (4, 2, ())


@pytest.mark.parametrize(
    "path", ["validation", "train/good/rgb", "test/dent/xyz", "test/dent/gt", "test/good"]
)
def test_a_link_that_leads_nowhere_is_named_wherever_it_lies(root: Path, path: str) -> None:
    target = root / "bagel" / path
    shutil.rmtree(target)
    target.symlink_to("/mnt/gone")
    with pytest.raises(DatasetError, match=rf"bagel/{path}: found a link to /mnt/gone, which does not exist"):
        Folder3D(str(root), require_masks=False).category("bagel")


def test_normal_images_may_have_a_folder_of_another_name(root: Path) -> None:
    expected = Folder3D(str(root)).category("bagel")
    for split in ("train", "validation", "test"):
        (root / "bagel" / split / "good").rename(root / "bagel" / split / "OK")
    category = Folder3D(str(root), normal_names="OK").category("bagel")
    for split in ("train", "validation", "test"):
        found, given = (
            sorted((sample.image.name, sample.kind, sample.mask is None) for sample in getattr(each, split))
            for each in (category, expected)
        )
        assert found == given


def test_what_is_passed_over_is_named(root: Path) -> None:
    folder = Folder3D(str(root))
    category = folder.category("bagel")
    assert folder.unused(category) == ()
    save_cloud(root / "bagel/test/dent/xyz/900.tiff", point_cloud())
    assert folder.unused(category) == ("test/dent/xyz: 1 image file is not used",)


def test_the_root_may_be_one_category(root: Path) -> None:
    dataset = Folder3D(str(root / "bagel"))
    assert dataset.categories == ("bagel",)
    assert len(dataset.category("bagel").test) == 4


@pytest.mark.parametrize("dataset", [Folder3D, MVTec3D])
@pytest.mark.parametrize("below", ["", "carrot"], ids=["root", "category"])
def test_a_folder_in_the_layout_of_mvtec_ad_is_recognised(
    tmp_path: Path, dataset: type[Folder3D], below: str
) -> None:
    make_category(tmp_path / "carrot")
    message = r"carrot/train/good: found the layout of MVTec AD .*; expected .* or dataset=mvtec_ad, or dataset=folder"
    with pytest.raises(DatasetError, match=message):
        dataset(str(tmp_path / below))


@pytest.mark.parametrize("dataset", [Folder, MVTecAD])
@pytest.mark.parametrize("below", ["", "bagel"], ids=["root", "category"])
def test_a_folder_in_the_layout_of_mvtec_3d_is_recognised(
    root: Path, dataset: type[Folder], below: str
) -> None:
    message = (
        r"bagel/train/good: found the layout of MVTec 3D-AD .* or dataset=mvtec_3d, or dataset=folder_3d"
    )
    with pytest.raises(DatasetError, match=message):
        dataset(str(root / below))


def test_all_of_mvtec_3d_are_ten(tmp_path: Path) -> None:
    for name in (*CATEGORIES, "aardvark"):
        make_category_3d(tmp_path / name, train=1, validation=1, good=1, dented=1)
    dataset = MVTec3D(str(tmp_path))
    assert dataset.categories == CATEGORIES
    assert len(dataset.categories) == 10
    assert len(dataset.category("tire").validation) == 1


def test_all_of_an_incomplete_root_is_refused(root: Path) -> None:
    message = r"lacks 9 of MVTec 3D-AD's 10 categories: cable_gland, .* or use dataset=folder_3d for"
    with pytest.raises(DatasetError, match=message):
        MVTec3D(str(root))
    assert MVTec3D(str(root), ["bagel"]).categories == ("bagel",)


def test_its_licence_stands_before_the_download(tmp_path: Path) -> None:
    message = r"MVTec 3D-AD is under CC BY-NC-SA 4\.0 .*mvtec-3d-ad and set dataset\.accept_license=true"
    with pytest.raises(DatasetError, match=message):
        MVTec3D(str(tmp_path / "data"), download=True)


def test_masks_named_after_their_image_are_found_too(root: Path) -> None:
    (root / "bagel/test/dent/gt/000.png").unlink()
    mask = save(root / "bagel/test/dent/gt/000_mask.png", square_mask())
    assert Folder3D(str(root)).category("bagel").test[0].mask == mask
