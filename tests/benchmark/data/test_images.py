"""The store of decoded images: the pixels of the files, decoded once, and never from a damaged or outdated store."""

import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import wraps
from pathlib import Path

import numpy as np
import pytest

from benchmark.data import images
from benchmark.data.file_digests import FileDigests
from benchmark.data.images import StoredImages, images_key, open_images_store
from datasets.category import Category, Sample
from datasets.decoding import Decoded, decode
from datasets.errors import DatasetError
from datasets.folder import Folder
from datasets.images import read_image, read_mask, resize_image, resize_mask
from store.errors import StoreError
from store.folders import write_folder_once
from tests.datasets.helpers import Pixels, make_category, noise, save, square_mask

PROJECT = Path(__file__).parents[3]
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

    @wraps(decode)  # the key is that of `decode`
    def remember(sample: Sample, *args: int, **options: int) -> Decoded:
        paths.append(sample.image)
        return decode(sample, *args, **options)

    monkeypatch.setattr(images, "decode", remember)
    return paths


def category_in(folder: Path, mask_threshold: int | None = None, require_masks: bool = True) -> Category:
    return Folder(str(folder), "all", mask_threshold, require_masks).category(folder.name)


def open_split(folder: Path, cache: Path, split: str = "test", side: int = SIDE) -> StoredImages:
    return open_images_store(category_in(folder), split, side, cache)


def stores_in(cache: Path) -> list[Path]:
    """List what lies in the cache, whole or not."""
    return sorted(path for path in (cache / "images").iterdir() if path.suffix != ".lock")


