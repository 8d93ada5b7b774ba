"""VisA: the released tree and the official split file, what is refused, and the download."""

import hashlib
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.decoding import decode
from datasets.errors import DatasetError
from datasets.inspection import inspect
from datasets.visa import COLUMNS, SPLIT_FILE, VisA
from tests.datasets.helpers import save, square_mask
from tests.datasets.official_trees import make_visa, write_split

Rows = list[list[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_visa(tmp_path / "visa", ["candle", "pcb1"])


def open_visa(root: Path, categories: object = ("candle", "pcb1")) -> VisA:
    return VisA(str(root), list(categories) if isinstance(categories, tuple) else categories)


def rewrite(root: Path, change: Callable[[Rows], Sequence[Sequence[str]]]) -> None:
    """Change the lines of the split file; the first one holds the columns."""
    rows = [line.split(",") for line in (root / SPLIT_FILE).read_text().splitlines()]
    write_split(root, change(rows))


def test_the_split_file_divides_the_images(root: Path) -> None:
    category = open_visa(root).category("candle")
    assert [sample.image.name for sample in category.train] == [f"{i:04d}.JPG" for i in range(4)]
    assert [(sample.image.name, sample.kind) for sample in category.test] == [
        *(("000.JPG", "anomaly"), ("001.JPG", "anomaly")),
        *(("0004.JPG", "good"), ("0005.JPG", "good")),
    ]
    assert category.test[1].mask == root / "candle/Data/Masks/Anomaly/001.png"
    assert category.validation == ()
    assert all(sample.mask is None for sample in (*category.train, *category.test[2:]))


def test_the_order_of_the_split_file_does_not_count(root: Path) -> None:
    before = open_visa(root).category("candle")
    rewrite(root, lambda rows: [rows[0], *reversed(rows[1:])])
    assert open_visa(root).category("candle") == before


def test_every_value_of_a_mask_but_zero_is_a_defect(root: Path) -> None:
    category = open_visa(root).category("candle")
    assert category.mask_threshold == 0
    for sample in category.test[:2]:
        assert sample.mask is not None
        values = np.asarray(Image.open(sample.mask))
        assert set(np.unique(values)) < {0, 1, 3}
        mask = decode(sample, 24, mask_threshold=category.mask_threshold).arrays["masks"]
        assert mask.mean() == pytest.approx((values > 0).mean(), abs=0.01)


def test_it_is_inspected_and_what_the_split_file_leaves_out_is_named(root: Path) -> None:
    facts = inspect(open_visa(root))
    assert [(each.category, each.train, each.good, each.masks) for each in facts] == [
        ("candle", 4, 2, 2),
        ("pcb1", 4, 2, 2),
    ]
    assert facts[0].mask_values == (0, 1, 3)
    (warning,) = facts[0].warnings
    assert warning == "candle/Data/Images/Normal: 1 image file is not in split_csv/1cls.csv, so not used"


def test_all_are_twelve_in_the_official_order(tmp_path: Path) -> None:
    root = make_visa(tmp_path, [*reversed(VisA.names), "aardvark"], train=1, good=1, bad=1)
    rewrite(root, lambda rows: [row for row in rows if row[0] != "aardvark"])
    dataset = open_visa(root, "all")
    assert dataset.name == "visa"
    assert dataset.categories == VisA.names
    assert len(dataset.categories) == 12
    assert dataset.categories[:2] == ("candle", "capsules")


def test_all_of_an_incomplete_root_is_refused(root: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"lacks 10 of VisA's 12 categories: capsules, .*dataset\.categories=\["
    ):
        open_visa(root, "all")


def test_an_unknown_category_is_told_the_near_one(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"'cnadle' is not below .*did you mean 'candle'"):
        open_visa(root, "cnadle")


def test_a_root_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.root is not set"):
        VisA(None)
    with pytest.raises(
        DatasetError, match=r"there is no such folder\. Download VisA from https://github\.com"
    ):
        VisA(str(tmp_path / "visa"))
    with pytest.raises(
        DatasetError, match=r"found none of VisA's categories; expected a folder that holds candle"
    ):
        VisA(str(tmp_path))


def test_the_split_file_may_not_be_missing(root: Path) -> None:
    (root / SPLIT_FILE).unlink()
    message = r"split_csv/1cls\.csv: there is no such file; expected the official split file, https://github"
    with pytest.raises(DatasetError, match=message):
        open_visa(root)


def test_images_and_masks_that_the_split_file_names_must_be_there(root: Path) -> None:
    for name in ("Images/Normal/0000.JPG", "Images/Normal/0005.JPG", "Masks/Anomaly/001.png"):
        (root / "candle/Data" / name).unlink()
    with pytest.raises(DatasetError) as caught:
        open_visa(root).category("candle")
    image, mask = caught.value.faults
    assert image.endswith(
        "Normal/0000.JPG: there is no such image, although split_csv/1cls.csv names it (2 of 8 images are missing)"
    )
    assert mask.endswith("Anomaly/001.png: there is no such mask, although split_csv/1cls.csv names it")
    assert len(open_visa(root).category("pcb1").test) == 4


def test_a_category_needs_images_of_both_splits(root: Path) -> None:
    rewrite(root, lambda rows: [row for row in rows if (row[0], row[1]) != ("candle", "test")])
    with pytest.raises(DatasetError, match=r"1cls\.csv: found no test image of 'candle'"):
        open_visa(root).category("candle")


def test_a_mask_of_another_size_is_refused(root: Path) -> None:
    save(root / "candle/Data/Masks/Anomaly/000.png", square_mask(12, 16))
    with pytest.raises(DatasetError, match=r"000\.png: the mask has 16x12 pixels, its image 32x24"):
        inspect(open_visa(root))


LINES = {
    "candle,train,normal": "found 3 values for 5 columns",
    "cnadle,train,normal,cnadle/a.JPG,": "found the unknown category 'cnadle'",
    "candle,val,normal,candle/a.JPG,": "found the split 'val' and the label 'normal'",
    "candle,test,good,candle/a.JPG,": "found the split 'test' and the label 'good'",
    "candle,train,anomaly,candle/a.JPG,candle/a.png": "an anomalous image, among the train images",
    "candle,test,anomaly,candle/a.JPG,": "found candle/a.JPG with the label 'anomaly' and the mask ''",
    "candle,test,normal,candle/a.JPG,candle/a.png": "with the label 'normal' and the mask 'candle/a.png'",
    "candle,train,normal,pcb1/a.JPG,": "found pcb1/a.JPG, which does not lie in the folder of candle",
    "candle,train,normal,candle/../../a.JPG,": "which does not lie in the folder of candle",
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_another_form_is_named_with_its_number(root: Path, line: str) -> None:
    count = len((root / SPLIT_FILE).read_text().splitlines())
    rewrite(root, lambda rows: [*rows, line.split(",")])
    with pytest.raises(DatasetError) as caught:
        open_visa(root)
    (fault,) = caught.value.faults
    assert f"1cls.csv, line {count + 1}: " in fault
    assert LINES[line] in fault


def test_an_image_has_one_line(root: Path) -> None:
    rewrite(root, lambda rows: [*rows, ["candle", "test", *rows[1][2:]]])
    with pytest.raises(DatasetError, match=r"1cls\.csv: names candle/.*/0000\.JPG in several lines"):
        open_visa(root)


@pytest.mark.parametrize("content", [b"", b"image,label\n", "object;split\n".encode("utf-16")])
def test_another_file_is_refused(root: Path, content: bytes) -> None:
    (root / SPLIT_FILE).write_bytes(content)
    message = r"1cls\.csv: (found the columns .*; expected object,split,label,image,mask|cannot be read)"
    with pytest.raises(DatasetError, match=message):
        open_visa(root)


def test_the_archive_is_downloaded_once_its_licence_is_accepted(tmp_path: Path) -> None:
    source = make_visa(tmp_path / "source", VisA.names, train=1, good=1, bad=1)
    with tarfile.open(tmp_path / "VisA.tar", "w") as tar:
        for path in sorted(source.iterdir()):
            tar.add(path, path.name)
    checksum = "sha256:" + hashlib.sha256((tmp_path / "VisA.tar").read_bytes()).hexdigest()
    root, url = tmp_path / "new/visa", (tmp_path / "VisA.tar").as_uri()
    with pytest.raises(DatasetError, match=r"VisA is under CC BY 4\.0: read https://.*accept_license=true"):
        VisA(str(root), download=True, url=url, checksum=checksum)
    assert not root.parent.exists()
    found = VisA(str(root), download=True, accept_license=True, url=url, checksum=checksum)
    assert found.categories == VisA.names
    assert (tmp_path / "new/visa.tar").is_file()
    shutil.rmtree(tmp_path / "source")
    assert VisA(str(root), download=True).category("pcb4") == found.category("pcb4")


def test_the_columns_are_the_official_ones() -> None:
    assert COLUMNS == ("object", "split", "label", "image", "mask")
