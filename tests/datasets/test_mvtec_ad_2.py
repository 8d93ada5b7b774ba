"""MVTec AD 2: its own validation images, the public test images, and private ones that nothing trains on."""

import hashlib
import shutil
import tarfile
from pathlib import Path

import pytest

from datasets.errors import DatasetError
from datasets.facts import describe
from datasets.inspection import inspect
from datasets.mvtec_ad_2 import PRIVATE_COUNTS, MVTecAD2
from tests.datasets.helpers import save, square_mask
from tests.datasets.official_trees import make_mvtec_ad_2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_mvtec_ad_2(tmp_path / "mvtec_ad_2", ["can", "vial"])


def open_can(root: Path) -> MVTecAD2:
    return MVTecAD2(str(root), ["can"])


def test_the_splits_are_the_official_ones(root: Path) -> None:
    category = open_can(root).category("can")
    for split, folder, count in (("train", "train", 4), ("validation", "validation", 2)):
        samples = getattr(category, split)
        assert [sample.image for sample in samples] == [
            root / "can" / folder / "good" / f"{i:03d}_regular.png" for i in range(count)
        ]
        assert {sample.label for sample in samples} == {0}
    assert [sample.kind for sample in category.test] == ["bad", "bad", "good", "good"]
    truth = root / "can/test_public/ground_truth/bad"
    assert [sample.mask for sample in category.test[:2]] == [
        truth / f"{i:03d}_overexposed_mask.png" for i in range(2)
    ]


def test_no_train_image_is_held_out_next_to_its_validation_images(root: Path) -> None:
    category = open_can(root).category("can")
    assert category.hold_out(0.5, 0) == category
    assert MVTecAD2.has_validation


def test_private_images_are_found_and_neither_trained_on_nor_measured(root: Path) -> None:
    dataset = open_can(root)
    private = dataset.private_images("can")
    assert {split: [path.name for path in paths] for split, paths in private.items()} == {
        "test_private": ["000_regular.png", "001_regular.png"],
        "test_private_mixed": ["000_mixed.png", "001_mixed.png"],
    }
    category = dataset.category("can")
    used = {sample.image for sample in (*category.train, *category.validation, *category.test)}
    assert not used & {path for paths in private.values() for path in paths}
    assert dataset.unused(category) == ()


def test_a_root_without_private_images_can_be_trained_on(root: Path) -> None:
    for split in ("test_private", "test_private_mixed"):
        shutil.rmtree(root / "can" / split)
    dataset = open_can(root)
    assert len(dataset.category("can").train) == 4
    assert dataset.private_images("can") == {"test_private": [], "test_private_mixed": []}


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_private_image_among_those_that_are_trained_on_is_refused(root: Path, part: str) -> None:
    private = root / "can/test_private_mixed/001_mixed.png"
    shutil.copy(private, root / "can" / part / "good/900_regular.png")
    message = rf"can/{part}/good/900_regular\.png: has the content of .*/001_mixed\.png, a private test image"
    with pytest.raises(DatasetError, match=message):
        open_can(root).category("can")


def test_validation_images_may_not_be_missing(root: Path) -> None:
    shutil.rmtree(root / "can/validation")
    message = r"can/validation/good: the folder is missing; expected the normal validation images in it"
    with pytest.raises(DatasetError, match=message):
        open_can(root).category("can")


def test_public_test_images_and_their_masks_may_not_be_missing(root: Path) -> None:
    (root / "can/test_public/ground_truth/bad/001_overexposed_mask.png").unlink()
    message = r"bad/001_overexposed\.png: its ground truth is missing; expected .*/001_overexposed_mask\.png"
    with pytest.raises(DatasetError, match=message):
        open_can(root).category("can")
    shutil.rmtree(root / "can/test_public")
    with pytest.raises(
        DatasetError, match=r"can/test_public: found no test images; expected .*test_public/good"
    ):
        open_can(root).category("can")


def test_a_mask_of_another_size_is_refused(root: Path) -> None:
    save(root / "can/test_public/ground_truth/bad/000_overexposed_mask.png", square_mask(12, 16))
    with pytest.raises(DatasetError, match=r"000_overexposed_mask\.png: the mask has 16x12 pixels"):
        inspect(open_can(root))


def test_it_is_inspected_and_what_is_passed_over_is_named(root: Path) -> None:
    (facts,) = inspect(open_can(root))
    assert describe(facts).startswith(
        "can: 4 train, 2 validation, 2 good and 2 anomalous (bad 2), 32x24, RGB;"
    )
    assert facts.warnings == ()
    (root / "can/test_public/spare").mkdir()
    save(root / "can/train/odd/000.png", square_mask())
    dataset = open_can(root)
    assert dataset.unused(dataset.category("can")) == (
        "train/odd: 1 image file is not used",
        "test_public/spare: it holds no image",
    )


def test_all_are_eight_in_the_official_order(tmp_path: Path) -> None:
    names = tuple(PRIVATE_COUNTS)
    make_mvtec_ad_2(tmp_path, [*reversed(names)], train=1, validation=1, good=1, bad=1, private=1)
    dataset = MVTecAD2(str(tmp_path))
    assert dataset.categories == names
    assert len(names) == 8
    assert sum(PRIVATE_COUNTS.values()) == 2045
    assert dataset.name == "mvtec_ad_2"


def test_all_of_an_incomplete_root_is_refused(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"lacks 6 of MVTec AD 2's 8 categories: fabric, .*dataset=folder"):
        MVTecAD2(str(root))


def test_a_root_above_the_folder_of_the_categories_is_recognised(root: Path) -> None:
    message = rf"found no category; .*Does {root} hold the categories\? Then set dataset\.root={root}"
    with pytest.raises(DatasetError, match=message):
        MVTecAD2(str(root.parent))


def test_the_archive_of_the_user_is_verified_and_unpacked(tmp_path: Path) -> None:
    source = make_mvtec_ad_2(tmp_path / "source", ["can"])
    root, archive = tmp_path / "mvtec_ad_2", tmp_path / "mvtec_ad_2.tar.gz"
    options = {"download": True, "accept_license": True, "checksum": "sha256:" + "0" * 64}
    message = (
        r"mvtec_ad_2\.tar\.gz: there is no such file, and dataset\.url is not set.*from https://www\.mvtec"
    )
    with pytest.raises(DatasetError, match=message):
        MVTecAD2(str(root), ["can"], **options)  # type: ignore[arg-type]
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source / "can", "can")
    with pytest.raises(DatasetError, match=r"mvtec_ad_2\.tar\.gz has sha256:.*, expected is sha256:0000"):
        MVTecAD2(str(root), ["can"], **options)  # type: ignore[arg-type]
    options["checksum"] = "sha256:" + hashlib.sha256(archive.read_bytes()).hexdigest()
    assert MVTecAD2(str(root), ["can"], **options).categories == ("can",)  # type: ignore[arg-type]