def test_decoding_does_not_hold_all_images_in_memory(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each core holds some of them: two cores, wherever the test runs."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    category = category_in(folder)
    many = replace(category, test=category.test * 25)
    tracemalloc.start()
    stored = open_images_store(many, "test", 256, cache)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stored.masks is not None
    assert peak < (stored.images.nbytes + stored.masks.nbytes) / 2


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


def test_an_image_without_ground_truth_leaves_the_other_masks(folder: Path, cache: Path) -> None:
    whole = open_split(folder, cache)
    assert whole.masks is not None
    assert whole.has_truth.tolist() == [True] * 4
    (folder / "ground_truth/scratch/000_mask.png").unlink()
    for _ in range(2):  # decoded, then read
        stored = open_images_store(category_in(folder, require_masks=False), "test", SIDE, cache)
        assert stored.has_truth.tolist() == [True, True, False, True]
        assert stored.masks is not None
        assert not stored.masks[2].any()
        np.testing.assert_array_equal(stored.masks[[0, 1, 3]], whole.masks[[0, 1, 3]])


def test_without_any_ground_truth_there_are_no_masks(folder: Path, cache: Path) -> None:
    shutil.rmtree(folder / "ground_truth")
    for _ in range(2):
        stored = open_images_store(category_in(folder, require_masks=False), "test", SIDE, cache)
        assert stored.masks is None
        assert stored.has_truth.tolist() == [True, True, False, False]


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
    assert first.key == second.key
    assert len(decoded) == 4


def test_changed_image_is_decoded_again(folder: Path, cache: Path) -> None:
    before = open_split(folder, cache)
    save(folder / "test/good/000.png", noise(12, 16, 3, seed=900))
    after = open_split(folder, cache)
    assert not np.array_equal(before.images[0], after.images[0])
    np.testing.assert_array_equal(before.images[1:], after.images[1:])
    assert before.key != after.key


def test_changed_mask_is_read_again(folder: Path, cache: Path) -> None:
    before = open_split(folder, cache)
    save(folder / "ground_truth/scratch/000_mask.png", square_mask()[::-1, ::-1])
    after = open_split(folder, cache)
    assert before.masks is not None
    assert after.masks is not None
    assert not np.array_equal(before.masks, after.masks)
    assert before.key != after.key


def test_image_that_is_added_or_removed_makes_another_store(folder: Path, cache: Path) -> None:
    keys = {open_split(folder, cache, "train").key}
    save(folder / "train/good/004.png", noise(12, 16, 3, seed=900))
    keys.add(open_split(folder, cache, "train").key)
    (folder / "train/good/000.png").unlink()
    keys.add(open_split(folder, cache, "train").key)
    assert len(keys) == len(stores_in(cache)) == 3


def test_other_side_makes_another_store(folder: Path, cache: Path) -> None:
    small, large = open_split(folder, cache, side=8), open_split(folder, cache, side=16)
    assert large.images.shape == (4, 16, 16, 3)
    assert small.key != large.key
    assert len(stores_in(cache)) == 2


def test_other_mask_threshold_makes_another_store(folder: Path, cache: Path) -> None:
    for i in range(2):
        save(folder / f"ground_truth/scratch/00{i}_mask.png", square_mask() // 2)
    low, high = (
        open_images_store(category_in(folder, mask_threshold=threshold), "test", SIDE, cache).masks
        for threshold in (100, 200)
    )
    assert low is not None
    assert high is not None
    assert low.any()
    assert not high.any()


def test_key_is_that_of_the_content_wherever_and_whenever(folder: Path, cache: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere/renamed"
    shutil.copytree(folder, elsewhere)
    for path in elsewhere.rglob("*.png"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert open_split(folder, cache).key == open_split(elsewhere, cache).key


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
    assert message.endswith(
        "scratch: 1 of 4 images have a mask without an anomalous pixel at 4x4 (the first is 001_mask.png)"
    )


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
        open_images_store(category, "test", SIDE, cache)


def test_simultaneous_threads_decode_once(folder: Path, cache: Path, decoded: list[Path]) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: open_split(folder, cache), range(4)))
    assert len({stored.key for stored in opened}) == 1
    assert len(decoded) == 4


OPEN_IN_ANOTHER_PROCESS = """
import functools, sys, time
from pathlib import Path
from benchmark.data import images
from datasets.folder import Folder

folder, cache, decoded, start = map(Path, sys.argv[1:])
whole = images.decode

@functools.wraps(whole)
def remember(sample, **options):
    with decoded.open("a") as file:
        file.write(f"{sample.image}\\n")
    return whole(sample, **options)

images.decode = remember
category = Folder(str(folder)).category(folder.name)
print("ready", flush=True)
while not start.exists():
    time.sleep(0.001)
print(images.open_images_store(category, "train", 8, cache).key)
"""


def test_simultaneous_processes_decode_once(folder: Path, cache: Path, tmp_path: Path) -> None:
    decoded, start = tmp_path / "decoded.txt", tmp_path / "start"
    command = [sys.executable, "-c", OPEN_IN_ANOTHER_PROCESS, *map(str, (folder, cache, decoded, start))]
    processes = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    start.touch()
    keys = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert keys == {open_split(folder, cache, "train").key}
    assert len(decoded.read_text().splitlines()) == 4
    assert len(stores_in(cache)) == 1


def flip(path: Path) -> None:
    """Flip one bit of the last byte in place, and restore the time of modification."""
    stat = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"garbage"),
    "other json": lambda path: path.write_bytes(b"[1, 2]"),
    "only the beginning": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "one bit": flip,
    "a block of zeros": lambda path: path.write_bytes(path.read_bytes()[:-96] + bytes(96)),
}


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "digests.json"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_store_that_was_damaged_later_is_decoded_again(
    folder: Path,
    cache: Path,
    decoded: list[Path],
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Callable[[Path], object],
) -> None:
    before = open_split(folder, cache)
    assert before.masks is not None
    pixels, masks, key = before.images.copy(), before.masks.copy(), before.key  # they lie in the files
    (store,) = stores_in(cache)
    damage(store / name)
    decoded.clear()

    after = open_split(folder, cache)
    np.testing.assert_array_equal(after.images, pixels)
    np.testing.assert_array_equal(after.masks, masks)
    assert after.key == key
    assert len(decoded) == 4
    (message,) = caplog.messages
    assert message.startswith(f"{store / name}: the file is ")
    assert message.endswith("writing it again")
    assert stores_in(cache) == [store]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("images.npy", np.zeros((3, SIDE, SIDE, 3), np.uint8)),
        ("masks.npy", np.zeros((4, SIDE, SIDE), np.int8)),
        ("masks.npy", None),
    ],
    ids=["other shape", "other type", "missing"],
)
def test_store_with_other_arrays_is_decoded_again(
    folder: Path, cache: Path, caplog: pytest.LogCaptureFixture, name: str, array: Pixels | None
) -> None:
    """A store that is intact by its digests, but was not written by this code."""
    before = open_split(folder, cache)
    (store,) = stores_in(cache)

    def write(staging: Path) -> None:
        for path in store.glob("*.npy"):
            shutil.copy(path, staging)
        if array is None:
            (staging / name).unlink()
        else:
            np.save(staging / name, array)

    write_folder_once(store, write, replace=True)
    after = open_split(folder, cache)
    np.testing.assert_array_equal(after.masks, before.masks)
    (message,) = caplog.messages
    assert f"{store}" in message
    assert f"{name}" in message


