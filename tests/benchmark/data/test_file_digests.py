"""Digests of data files: those of their content, whatever their size, times and names say."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.data import file_digests
from benchmark.data.file_digests import FileDigests
from datasets.errors import DatasetError
from store import folders


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "data" / name for name in ("a.png", "b.png", "deep/a.png")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(path))
    return paths


@pytest.fixture
def digests(tmp_path: Path) -> FileDigests:
    return FileDigests(tmp_path / "cache")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Remember the names of the files that are hashed; files are settled at once."""
    names: list[str] = []

    def remember(paths: list[Path]) -> list[str]:
        names.extend(path.name for path in paths)
        return folders.digests_of(paths)

    monkeypatch.setattr(folders, "SETTLED_SECONDS", 0)
    monkeypatch.setattr(file_digests, "digests_of", remember)
    return names


def settle() -> None:
    time.sleep(0.05)  # file systems count time in steps of some milliseconds


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_digests_are_in_the_order_of_the_files(files: list[Path], digests: FileDigests) -> None:
    for paths in (files, files[::-1], [files[0]] * 2, []):
        assert digests.of(paths) == [sha256(path) for path in paths]


def test_unchanged_files_are_hashed_once(files: list[Path], tmp_path: Path, hashed: list[str]) -> None:
    settle()
    for _ in range(3):
        FileDigests(tmp_path / "cache").of(files)
    assert hashed == ["a.png", "b.png", "a.png"]


def test_new_file_does_not_make_others_be_hashed_again(
    files: list[Path], digests: FileDigests, hashed: list[str]
) -> None:
    settle()
    digests.of(files[:1])
    digests.of(files)
    assert hashed == ["a.png", "b.png", "a.png"]


def in_place(path: Path) -> None:
    path.write_bytes(path.read_bytes().upper())


def by_another(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes().upper())
    other.replace(path)


def by_a_link(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes().upper())
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize("change", [in_place, by_another, by_a_link])
@pytest.mark.parametrize("settled", [True, False])
def test_change_that_keeps_size_and_time_is_noticed(
    files: list[Path], digests: FileDigests, change: Callable[[Path], None], settled: bool
) -> None:
    path = files[0]
    os.utime(path, (1_000_000_000, 1_000_000_000))
    if settled:
        settle()
    before = path.stat()
    assert digests.of([path]) == [sha256(path)]
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert digests.of([path]) == [sha256(path)]


def test_file_that_has_just_changed_is_not_trusted(
    files: list[Path], digests: FileDigests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one step of the clock a file can change without another time; it is hashed again until that is over."""
    state = folders.file_state(files[0])
    monkeypatch.setattr(file_digests, "file_state", lambda path: state)
    for text in ("first", "second"):
        files[0].write_text(text)
        assert digests.of(files[:1]) == [sha256(files[0])]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"garbage",
        lambda content: content[:-1],
        lambda content: content[: content.index(b"\n") + 1] + b"[]",
        lambda content: content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
        lambda content: b"\xff" + content,
    ],
    ids=["empty", "garbage", "cut", "other", "one bit", "no text"],
)
def test_damaged_memory_is_ignored_and_replaced(
    files: list[Path],
    tmp_path: Path,
    digests: FileDigests,
    hashed: list[str],
    damage: Callable[[bytes], bytes],
) -> None:
    settle()
    digests.of(files[:1])
    (memory,) = (tmp_path / "cache/digests").iterdir()
    content = memory.read_bytes()
    memory.write_bytes(damage(content))
    assert digests.of(files[:1]) == [sha256(files[0])]
    assert hashed == ["a.png", "a.png"]
    assert memory.read_bytes() == content


def test_cache_that_cannot_be_written_costs_time_alone(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert FileDigests(tmp_path / "file").of(files) == [sha256(path) for path in files]


def test_missing_file_is_named(files: list[Path], digests: FileDigests) -> None:
    files[1].unlink()
    with pytest.raises(DatasetError, match=f"{files[1]}: cannot be read \\(No such file"):
        digests.of(files)


def test_moved_cache_is_read(files: list[Path], tmp_path: Path, hashed: list[str]) -> None:
    settle()
    FileDigests(tmp_path / "cache").of(files)
    shutil.move(tmp_path / "cache", tmp_path / "moved")
    FileDigests(tmp_path / "moved").of(files)
    assert len(hashed) == 3
