"""The file of a checkpoint: when it is written, how damage is found, and trainings for which it is not used."""

import errno
import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmark.runtime import seed_everything
from benchmark.training.checkpoint import HEADER, MAGIC, Checkpoint, _Hashing, random_states
from benchmark.training.loop import train
from methods.method import Stage
from tests.benchmark.conftest import CPU
from tests.benchmark.training.interruption import ADAM, EPOCHS, Dice, Ended, Setting, names_in

STATE = {"numbers": [1, 2.5], "weights": {"a": torch.arange(5.0)}, "name": "toy", "nothing": None}


def write(path: Path) -> bytes:
    Checkpoint(path, 0).maybe_save(lambda: STATE)
    return path.read_bytes()


def test_a_written_state_is_read_unchanged(path: Path) -> None:
    write(path)
    state = Checkpoint(path, 0).load()
    assert state is not None
    assert state.pop("weights")["a"].tolist() == [0, 1, 2, 3, 4]
    assert state == {"numbers": [1, 2.5], "name": "toy", "nothing": None}
    assert names_in(path.parent) == [path.name]


def test_a_missing_file_is_no_state_and_no_warning(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Checkpoint(path, 0).load() is None
    assert not caplog.records


def test_a_flipped_bit_is_found_anywhere_in_the_file(path: Path) -> None:
    content = write(path)
    for at in (*range(HEADER), *range(HEADER, len(content), 11)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert Checkpoint(path, 0).load() is None, f"byte {at}"


def test_a_file_that_is_too_short_or_too_long_is_found(path: Path) -> None:
    content = write(path)
    for damaged in (
        *(content[:length] for length in range(0, len(content), 37)),
        content[:-1],
        content + b"x",
    ):
        path.write_bytes(damaged)
        assert Checkpoint(path, 0).load() is None, f"{len(damaged)} bytes"


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def signed(content: bytes) -> bytes:
    return MAGIC + hashlib.sha256(content).digest() + content


@pytest.mark.parametrize("wrap", [signed, bytes], ids=["with a header", "without"])
@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_reading_runs_no_code(
    tmp_path: Path, path: Path, form: str, wrap: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    bomb, target = {"plan": Bomb(tmp_path / "exploded")}, tmp_path / "bomb"
    torch.save(bomb, target) if form == "torch" else target.write_bytes(pickle.dumps(bomb))
    path.parent.mkdir()
    path.write_bytes(wrap(target.read_bytes()))
    assert Checkpoint(path, 0).load() is None
    assert str(path) in caplog.text
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "content",
    [b"", bytes(range(256)) * 20, b"PK\x03\x04", signed(b""), signed(b"text")],
    ids=["empty", "garbage", "zip", "signed, empty", "signed, garbage"],
)
def test_a_damaged_file_is_named_and_the_training_starts_from_its_beginning(
    toy: Setting, path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    checkpoint = Checkpoint(path, 1000)
    assert checkpoint.load() is None
    (warning,) = caplog.messages
    assert str(path) in warning
    assert "starts from the beginning" in warning
    seed_everything(1)
    method = toy.make()
    seed_everything(1)
    records = train(method, toy.training, toy.data, 3, "toy", checkpoint=checkpoint)
    assert Ended(method, records, random_states(CPU.device)).numbers == toy.train().numbers


def test_a_folder_instead_of_the_file_is_named(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir(parents=True)
    assert Checkpoint(path, 0).load() is None
    Checkpoint(path, 0).discard()
    assert all(str(path) in message for message in caplog.messages)
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"make": partial(Dice, width=4)},
        {"training": replace(EPOCHS, epochs=4)},
        {"training": replace(EPOCHS, optimizer=ADAM)},
    ],
    ids=["shapes", "epochs", "optimizer"],
)
def test_the_state_of_another_training_is_rejected(
    toy: Setting, path: Path, other: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    toy.interrupted(path, 13)
    method = replace(toy, **other).train(Checkpoint(path, 1000)).method
    assert isinstance(method, Dice)
    assert method.prepared == ["first", "second"]
    (message,) = caplog.messages
    assert message.startswith(f"{path}: ignored")


class Renamed(Dice):
    """The same weights, in stages of other names."""

    def stages(self) -> Iterator[Stage]:
        for stage in super().stages():
            yield replace(stage, name=f"other_{stage.name}")


def test_stages_of_other_names_are_another_training(
    toy: Setting, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    toy.interrupted(path, 13)
    replace(toy, make=Renamed).train(Checkpoint(path, 1000))
    assert "it belongs to another training" in caplog.text


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.mkdir"])
def test_a_full_disk_does_not_end_the_training(
    toy: Setting, path: Path, call: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = toy.train()
    with monkeypatch.context() as patched:
        patched.setattr(call, full)
        ended = toy.train(Checkpoint(path, 0))
    assert ended.numbers == whole.numbers
    (message,) = caplog.messages  # six states could not be written
    assert message.startswith(str(path))
    assert "No space left" in message
    assert not path.parent.exists() or not names_in(path.parent)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
def test_a_disk_that_fills_up_leaves_the_previous_state(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint, content = Checkpoint(path, 0), write(path)
    path.with_name(f".{path.name}.partial").symlink_to("/dev/full")
    checkpoint.maybe_save(lambda: {"weights": torch.rand(100_000)})
    assert "No space left" in caplog.text
    assert path.read_bytes() == content
    assert names_in(path.parent) == [path.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_an_interruption_of_any_write_ends_the_training_and_leaves_the_previous_state(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], number: int
) -> None:
    content, writes = write(path), count(1)

    def interrupted(self: _Hashing, data: bytes) -> int:
        if next(writes) == number:
            raise error
        return self.file.write(data)

    monkeypatch.setattr(_Hashing, "write", interrupted)
    with pytest.raises(error):
        Checkpoint(path, 0).maybe_save(lambda: STATE)
    assert path.read_bytes() == content
    assert names_in(path.parent) == [path.name]


def test_states_are_written_so_many_seconds_apart(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("benchmark.training.checkpoint.time", SimpleNamespace(monotonic=lambda: clock.now))
    checkpoint, written = Checkpoint(path, 10), []

    def state() -> dict[str, Any]:
        written.append(clock.now)
        return STATE

    for now in (1000, 1009.9, 1010, 1015, 1019.9, 1021, 1030.9, 1031):
        clock.now = now
        checkpoint.maybe_save(state)
    assert written == [1010, 1021, 1031]


def test_a_short_training_writes_nothing(toy: Setting, path: Path) -> None:
    toy.train(Checkpoint(path, 1000))
    assert not path.parent.exists()


def test_the_file_stays_until_it_is_discarded(toy: Setting, path: Path) -> None:
    checkpoint = Checkpoint(path, 0)
    ended = toy.train(checkpoint)
    assert path.exists()
    again = toy.train(checkpoint)  # only calibrates
    assert again.numbers == ended.numbers
    checkpoint.discard()
    checkpoint.discard()
    assert names_in(path.parent) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit], ids=["Ctrl-C twice", "SIGTERM twice"])
def test_a_second_interruption_while_the_first_cleans_up_leaves_the_previous_state(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    content = write(path)

    def interrupted(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(_Hashing, "write", interrupted)
        patched.setattr(Path, "unlink", interrupted)
        with pytest.raises(error):
            Checkpoint(path, 0).maybe_save(lambda: STATE)
    assert path.read_bytes() == content
    assert write(path) == content  # a leftover of the write is in nobody's way
    Checkpoint(path, 0).discard()
    assert names_in(path.parent) == []