@pytest.mark.parametrize("name", ["test/good/000.png", "ground_truth/scratch/000_mask.png"])
@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "another file"])
def test_replaced_file_of_equal_size_and_time_is_noticed(
    folder: Path, cache: Path, tmp_path: Path, name: str, in_place: bool
) -> None:
    path = folder / name
    for number, value in enumerate((0, 255)):  # bitmaps: their size does not depend on their pixels
        new = save(tmp_path / f"{number}.bmp", np.full((12, 16), value, np.uint8))
        os.utime(new, (1_000_000_000, 1_000_000_000))
        if in_place:
            shutil.copy2(new, path)
        else:
            new.replace(path)
        stored = open_split(folder, cache)
        array = stored.images[0] if "good" in name else stored.masks[2] * 255  # type: ignore[index]
        assert (array == value).all()


def test_file_that_changes_while_it_is_decoded_makes_no_store(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @wraps(decode)
    def change(sample: Sample, *args: int, **options: int) -> Decoded:
        decoded = decode(sample, *args, **options)
        save(sample.image, noise(12, 16, 3, seed=900))
        return decoded

    monkeypatch.setattr(images, "decode", change)
    with pytest.raises(DatasetError, match="test/good: files changed while they were decoded"):
        open_split(folder, cache)
    assert stores_in(cache) == []


def test_equal_content_is_decoded_once_wherever_it_lies(
    folder: Path, cache: Path, tmp_path: Path, decoded: list[Path]
) -> None:
    elsewhere = Path(shutil.copytree(folder, tmp_path / "elsewhere/renamed"))
    for split in ("train", "test"):
        first, second = open_split(folder, cache, split), open_split(elsewhere, cache, split)
        assert {sample.image.parents[2] for sample in second.samples} == {elsewhere}
        np.testing.assert_array_equal(first.images, second.images)
    assert len(decoded) == 8


def test_threshold_of_masks_counts_only_where_there_are_masks(folder: Path, cache: Path) -> None:
    digests = FileDigests(cache)
    low, high = (category_in(folder, mask_threshold=threshold) for threshold in (100, 200))
    assert images_key(low, "train", SIDE, 192, digests) == images_key(high, "train", SIDE, 192, digests)
    assert images_key(low, "test", SIDE, 192, digests) != images_key(high, "test", SIDE, 192, digests)


def test_bits_of_the_camera_make_another_key(folder: Path, cache: Path) -> None:
    category, digests = category_in(folder), FileDigests(cache)
    keys = {
        images_key(replace(category, bit_depth=bits), "train", SIDE, 192, digests) for bits in (None, 10, 12)
    }
    assert len(keys) == 3


def test_key_of_images_without_depth_does_not_depend_on_its_size(folder: Path, cache: Path) -> None:
    category, digests = category_in(folder), FileDigests(cache)
    assert images_key(category, "test", SIDE, 192, digests) == images_key(category, "test", SIDE, 8, digests)


def test_kinds_and_order_of_the_images_count(folder: Path, cache: Path) -> None:
    category = category_in(folder)
    renamed = tuple(replace(sample, kind="good") for sample in category.test)
    others = [replace(category, test=test) for test in (category.test, category.test[::-1], renamed)]
    assert len({images_key(each, "test", SIDE, 192, FileDigests(cache)) for each in others}) == 3


def test_unwritable_cache_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=f"cannot write {tmp_path}/file/images/"):
        open_split(folder, tmp_path / "file")


@pytest.mark.skipif(not HAZELNUT.is_dir(), reason=f"{HAZELNUT} is not there")
def test_real_jpg_images_with_png_masks(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    category = category_in(HAZELNUT)
    train, test = (open_images_store(category, split, 64, cache) for split in ("train", "test"))
    assert (len(train), len(test)) == (28, 23)
    assert {sample.image.suffix for sample in test.samples} == {".jpg"}
    assert test.masks is not None
    labels = [sample.label == 1 for sample in test.samples]
    assert test.masks.any(axis=(1, 2)).tolist() == labels
    assert test.masks[labels].mean() < 0.3
    (message,) = caplog.messages
    assert "train/good: 1 of 28 images have another size than 512x512 (the first is 01.jpg)" in message
