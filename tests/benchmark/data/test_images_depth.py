"""The store of decoded images with depth: prepared once, step by step, and never from an outdated or damaged file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.data.images import StoredImages, open_images_store
from datasets import decoding
from datasets.depth import Depth, read_depth
from datasets.errors import DatasetError
from datasets.folder_3d import Folder3D
from tests.datasets.helpers import make_category_3d, point_cloud, save_cloud


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_category_3d(tmp_path / "bagel")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Remember the point clouds that are prepared."""
    paths: list[Path] = []

    def remember(path: Path, size: tuple[int, int], side: int) -> Depth:
        paths.append(path)
        return read_depth(path, size, side)

    monkeypatch.setattr(decoding, "read_depth", remember)
    return paths


def open_split(folder: Path, cache: Path, split: str = "test", depth_side: int = 10) -> StoredImages:
    return open_images_store(
        Folder3D(str(folder)).category(folder.name), split, 8, cache, depth_side=depth_side
    )


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_store_holds_what_the_preparation_gives(folder: Path, cache: Path, split: str) -> None:
    stored = open_split(folder, cache, split)
    assert stored.depth is not None
    assert stored.foreground is not None
    assert stored.depth.shape == stored.foreground.shape == (len(stored), 10, 10)
    for i, sample in enumerate(stored.samples):
        assert sample.xyz is not None
        expected = read_depth(sample.xyz, (16, 12), 10)
        np.testing.assert_array_equal(stored.depth[i], expected.depth)
        np.testing.assert_array_equal(stored.foreground[i], expected.foreground)
        assert expected.foreground.any()


def test_depth_is_prepared_once(folder: Path, cache: Path, prepared: list[Path]) -> None:
    first, again = open_split(folder, cache), open_split(folder, cache)
    assert len(prepared) == 4
    np.testing.assert_array_equal(first.depth, again.depth)


def change_cloud(folder: Path) -> None:
    save_cloud(folder / "test/dent/xyz/000.tiff", point_cloud(seed=7))


@pytest.mark.parametrize("change", [change_cloud, None], ids=["other file", "other side"])
def test_another_point_cloud_or_size_makes_another_store(
    folder: Path, cache: Path, change: Callable[[Path], None] | None
) -> None:
    before = open_split(folder, cache).key
    if change is not None:
        change(folder)
    assert open_split(folder, cache, depth_side=10 if change else 12).key != before


@pytest.mark.parametrize("name", ["depth.npy", "foreground.npy"])
@pytest.mark.parametrize("content", [None, b"", slice(0, -1), 1], ids=["missing", "empty", "cut", "one bit"])
def test_damaged_depth_is_prepared_again(
    folder: Path, cache: Path, prepared: list[Path], name: str, content: bytes | slice | int | None
) -> None:
    before = open_split(folder, cache)
    depth, foreground = np.array(before.depth), np.array(before.foreground)
    (path,) = (cache / "images").glob(f"*/{name}")
    if content is None:
        path.unlink()
    elif isinstance(content, int):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ content]))
    else:
        path.write_bytes(path.read_bytes()[content] if isinstance(content, slice) else content)
    after = open_split(folder, cache)
    assert len(prepared) == 8
    np.testing.assert_array_equal(after.depth, depth)
    np.testing.assert_array_equal(after.foreground, foreground)


def flat() -> NDArray[np.float32]:
    xyz = point_cloud()
    xyz[..., 2] = 0.5
    return xyz


def without_corner() -> NDArray[np.float32]:
    xyz = point_cloud()
    xyz[:6, :6, 2] = 0
    return xyz


@pytest.mark.parametrize(
    ("cloud", "message"),
    [
        (
            flat(),
            "train/good/xyz: 1 of 4 images have no foreground, as nothing is 7 mm off the background (the first",
        ),
        (
            without_corner(),
            "train/good/xyz: 1 of 4 images have no depth in a corner (the first is 002.tiff); their background is",
        ),
    ],
    ids=["empty foreground", "no corner"],
)
def test_unusual_depth_is_used_with_a_warning(
    folder: Path, cache: Path, caplog: pytest.LogCaptureFixture, cloud: NDArray[np.float32], message: str
) -> None:
    save_cloud(folder / "train/good/xyz/002.tiff", cloud)
    stored = open_split(folder, cache, "train")
    assert len(stored) == 4
    (logged,) = caplog.messages
    assert message in logged


def test_train_images_without_any_foreground_are_refused(folder: Path, cache: Path) -> None:
    for path in (folder / "train/good/xyz").iterdir():
        save_cloud(path, flat())
    message = r"train/good/xyz: none of the 4 point clouds has anything 7 mm off .* x, y and z in metres"
    with pytest.raises(DatasetError, match=message):
        open_split(folder, cache, "train")
    assert not list((cache / "images").glob("[!.]*"))


def test_a_point_cloud_of_another_size_is_named_and_leaves_no_store(folder: Path, cache: Path) -> None:
    save_cloud(folder / "test/dent/xyz/001.tiff", point_cloud(12, 20))
    message = r"test/dent/xyz/001\.tiff: the point cloud has 20x12 pixels, its image 16x12"
    with pytest.raises(DatasetError, match=message):
        open_split(folder, cache)
    assert not list((cache / "images").glob("[!.]*"))
