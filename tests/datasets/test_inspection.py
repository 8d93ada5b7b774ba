"""The look at the data before training: all faults at once, and what a user may have to know of."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import doubts, inspection
from datasets.category import Category, Sample
from datasets.dataset import Dataset
from datasets.errors import DatasetError
from datasets.facts import CategoryFacts, describe
from datasets.folder import Folder
from datasets.folder_3d import Folder3D
from datasets.inspection import inspect
from tests.datasets.helpers import (
    make_category,
    make_category_3d,
    noise,
    point_cloud,
    save,
    save_cloud,
    square_mask,
)
from tests.datasets.test_images import png_of_16_bits


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("screw", "bottle"):
        make_category(tmp_path / "data" / name)
    return tmp_path / "data"


def bottle(root: Path, **options: object) -> CategoryFacts:
    (facts,) = inspect(Folder(str(root), "bottle", **options))  # type: ignore[arg-type]
    return facts


def warning(root: Path, **options: object) -> str:
    (found,) = bottle(root, **options).warnings
    return found


def fault(root: Path, **options: object) -> str:
    with pytest.raises(DatasetError) as caught:
        bottle(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_flawless_category_is_described_without_a_warning(root: Path) -> None:
    assert bottle(root) == CategoryFacts(
        category="bottle",
        train=4,
        good=2,
        kinds={"scratch": 2},
        masks=2,
        size="16x12",
        modes={"RGB": 8},
        mask_values=(0, 255),
        median_share=1 / 12,
        largest_share=1 / 12,
    )


def test_all_chosen_categories_are_looked_at_in_their_order(root: Path) -> None:
    assert [facts.category for facts in inspect(Folder(str(root), ["screw", "bottle"]))] == [
        "screw",
        "bottle",
    ]


def test_point_clouds_and_validation_images_are_looked_at(tmp_path: Path) -> None:
    make_category_3d(tmp_path / "bagel")
    (facts,) = inspect(Folder3D(str(tmp_path)))
    assert (facts.train, facts.validation, facts.good, facts.kinds) == (4, 2, 2, {"dent": 2})
    assert facts.warnings == ()
    save_cloud(tmp_path / "bagel/train/good/xyz/001.tiff", point_cloud(10, 16))
    (tmp_path / "bagel/train/good/xyz/002.tiff").write_bytes(b"no image")
    with pytest.raises(DatasetError) as caught:
        inspect(Folder3D(str(tmp_path)))
    assert "001.tiff: the point cloud has 16x10 pixels, its image 16x12" in str(caught.value)
    assert "002.tiff: not a readable TIFF file" in str(caught.value)


def test_the_faults_of_all_categories_are_one_error(root: Path) -> None:
    shutil.rmtree(root / "bottle/train/good")
    (root / "bottle/ground_truth/scratch/001_mask.png").unlink()
    save(root / "screw/ground_truth/scratch/000_mask.png", square_mask(10, 10))
    (root / "screw/train/good/002.png").write_bytes(b"no image")
    make_category(root / "flawless")
    with pytest.raises(DatasetError) as caught:
        inspect(Folder(str(root)))
    message = str(caught.value)
    assert message.startswith("found 4 faults in 2 of 3 categories: 'bottle': ")
    for part in (
        "bottle/train/good: the folder is missing",
        "scratch/001.png: its ground truth is missing",
        "; 'screw': ",
        "screw/train/good/002.png: not a readable image",
        "000_mask.png: the mask has 10x10 pixels, its image 16x12",
    ):
        assert part in message
    assert "\n" not in message


def test_many_faults_of_a_category_are_counted(root: Path) -> None:
    for i in range(30):
        (root / f"bottle/train/good/9{i:02d}.png").write_bytes(b"no image")
    message = fault(root)
    assert message.startswith("found 30 faults: 'bottle': ")
    assert message.count("not a readable image") == 5
    assert message.endswith("and 25 more in 'bottle'")


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_train_images_are_refused(root: Path, count: int) -> None:
    for path in sorted((root / "bottle/train/good").iterdir())[count:]:
        path.unlink()
    assert ("found 1 train image; expected at least 2" if count else "found no image") in fault(root)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("good", "no normal test images, so image AUROC is undefined"),
        ("scratch", "no anomalous test images, so image AUROC and pixel measures are undefined"),
    ],
)
def test_a_kind_of_label_that_is_missing_is_warned_of(root: Path, kind: str, expected: str) -> None:
    shutil.rmtree(root / "bottle/test" / kind)
    shutil.rmtree(
        root / "bottle/ground_truth", ignore_errors=kind == "scratch"
    ) if kind == "scratch" else None
    assert expected in warning(root)


class Own(Dataset):
    def __init__(self, *names: str, **samples: tuple[Sample, ...]) -> None:
        self.categories, self.samples = names, {"test": (), **samples}

    def category(self, name: str) -> Category:
        return Category(name, **self.samples)  # type: ignore[arg-type]


def test_a_category_without_test_images_can_be_trained(root: Path) -> None:
    train = Folder(str(root)).category("bottle").train
    (facts,) = inspect(Own("mine", train=train))
    assert facts.warnings == ()
    assert describe(facts) == "mine: 4 train, 16x12, RGB; no test images, so it is trained, not measured"


def test_test_images_that_are_copies_of_train_images_are_warned_of(root: Path) -> None:
    for number, name in enumerate(("000.png", "001.png")):
        shutil.copy(root / "bottle/train/good" / f"00{number + 2}.png", root / "bottle/test/good" / name)
    assert warning(root) == (
        "2 of 4 test images have the content of a train image (the first is good/000.png, a copy of good/002.png), so "
        "that measures are too good"
    )


@pytest.mark.parametrize("name", ["..", "", "a/b", "a\nb"])
def test_names_that_no_file_can_have_are_refused(root: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=r"^category '.*': cannot be used as a name"):
        inspect(Own(name, train=Folder(str(root)).category("bottle").train))


def test_a_dataset_whose_own_name_cannot_be_used_is_refused(root: Path) -> None:
    dataset = Own("mine", train=Folder(str(root)).category("bottle").train)
    dataset.name = "a\nb"
    with pytest.raises(DatasetError, match=r"dataset\.name=a\\nb: cannot be the name of a dataset"):
        inspect(dataset)


def test_anomalous_images_without_ground_truth_are_counted(root: Path) -> None:
    (root / "bottle/ground_truth/scratch/001_mask.png").unlink()
    assert warning(root, require_masks=False) == "1 of 2 anomalous test images have no ground truth"
    assert bottle(root, require_masks=False).masks == 1
    (root / "bottle/ground_truth/scratch/000_mask.png").unlink()
    assert warning(root, require_masks=False).endswith("ground truth, so pixel measures are undefined")


def test_one_picture_in_two_files_is_warned_of(root: Path) -> None:
    save(root / "bottle/train/good/001.jpg", noise(12, 16, 3))
    assert "(001.jpg and 001.png)" in warning(root)


def test_what_is_passed_over_is_warned_of(root: Path) -> None:
    save(root / "bottle/train/good/batch2/000.png", noise(12, 16, 3))
    assert warning(root) == "train/good/batch2: 1 image file is not used"


def masks(root: Path, change: Callable[[np.ndarray], np.ndarray | Image.Image]) -> None:
    for i in range(2):
        save(root / f"bottle/ground_truth/scratch/00{i}_mask.png", change(square_mask()))


def test_masks_in_the_alpha_channel_are_read_and_said_to_be(root: Path) -> None:
    masks(root, lambda mask: np.dstack([np.full((12, 16, 3), 255, np.uint8), mask]))
    facts = bottle(root)
    assert (facts.alpha, facts.largest_share) == (2, 1 / 12)
    assert "the regions of 2 of 2 masks are read from the alpha channel" in facts.warnings[0]


def test_inverted_masks_are_doubted(root: Path) -> None:
    masks(root, lambda mask: 255 - mask)
    assert warning(root).startswith(
        "2 of 2 masks mark more than half of the image as anomalous (the largest: 92 % in "
    )
    assert warning(root).endswith("are they inverted?")


def test_empty_masks_are_counted(root: Path) -> None:
    save(root / "bottle/ground_truth/scratch/001_mask.png", np.zeros((12, 16), np.uint8))
    assert "1 of 2 masks have no anomalous pixel (the first is scratch/001_mask.png)" in warning(root)


def test_a_threshold_above_all_values_is_refused_once(root: Path) -> None:
    masks(root, lambda mask: mask // 255)
    message = "no pixel of its 2 masks is above dataset.mask_threshold=127, found the values 0, 1; expected a"
    assert message in fault(root, mask_threshold=127)
    assert fault(root, mask_threshold=127).count("mask_threshold") == 1
    assert bottle(root, mask_threshold=0).warnings == ()


def test_masks_that_need_a_threshold_are_refused_before_training(root: Path) -> None:
    masks(root, lambda mask: np.where(mask > 0, noise(12, 16), 0).astype(np.uint8))
    assert "the mask is not binary, found " in fault(root)
    assert bottle(root, mask_threshold=3).mask_threshold == 3


def deep(root: Path, top: int) -> None:
    for seed, path in enumerate(sorted((root / "bottle").glob("*/*/???.png"))):
        values = np.random.default_rng(seed).integers(0, top + 1, (12, 16), dtype=np.uint16)
        values[0, 0] = top
        save(path, values)


@pytest.mark.parametrize(("bits", "levels"), [(8, 2), (10, 5), (12, 17), (14, 65)])
def test_a_camera_of_fewer_bits_is_told_the_option(root: Path, bits: int, levels: int) -> None:
    deep(root, 2**bits - 1)
    assert bottle(root).modes == {"I;16": 8}
    assert warning(root) == (
        f"the 16-bit images reach only {2**bits - 1} of 65535 (in 8 of 8), so that {levels} of 256 grey levels are "
        f"left; dataset.bit_depth={bits} uses the {bits} bits of the camera"
    )
    assert bottle(root, bit_depth=bits).warnings == ()


def test_values_above_the_bit_depth_are_refused_before_training(root: Path) -> None:
    deep(root, 4096)
    message = "dataset.bit_depth=12: found pixels of 4096 in 16-bit images; expected at most 4095"
    assert message in fault(root, bit_depth=12)


def test_images_that_use_16_bits_are_not_warned_of(root: Path) -> None:
    deep(root, 65535)
    assert bottle(root).warnings == ()


def test_a_bit_depth_without_16_bit_images_is_warned_of(root: Path) -> None:
    assert (
        warning(root, bit_depth=12)
        == "dataset.bit_depth=12 changes nothing, as no image has 16-bit grey values"
    )


def test_dark_16_bit_colours_are_warned_of(root: Path) -> None:
    for number, path in enumerate((root / "bottle").glob("*/*/???.png")):
        values = np.full((12, 16, 3), 4095, np.uint16)
        values[0, 0] = number
        path.write_bytes(png_of_16_bits(values))
    assert bottle(root).modes == {"16-bit RGB": 8}
    assert "the 16-bit colours reach only 16 of 256 levels (in 8 of 8)" in warning(root)


def test_large_images_are_warned_of(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "LARGE", 16 * 12 - 1)
    assert warning(root).startswith("8 images have more than 191 pixels (the first is ")


def test_other_sizes_are_counted(root: Path) -> None:
    save(root / "bottle/train/good/000.png", noise(20, 20))
    facts = bottle(root)
    assert (facts.size, facts.other_sizes, facts.modes) == ("16x12", 1, {"L": 1, "RGB": 7})


def test_files_are_looked_into_once_until_they_change(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Sample] = []
    find = inspection._find

    def counted(sample: Sample, threshold: float | None) -> doubts.Found:
        read.append(sample)
        return find(sample, threshold)

    monkeypatch.setattr(inspection, "_find", counted)
    first = bottle(root)
    assert bottle(root) == first
    assert len(read) == 8
    save(root / "bottle/ground_truth/scratch/000_mask.png", 255 - square_mask())
    assert bottle(root) == replace(
        first, largest_share=11 / 12, median_share=0.5, warnings=bottle(root).warnings
    )
    assert len(read) == 16


def test_another_threshold_is_another_look(root: Path) -> None:
    masks(root, lambda mask: mask // 2)
    assert bottle(root).warnings == ()
    assert "is above dataset.mask_threshold=200" in fault(root, mask_threshold=200)
