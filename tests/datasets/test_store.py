"""The image store: the pixels of the files, decoded once, whole, and never a damaged or an outdated one."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import store
from datasets.category import Category
from datasets.errors import DatasetError
from datasets.folder import Folder
from datasets.images import read_image, read_mask, resize_image, resize_mask
from datasets.store import StoredImages, open_store
from tests.datasets.helpers import make_category, noise, save, square_mask

PROJECT = Path(__file__).parents[2]
HAZELNUT = PROJECT.parent / "shared/data/hazelnut_toy"
SIDE = 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_category(tmp_path / "bottle")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Remember the images that are decoded."""
    paths: list[Path] = []

    def remember(path: Path) -> Image.Image:
        paths.append(path)
        return read_image(path)

    monkeypatch.setattr(store, "read_image", remember)
    return paths


def category_in(folder: Path, mask_threshold: int | None = None, require_masks: bool = True) -> Category:
    return Folder(str(folder), "all", mask_threshold, require_masks).category(folder.name)


def open_split(folder: Path, cache: Path, split: str = "test", side: int = SIDE) -> StoredImages:
    return open_store(category_in(folder), split, side, cache)


def stores_in(cache: Path) -> list[Path]:
    """List what lies in the cache, whole or not."""
    return sorted(path for path in (cache / "images").iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("side", [8, 16, 30])
def test_store_equals_the_resized_files(folder: Path, cache: Path, split: str, side: int) -> None:
    stored = open_split(folder, cache, split, side)
    assert len(stored) == len(stored.samples) == 4
    assert stored.images.shape == (4, side, side, 3)
    for sample, image in zip(stored.samples, stored.images, strict=True):
        np.testing.assert_array_equal(image, resize_image(read_image(sample.image), side))


def test_masks_are_those_of_the_files_and_empty_for_normal_images(folder: Path, cache: Path) -> None:
    stored = open_split(folder, cache)
    assert stored.masks is not None
    assert stored.masks.dtype == np.bool_
    for sample, mask in zip(stored.samples, stored.masks, strict=True):
        if sample.mask is None:
            assert not mask.any()
        else:
            np.testing.assert_array_equal(mask, resize_mask(read_mask(sample.mask, (16, 12)), SIDE))
            assert mask.any()


def test_there_are_no_masks_where_one_is_missing(folder: Path, cache: Path) -> None:
    (folder / "ground_truth/scratch/000_mask.png").unlink()
    category = category_in(folder, require_masks=False)
    for _ in range(2):
        assert open_store(category, "test", SIDE, cache).masks is None


def test_positions_find_the_samples(folder: Path, cache: Path) -> None:
    stored = open_split(folder, cache, "train")
    chosen = [stored.samples[i] for i in (2, 0, 3)]
    assert stored.positions(chosen).tolist() == [2, 0, 3]
    assert stored.positions([]).tolist() == []


def test_both_parts_of_the_train_images_are_in_one_store(folder: Path, cache: Path) -> None:
    parted = category_in(folder).hold_out(0.5, seed=0)
    stored = open_split(folder, cache, "train")
    positions = np.concatenate([stored.positions(parted.train), stored.positions(parted.validation)])
    assert sorted(positions.tolist()) == [0, 1, 2, 3]


def test_second_opening_decodes_nothing(folder: Path, cache: Path, decoded: list[Path]) -> None:
    first, second = open_split(folder, cache), open_split(folder, cache)
    np.testing.assert_array_equal(first.images, second.images)
    assert first.fingerprint == second.fingerprint
    assert len(decoded) == 4


def test_changed_image_is_decoded_again(folder: Path, cache: Path) -> None:
    before = open_split(folder, cache)
    save(folder / "test/good/000.png", noise(12, 16, 3, seed=900))
    after = open_split(folder, cache)
    assert not np.array_equal(before.images[0], after.images[0])
    np.testing.assert_array_equal(before.images[1:], after.images[1:])
    assert before.fingerprint != after.fingerprint


def test_changed_mask_is_read_again(folder: Path, cache: Path) -> None:
    before = open_split(folder, cache)
    save(folder / "ground_truth/scratch/000_mask.png", square_mask()[::-1, ::-1])
    after = open_split(folder, cache)
    assert before.masks is not None
    assert after.masks is not None
    assert not np.array_equal(before.masks, after.masks)
    assert before.fingerprint != after.fingerprint


def test_image_that_is_added_or_removed_makes_another_store(folder: Path, cache: Path) -> None:
    prints = {open_split(folder, cache, "train").fingerprint}
    save(folder / "train/good/004.png", noise(12, 16, 3, seed=900))
    prints.add(open_split(folder, cache, "train").fingerprint)
    (folder / "train/good/000.png").unlink()
    prints.add(open_split(folder, cache, "train").fingerprint)
    assert len(prints) == len(stores_in(cache)) == 3


def test_other_side_makes_another_store(folder: Path, cache: Path) -> None:
    small, large = open_split(folder, cache, side=8), open_split(folder, cache, side=16)
    assert large.images.shape == (4, 16, 16, 3)
    assert small.fingerprint != large.fingerprint
    assert len(stores_in(cache)) == 2


def test_other_mask_threshold_makes_another_store(folder: Path, cache: Path) -> None:
    for i in range(2):
        save(folder / f"ground_truth/scratch/00{i}_mask.png", square_mask() // 2)
    low, high = (
        open_store(category_in(folder, mask_threshold=threshold), "test", SIDE, cache).masks
        for threshold in (100, 200)
    )
    assert low is not None
    assert high is not None
    assert low.any()
    assert not high.any()


def test_fingerprint_is_that_of_the_content_wherever_and_whenever(
    folder: Path, cache: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere/renamed"
    shutil.copytree(folder, elsewhere)
    for path in elsewhere.rglob("*.png"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert open_split(folder, cache).fingerprint == open_split(elsewhere, cache).fingerprint


def test_images_of_other_sizes_are_read_with_a_warning(
    folder: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(folder / "train/good/002.png", noise(20, 10, 3))
    stored = open_split(folder, cache, "train")
    np.testing.assert_array_equal(
        stored.images[2], resize_image(read_image(folder / "train/good/002.png"), SIDE)
    )
    (message,) = caplog.messages
    assert "1 of 4 images have another size than 16x12 (the first is 002.png)" in message


def test_mask_that_vanishes_is_warned_about(
    folder: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    speck = square_mask()
    speck[1:4], speck[:, 1:4] = 0, 0
    save(folder / "ground_truth/scratch/001_mask.png", speck)
    stored = open_split(folder, cache, side=4)
    assert stored.masks is not None
    assert stored.masks.any(axis=(1, 2)).tolist() == [False, False, True, False]
    (message,) = caplog.messages
    assert message.endswith("001_mask.png: no defective pixel is left at 4x4")


@pytest.mark.parametrize("damaged", ["test/good/001.png", "ground_truth/scratch/000_mask.png"])
def test_damaged_file_leaves_no_store_until_it_is_repaired(folder: Path, cache: Path, damaged: str) -> None:
    path = folder / damaged
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match=f"{path}: not a readable image"):
        open_split(folder, cache)
    assert stores_in(cache) == []
    path.write_bytes(content)
    assert len(open_split(folder, cache)) == 4


def test_file_that_vanished_is_named(folder: Path, cache: Path) -> None:
    category = category_in(folder)
    category.test[1].image.unlink()
    with pytest.raises(DatasetError, match=f"{category.test[1].image}: cannot be read"):
        open_store(category, "test", SIDE, cache)


def test_simultaneous_threads_decode_once(folder: Path, cache: Path, decoded: list[Path]) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: open_split(folder, cache), range(4)))
    assert len({stored.fingerprint for stored in opened}) == 1
    assert len(decoded) == 4


OPEN_IN_ANOTHER_PROCESS = """
import sys, time
from pathlib import Path
from datasets import store
from datasets.folder import Folder

folder, cache, decoded, start = map(Path, sys.argv[1:])
whole = store.read_image

def remember(path):
    with decoded.open("a") as file:
        file.write(f"{path}\\n")
    return whole(path)

store.read_image = remember
category = Folder(str(folder)).category(folder.name)
print("ready", flush=True)
while not start.exists():
    time.sleep(0.001)
print(store.open_store(category, "train", 8, cache).fingerprint)
"""


def test_simultaneous_processes_decode_once(folder: Path, cache: Path, tmp_path: Path) -> None:
    decoded, start = tmp_path / "decoded.txt", tmp_path / "start"
    command = [sys.executable, "-c", OPEN_IN_ANOTHER_PROCESS, *map(str, (folder, cache, decoded, start))]
    processes = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    start.touch()
    fingerprints = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert fingerprints == {open_split(folder, cache, "train").fingerprint}
    assert len(decoded.read_text().splitlines()) == 4
    assert len(stores_in(cache)) == 1


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "index.json"])
@pytest.mark.parametrize(
    "content",
    [None, b"", b"garbage", b"[1, 2]", slice(0, 60), slice(0, -1), "other shape"],
    ids=["missing", "empty", "garbage", "other json", "only the beginning", "cut short", "other shape"],
)
def test_store_that_was_damaged_later_is_decoded_again(
    folder: Path,
    cache: Path,
    decoded: list[Path],
    caplog: pytest.LogCaptureFixture,
    name: str,
    content: bytes | slice | str | None,
) -> None:
    before = open_split(folder, cache)
    images, fingerprint = before.images.copy(), before.fingerprint
    (path,) = (stored / name for stored in stores_in(cache))
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, slice):
        path.write_bytes(path.read_bytes()[content])
    elif name == "index.json":
        path.write_text("{}")
    else:
        np.save(path, np.zeros((3, SIDE, SIDE, 3), np.uint8))
    decoded.clear()

    after = open_split(folder, cache)
    np.testing.assert_array_equal(after.images, images)
    np.testing.assert_array_equal(after.masks, before.masks)
    assert after.fingerprint == fingerprint
    assert len(decoded) == 4
    (message,) = caplog.messages
    assert message.startswith(f"{path.parent}: the stored images are damaged")
    assert message.endswith("writing it anew")
    assert stores_in(cache) == [path.parent]


def test_unwritable_cache_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=f"cannot write {tmp_path}/file/images/bottle-"):
        open_split(folder, tmp_path / "file")


@pytest.mark.skipif(not HAZELNUT.is_dir(), reason=f"{HAZELNUT} is not there")
def test_real_jpg_images_with_png_masks(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    category = category_in(HAZELNUT)
    train, test = (open_store(category, split, 64, cache) for split in ("train", "test"))
    assert (len(train), len(test)) == (28, 23)
    assert {sample.image.suffix for sample in test.samples} == {".jpg"}
    assert test.masks is not None
    labels = [sample.label == 1 for sample in test.samples]
    assert test.masks.any(axis=(1, 2)).tolist() == labels
    assert test.masks[labels].mean() < 0.3
    (message,) = caplog.messages
    assert "train/good: 1 of 28 images have another size than 512x512 (the first is 01.jpg)" in message
