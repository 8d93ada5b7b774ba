"""Kept folders appear whole or not at all, whoever fails, is killed or asks at the same time, and never damaged."""

import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from store import folders
from store.errors import StoreError
from store.folders import digest_of, digests_of, verify, write_folder_once

PROJECT = Path(__file__).parents[2]


def write_two(folder: Path) -> None:
    for name in ("first", "second"):
        (folder / name).write_text(name)


def names_in(folder: Path) -> list[str]:
    """List a folder, without locks and digests."""
    return sorted(path.name for path in folder.iterdir() if path.suffix not in (".lock", ".json"))


def must_not_run(folder: Path) -> None:
    raise AssertionError(f"{folder} is written again")


def test_folder_is_written_and_named(tmp_path: Path) -> None:
    target = tmp_path / "new" / "target"
    assert write_folder_once(target, write_two) == target
    assert names_in(target) == ["first", "second"]
    assert names_in(target.parent) == ["target"]


def test_second_call_writes_nothing(tmp_path: Path) -> None:
    write_folder_once(tmp_path / "target", write_two)
    write_folder_once(tmp_path / "target", must_not_run)


def test_empty_folder_counts_as_not_there(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    assert names_in(write_folder_once(tmp_path / "target", write_two)) == ["first", "second"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, StoreError])
def test_writer_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail(folder: Path) -> None:
        (folder / "first").write_text("")
        raise error("half way")

    with pytest.raises(error, match="half way"):
        write_folder_once(tmp_path / "target", fail)
    assert names_in(tmp_path) == []
    write_folder_once(tmp_path / "target", write_two)


def test_disk_error_names_the_target(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match=f"cannot write {tmp_path}/target: .*No space left"):
        write_folder_once(tmp_path / "target", fail)


def test_target_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=f"cannot write {tmp_path}/file/target"):
        write_folder_once(tmp_path / "file" / "target", write_two)


KILLED_HALF_WAY = """
import sys, time
from pathlib import Path
from store.folders import write_folder_once

def write(folder):
    (folder / "half").write_text("")
    print("half way", flush=True)
    time.sleep(60)

write_folder_once(Path(sys.argv[1]), write)
"""


def test_leftover_of_a_killed_writer_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "target"
    command = [sys.executable, "-c", KILLED_HALF_WAY, str(target)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"half way\n"
        writer.send_signal(signal.SIGKILL)
    assert names_in(tmp_path) == [".target.partial"]
    write_folder_once(target, write_two)
    assert names_in(tmp_path) == ["target"]
    assert names_in(target) == ["first", "second"]


def slow_counting_writer(written: list[Path]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        written.append(folder)
        time.sleep(0.1)
        write_two(folder)

    return write


def test_simultaneous_calls_write_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written: list[Path] = []
    write = slow_counting_writer(written)
    with caplog.at_level(logging.INFO), ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: names_in(write_folder_once(tmp_path / "target", write)), range(4)))
    assert folders == [["first", "second"]] * 4
    assert len(written) == 1
    assert "waiting for the process that is writing" in caplog.text


def refuse_without_second(folder: Path) -> None:
    if not (folder / "second").exists():
        raise StoreError(f"{folder} lacks the second file")


def test_folder_that_the_check_refuses_is_written_anew_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = write_folder_once(tmp_path / "target", lambda folder: (folder / "first").touch())
    write_folder_once(target, write_two, check=refuse_without_second)
    write_folder_once(target, must_not_run, check=refuse_without_second)
    assert names_in(target) == ["first", "second"]
    assert caplog.messages == [f"{target} lacks the second file; writing it again"]


def test_simultaneous_calls_replace_a_damaged_folder_once(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "first").touch()  # and no digests
    written: list[Path] = []
    write = slow_counting_writer(written)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: write_folder_once(target, write, refuse_without_second), range(4)))
    assert len(written) == 1
    assert names_in(target) == ["first", "second"]


# Damage


LARGE = bytes(range(256)) * 400
DAMAGED = r": the file is damaged \(.*\)"


