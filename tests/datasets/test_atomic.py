"""Folders appear whole or not at all, whoever fails, is killed, or asks at the same time."""

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datasets.atomic import write_folder_once
from datasets.errors import DatasetError

PROJECT = Path(__file__).parents[2]


def write_two(folder: Path) -> None:
    for name in ("first", "second"):
        (folder / name).write_text(name)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


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


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, DatasetError])
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

    with pytest.raises(DatasetError, match=f"cannot write {tmp_path}/target: .*No space left"):
        write_folder_once(tmp_path / "target", fail)


def test_target_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=f"cannot write {tmp_path}/file/target"):
        write_folder_once(tmp_path / "file" / "target", write_two)


KILLED_HALF_WAY = """
import sys, time
from pathlib import Path
from datasets.atomic import write_folder_once

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
        raise DatasetError(f"{folder} lacks the second file")


def test_damaged_folder_is_written_anew_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = write_folder_once(tmp_path / "target", write_two, check=refuse_without_second)
    write_folder_once(target, must_not_run, check=refuse_without_second)
    (target / "second").unlink()
    (target / "stale").touch()
    write_folder_once(target, write_two, check=refuse_without_second)
    assert names_in(target) == ["first", "second"]
    assert caplog.messages == [f"{target} lacks the second file; writing it anew"]


def test_simultaneous_calls_replace_a_damaged_folder_once(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "first").touch()
    written: list[Path] = []
    write = slow_counting_writer(written)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: write_folder_once(target, write, refuse_without_second), range(4)))
    assert len(written) == 1
    assert names_in(target) == ["first", "second"]
