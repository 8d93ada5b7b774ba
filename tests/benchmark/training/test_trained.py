"""A detector that has been kept: warnings about its training, and interruptions that must not lose it."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.cell import Cell
from benchmark.detector import Detector
from benchmark.identity import keys_of
from benchmark.training.checkpoint import Checkpoint, TrainingState
from benchmark.training.trained import trained
from methods.weights import digest
from tests.benchmark.conftest import make_training
from tests.benchmark.test_detector import make

STEPS = {"stages": {"student": {"steps": 100}}, "image_size": 32}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture
def cell(shared: Path) -> Cell:
    """Return a cell that keeps the state of its training after every epoch."""
    cell = make(shared, training=make_training(epochs=3, image_size=32))
    return replace(cell, settings=replace(cell.settings, checkpoint_seconds=0.0))


def detector(cell: Cell, folder: Path) -> Detector:
    return trained(cell, cell.open_images(), keys_of(cell)[0], folder / "detectors")


def numbers(found: Detector) -> dict[str, Any]:
    records = [replace(record, seconds=0.0) for record in found.records]
    return {"weights": digest(found.method.state_dict()), "records": records}


FEW = "train images are fewer than in any category of MVTec AD (60)"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings, without that of few images, which every small cell has."""
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    return [message for message in messages if FEW not in message]


def test_few_steps_are_warned_of_whenever_the_detector_is_used(
    cell: Cell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):  # trained, then loaded
        caplog.clear()
        assert detector(cell, tmp_path).records[0].steps == 6
        message, *_ = warnings(caplog)
        assert message.startswith("stfpm washer: stage 'student' took 6 optimiser steps, too few")
        assert message.endswith("raise method.training.epochs")


def test_a_stage_that_counts_steps_is_to_take_more_of_them(
    cell: Cell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = make_training(image_size=32, stages={"student": {"steps": 5}})
    detector(replace(cell, training=training), tmp_path)
    message, *_ = warnings(caplog)
    assert "took 5 optimiser steps" in message
    assert message.endswith("raise method.training.stages.student.steps")


def test_few_train_images_are_warned_of_with_the_steps_that_they_took(
    cell: Cell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    detector(cell, tmp_path)
    count = len(cell.category.train)
    assert f"stfpm washer: {count} {FEW}" in caplog.text
    assert "(here student 6)" in caplog.text


def test_a_curve_that_still_falls_is_warned_of_and_named(
    cell: Cell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slow = {"_target_": "torch.optim.SGD", "lr": 1e-3}
    slowly = replace(cell, training=make_training(epochs=30, image_size=32, optimizer=slow))
    curve = detector(slowly, tmp_path).records[0].selection
    assert curve[-1] < curve[0]
    of_steps, of_curve = warnings(caplog)
    assert "took 60 optimiser steps, too few" in of_steps
    assert of_curve.startswith("stfpm washer: the held-out value of stage 'student' was still falling when")


def test_a_training_of_enough_steps_whose_curve_has_ended_has_no_warning(
    cell: Cell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    detector(replace(cell, training=make_training(**STEPS)), tmp_path)
    assert warnings(caplog) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit], ids=["Ctrl-C", "SIGTERM"])
def test_an_interruption_while_the_checkpoint_is_discarded_loses_nothing(
    cell: Cell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
) -> None:
    whole = numbers(detector(cell, tmp_path / "whole"))

    def interrupted(_: Checkpoint) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "discard", interrupted)
        with pytest.raises(error):
            detector(cell, tmp_path)
    assert list((tmp_path / "checkpoints").glob("*.checkpoint"))
    caplog.set_level(logging.INFO)
    caplog.clear()
    assert numbers(detector(cell, tmp_path)) == whole
    assert "trains for" not in caplog.text
    assert "resumes" not in caplog.text
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit], ids=["Ctrl-C", "SIGTERM"])
def test_an_interruption_while_the_detector_is_written_leaves_the_checkpoint_from_which_it_is_made_again(
    cell: Cell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
) -> None:
    whole = numbers(detector(cell, tmp_path / "whole"))

    def interrupted(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("store.folders.seal", interrupted)
        with pytest.raises(error):
            detector(cell, tmp_path)
    caplog.set_level(logging.INFO)
    caplog.clear()
    assert numbers(detector(cell, tmp_path)) == whole
    assert "student resumes after epoch 3 of 3" in caplog.text


def test_a_damaged_checkpoint_is_named_and_changes_no_number(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = numbers(detector(cell, tmp_path / "whole"))
    save = TrainingState.maybe_save

    def save_and_stop(self: TrainingState, stage: Any) -> None:
        save(self, stage)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(TrainingState, "maybe_save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            detector(cell, tmp_path)
    (path,) = (tmp_path / "checkpoints").glob("*.checkpoint")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert numbers(detector(cell, tmp_path)) == whole
    assert f"{path}: ignored; the training starts from the beginning" in caplog.text
    assert not path.exists()