def write_tree(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep/large").write_bytes(LARGE)
    (folder / "small").write_text("small")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return write_folder_once(tmp_path / "kept", write_tree)


def flip(path: Path, position: int, bit: int = 0) -> None:
    """Flip one bit of a file in place, and give the file its old time of modification."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def zero(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(8192))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def turn_into_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "first bit": lambda path: flip(path, 0),
    "last bit": lambda path: flip(path, -1, 7),
    "zeros": zero,
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "missing": Path.unlink,
    "a folder": turn_into_folder,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("name", ["deep/large", "small", "digests.json"])
def test_damaged_file_is_named_and_the_folder_healed(
    kept: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[Path], object]
) -> None:
    damage(kept / name)
    with pytest.raises(StoreError, match=str(kept)):
        verify(kept)
    assert write_folder_once(kept, write_tree) == kept
    (message,) = caplog.messages
    named = ("deep/large", "small", "digests.json") if name == "digests.json" else (name,)
    assert message.startswith(tuple(f"{kept / each}: the file is " for each in named))
    assert message.endswith("; writing it again")
    verify(kept)
    assert (kept / "deep/large").read_bytes() == LARGE
    write_folder_once(kept, must_not_run)


@pytest.mark.slow
def test_every_flipped_bit_of_the_digests_is_noticed(kept: Path) -> None:
    path = kept / "digests.json"
    intact = path.read_bytes()
    content = json.loads(intact)
    for position in range(len(intact)):
        for bit in range(8):
            flipped = bytearray(intact)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                same = json.loads(flipped) == content  # one white space for another
            except ValueError:
                same = False
            if not same:
                with pytest.raises(StoreError, match=str(kept)):
                    verify(kept)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"{}", b"[1]", b"3", b'{"small": 3}', b'{"small": {"size": 5}}', b"\xff"]
)
def test_garbled_digests_are_named(kept: Path, content: bytes) -> None:
    (kept / "digests.json").write_bytes(content)
    with pytest.raises(StoreError, match=f"{kept}/digests.json{DAMAGED}"):
        verify(kept)


def test_file_of_the_same_size_and_time_that_replaces_another_is_noticed(kept: Path) -> None:
    other = kept.parent / "other"
    other.write_text("SMALL")
    shutil.copystat(kept / "small", other)
    other.replace(kept / "small")
    with pytest.raises(StoreError, match=f"{kept}/small{DAMAGED}"):
        verify(kept)


def test_a_file_that_a_user_adds_is_left_alone(kept: Path) -> None:
    (kept / "notes.txt").write_text("mine")
    write_folder_once(kept, must_not_run)


def test_digests_are_those_of_the_files(kept: Path) -> None:
    assert json.loads((kept / "digests.json").read_text()) == {
        "deep/large": {"sha256": hashlib.sha256(LARGE).hexdigest(), "size": len(LARGE)},
        "small": {"sha256": hashlib.sha256(b"small").hexdigest(), "size": 5},
    }
    assert digest_of(kept / "small") == hashlib.sha256(b"small").hexdigest()
    assert digests_of([kept / "small", kept / "deep/large"]) == [
        digest_of(kept / "small"),
        digest_of(kept / "deep/large"),
    ]


def test_unchanged_files_are_hashed_once_per_process(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def remember(path: Path) -> str:
        hashed.append(path)
        return digest_of(path)

    monkeypatch.setattr(folders, "SETTLED_SECONDS", 0)
    monkeypatch.setattr(folders, "digest_of", remember)
    time.sleep(0.05)  # for a clock of 4 ms
    for _ in range(3):
        verify(kept)
    assert sorted(hashed) == [kept / "deep/large", kept / "small"]
    flip(kept / "small", 2)
    with pytest.raises(StoreError, match=f"{kept}/small{DAMAGED}"):
        verify(kept)
    assert len(hashed) == 3


def test_files_that_have_just_changed_are_hashed_again(kept: Path) -> None:
    verify(kept)
    flip(kept / "small", 2)
    with pytest.raises(StoreError, match=f"{kept}/small{DAMAGED}"):
        verify(kept)


def test_folder_without_digests_is_accepted_as_it_is(tmp_path: Path) -> None:
    target = write_folder_once(tmp_path / "target", write_two, digests=False)
    assert sorted(path.name for path in target.iterdir()) == ["first", "second"]
    (target / "second").unlink()
    write_folder_once(target, must_not_run, digests=False)


def test_sealing_again_counts_the_files_alone(kept: Path) -> None:
    before = (kept / "digests.json").read_bytes()
    folders.seal(kept)
    assert (kept / "digests.json").read_bytes() == before
    (kept / "small").write_text("other")
    folders.seal(kept)
    verify(kept)


def test_replacing_writes_anew(kept: Path) -> None:
    assert write_folder_once(kept, write_two, replace=True) == kept
    assert names_in(kept) == ["first", "second"]
    verify(kept)
    assert names_in(kept.parent) == ["kept"]


def test_replacement_that_fails_leaves_the_folder_as_it_was(kept: Path) -> None:
    def fail(folder: Path) -> None:
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_folder_once(kept, fail, replace=True)
    verify(kept)
    assert names_in(kept.parent) == ["kept"]


def test_replacement_that_is_interrupted_between_the_two_renames_restores_the_folder(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folder_once(kept, write_two, replace=True)
    verify(kept)
    assert names_in(kept.parent) == ["kept"]


def test_folder_that_cannot_be_written_to_is_used(kept: Path) -> None:
    for path in (kept, kept.parent):
        path.chmod(0o555)
    try:
        write_folder_once(kept, must_not_run)
    finally:
        for path in (kept, kept.parent):
            path.chmod(0o755)


def test_everything_is_on_the_disk_before_the_folder_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, synced = tmp_path / "target", set()

    def sync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.add((path.relative_to(tmp_path).as_posix(), target.exists()))

    monkeypatch.setattr(folders.os, "fsync", sync)
    write_folder_once(target, write_tree)
    before = {path for path, exists in synced if not exists}
    parts = {"", "/deep", "/deep/large", "/small", "/digests.json"}
    assert before == {f".target.partial{part}" for part in parts}
    assert synced - {(path, False) for path in before} == {(".", True)}
