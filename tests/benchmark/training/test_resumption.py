"""An interrupted training ends with the same results, to the last bit, as one that was not interrupted."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.data.batches import as_batches
from benchmark.data.features import open_features
from benchmark.data.images import open_images_store
from benchmark.settings.runtime import RuntimeSettings
from benchmark.settings.training import Training
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.loop import TrainingData
from benchmark.training.pretraining import PretrainedStages
from datasets.category import Category
from methods.backbone import FeatureBackbone
from methods.dinomaly import Dinomaly
from methods.feature_variance import FeatureVariance
from methods.method import Method
from methods.stfpm import STFPM
from methods.uninformed_students import UninformedStudents
from tests.benchmark.conftest import CPU, LAYERS, make_training
from tests.benchmark.training.interruption import (
    ADAM,
    EPOCHS,
    MOMENTUM,
    STEPS,
    Dice,
    Setting,
    images_of,
    names_in,
)
from tests.conftest import PROJECT_ROOT
from tests.methods.samples import IMAGENET


@pytest.mark.parametrize("training", [EPOCHS, STEPS], ids=["epochs", "steps"])
def test_a_training_interrupted_at_any_step_ends_with_the_same_numbers(
    data: TrainingData, path: Path, training: Training
) -> None:
    toy = Setting(Dice, training, data)
    whole = toy.train()
    for step in range(3, 18):  # the first state is saved after a pass of 3 steps
        toy.interrupted(path, step)
        ended = toy.train(Checkpoint(path, 0))
        assert ended.numbers == whole.numbers, f"interrupted at step {step}"
        assert all(record.seconds > 0 for record in ended.records)
        assert isinstance(ended.method, Dice)
        assert ended.method.calibrated == 1
        Checkpoint(path, 0).discard()


def test_a_training_may_be_interrupted_several_times(toy: Setting, path: Path) -> None:
    toy.interrupted(path, 4, 4, 5, 4, 4)  # steps since the state from which each resumes
    assert toy.train(Checkpoint(path, 0)).numbers == toy.train().numbers


def test_finished_stages_and_preparations_are_not_repeated(
    toy: Setting, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    toy.interrupted(path, 9 + 4)
    caplog.clear()
    method = toy.train(Checkpoint(path, 0)).method
    assert isinstance(method, Dice)
    assert method.prepared == []
    assert "toy washer: second resumes after epoch 1 of 3" in caplog.text
    assert "first" not in caplog.text


def test_resumption_is_logged_in_steps_where_they_are_counted(
    data: TrainingData, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    toy = Setting(Dice, STEPS, data)
    toy.interrupted(path, 9)
    toy.train(Checkpoint(path, 0))
    assert "first resumes after step 9 of 10" in caplog.text


def test_durations_are_those_of_all_parts(toy: Setting, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))  # every look at it takes a second
    monkeypatch.setattr(
        "benchmark.training.loop.time", SimpleNamespace(perf_counter=lambda: float(next(clock)))
    )
    whole = toy.train()
    toy.interrupted(path, 4, 7)
    assert toy.train(Checkpoint(path, 0)).records == whole.records


def with_features(
    make: Callable[[], Method],
    category: Category,
    backbone: FeatureBackbone,
    settings: RuntimeSettings,
    **changes: Any,
) -> Setting:
    stored = open_images_store(category, "train", 64, settings.cache_dir)
    features = open_features(stored, backbone, LAYERS, CPU, settings, reread=True)
    images, held_out = as_batches(stored, features, IMAGENET, CPU, 1.0), category.hold_out(0.25, 0)
    data = TrainingData(images.select(held_out.train), images.select(held_out.validation))

    def build() -> Method:
        return CPU.move(make())

    return Setting(build, make_training(**changes), data)


def test_stfpm_interrupted_after_every_epoch(
    washer: Category, backbone: FeatureBackbone, settings: RuntimeSettings, path: Path
) -> None:
    setting = with_features(
        lambda: STFPM(backbone, LAYERS), washer, backbone, settings, epochs=3, optimizer=MOMENTUM
    )
    setting.interrupted(path, 5, 3)
    assert setting.train(Checkpoint(path, 0)).numbers == setting.train().numbers


def test_feature_variance_interrupted_after_every_epoch(
    washer: Category, backbone: FeatureBackbone, settings: RuntimeSettings, path: Path
) -> None:
    setting = with_features(
        lambda: FeatureVariance(backbone, LAYERS, students=2),
        washer,
        backbone,
        settings,
        optimizer=ADAM,
    )
    setting.interrupted(path, 4)
    assert setting.train(Checkpoint(path, 0)).numbers == setting.train().numbers


def test_dinomaly_interrupted_while_its_easy_locations_grow_more(
    washer: Category, backbone: FeatureBackbone, settings: RuntimeSettings, path: Path
) -> None:
    setting = with_features(
        lambda: Dinomaly(backbone, [["layer2", "layer1"], ["layer3"]], width=8, blocks=2, easy_steps=12),
        washer,
        backbone,
        settings,
        epochs=3,
        optimizer={"_target_": "methods.stable_adamw.StableAdamW", "amsgrad": True},
        clip_norm=0.1,
    )
    setting.interrupted(path, 5, 3)
    ended = setting.train(Checkpoint(path, 0))
    assert ended.numbers == setting.train().numbers
    assert isinstance(ended.method, Dinomaly)
    assert ended.method.steps.item() == 9


def uninformed_students(category: Category, backbone: FeatureBackbone, folder: Path, name: str) -> Setting:
    stored = open_images_store(category, "train", 36, folder)
    images, held_out = as_batches(stored, None, IMAGENET, CPU, 1.0), category.hold_out(0.25, 0)
    shared = PretrainedStages(stored, {"compactness": "squared"}, backbone, CPU, folder / name, 0.0)

    def build() -> Method:
        return CPU.move(
            UninformedStudents(backbone, "layer1", 32, (1, 1), patch_sizes=[33], students=2, crop=4)
        )

    stages = {"teacher": {"steps": 5, "batch_size": 2}, "students": {"epochs": 2}}
    data = TrainingData(images.select(held_out.train), images.select(held_out.validation), shared)
    return Setting(build, make_training(optimizer=ADAM, stages=stages), data)


def test_uninformed_students_interrupted_in_teacher_and_students(
    washer: Category, backbone: FeatureBackbone, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.training.steps.ROUND_STEPS", 2)
    whole = uninformed_students(washer, backbone, tmp_path, "whole").train()
    setting = uninformed_students(washer, backbone, tmp_path, "parts")
    with pytest.raises(KeyboardInterrupt):
        setting.train(Checkpoint(path, 0), 3)
    assert not path.exists()  # the teacher's state is next to its result
    assert len(list((tmp_path / "parts").glob("teacher_33-*.checkpoint"))) == 1
    setting.interrupted(path, 3 + 4)  # the rest of the teacher's steps, and over an epoch
    assert not list((tmp_path / "parts").glob("*.checkpoint"))
    ended = setting.train(Checkpoint(path, 0))
    assert ended.numbers == whole.numbers
    assert [record.shared for record in ended.records] == [True, False]


def train_until_killed(folder: Path, path: Path) -> None:
    """Train until this process is killed while it writes the state after the fifth of six epochs."""
    toy = Setting(Dice, EPOCHS, images_of(folder))
    writes, fsync = iter(range(10**6)), os.fsync
    os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL) if next(writes) == 4 else fsync(fd)
    toy.train(Checkpoint(path, 0))


def test_a_process_killed_while_it_writes_its_state_leaves_the_previous_one(
    tmp_path: Path, path: Path
) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.benchmark.training.test_resumption import train_until_killed\n"
        "train_until_killed(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    killed = subprocess.run([sys.executable, "-c", script, tmp_path, path], cwd=PROJECT_ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert names_in(path.parent) == [f".{path.name}.partial", path.name]
    checkpoint, toy = Checkpoint(path, 0), Setting(Dice, EPOCHS, images_of(tmp_path))
    state = checkpoint.load()
    assert state is not None
    assert (len(state["records"]), len(state["stage"]["progress"]["losses"])) == (1, 1)
    assert toy.train(checkpoint).numbers == toy.train().numbers
    checkpoint.discard()
    assert names_in(path.parent) == []
