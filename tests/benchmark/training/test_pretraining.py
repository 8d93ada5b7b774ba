"""Stages that are independent of the category: trained once, kept, and used again by later trainings."""

import logging
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.data.batches import as_batches
from benchmark.data.images import open_images_store
from benchmark.runtime import seed_everything
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.loop import TrainingData, train
from benchmark.training.pretraining import RECORD, WEIGHTS, PretrainedStages
from benchmark.training.records import StageRecord
from datasets.batch import Batch
from datasets.category import Category
from methods.backbone import FeatureBackbone
from methods.method import Crops, Method, Stage
from tests.benchmark.conftest import CPU, make_training
from tests.methods.samples import IMAGENET

CROPS = Crops(size=8, zoom=(2.0, 4.0), layers=("layer1",), feature_size=32, options=("target",))


class Pretrained(Method):
    """A stage on crops, whose steps are counted, then one on the category's images."""

    def __init__(self, target: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.teacher = nn.Linear(1, 1, bias=False)
        self.student = nn.Linear(1, 1, bias=False)
        nn.init.normal_(self.teacher.weight, generator=generator)
        nn.init.zeros_(self.student.weight)
        self.target, self.teacher_steps = target, 0
        self.stop_at: int | None = None

    def stages(self) -> Iterator[Stage]:
        yield Stage("teacher", self.teacher, self.teach)
        yield Stage("student", self.student, self.learn)

    def crops(self, stage: Stage) -> Crops | None:
        return CROPS if stage.module is self.teacher else None

    def teach(self, batch: Batch) -> Tensor:
        assert batch.image.shape[-1] == CROPS.size
        assert self.teacher.training
        assert not self.student.training
        if self.teacher_steps == self.stop_at:
            raise KeyboardInterrupt
        self.teacher_steps += 1
        drawn = torch.rand(()) + random.random() + np.random.random()  # noqa: NPY002
        return (self.teacher.weight - self.target - drawn).square().sum()

    def learn(self, batch: Batch) -> Tensor:
        assert batch.image.shape[-1] == 64
        return (self.student.weight - self.teacher.weight.detach()).square().sum() + 0 * torch.rand(())


def draw_numbers() -> list[float]:
    """Draw from every global generator."""
    return [*torch.rand(3).tolist(), random.random(), np.random.random()]  # noqa: NPY002


TrainOnce = Callable[..., list[StageRecord]]


@pytest.fixture
def train_once(washer: Category, backbone: FeatureBackbone, tmp_path: Path) -> TrainOnce:
    stored = open_images_store(washer, "train", 64, tmp_path)
    data = TrainingData(as_batches(stored, None, IMAGENET, CPU, 1.0), None)

    def run(method: Pretrained, seed: int = 0, **changes: Any) -> list[StageRecord]:
        options = {"_target_": "x", "target": method.target, "score": changes.pop("score", "e")}
        folder, seconds = tmp_path / "stages", changes.pop("checkpoint_seconds", None)
        shared = PretrainedStages(stored, options, backbone, CPU, folder, seconds)
        training = make_training(stages={"teacher": {"steps": 7, **changes}})
        seed_everything(seed)
        return train(method, training, replace(data, shared=shared), seed, "toy")

    return run


def test_a_second_training_loads_the_weights_of_the_first(train_once: TrainOnce) -> None:
    first, second = Pretrained(), Pretrained()
    records = train_once(first)
    again = train_once(second)
    assert (first.teacher_steps, second.teacher_steps) == (7, 0)
    assert torch.equal(first.teacher.weight, second.teacher.weight)
    assert torch.equal(first.student.weight, second.student.weight)
    assert [record.shared for record in records] == [True, False]
    assert again[0] == records[0]


def test_random_numbers_afterwards_do_not_depend_on_whether_the_weights_were_kept(
    train_once: TrainOnce,
) -> None:
    draws = []
    for _ in range(2):
        train_once(Pretrained(), seed=3)
        draws.append(draw_numbers())
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    ("method", "changes", "trained"),
    [
        (lambda: Pretrained(seed=1), {}, True),
        (lambda: Pretrained(target=2.0), {}, True),
        (Pretrained, {"steps": 8}, True),
        (Pretrained, {"batch_size": 3}, True),
        (Pretrained, {"score": "v"}, False),
        (Pretrained, {"seed": 5}, False),
    ],
    ids=[
        "weights",
        "option",
        "steps",
        "batch size",
        "an option that it does not depend on",
        "seed of the run",
    ],
)
def test_it_is_trained_again_if_anything_differs_that_it_depends_on(
    train_once: TrainOnce, method: Callable[[], Pretrained], changes: dict[str, Any], trained: bool
) -> None:
    train_once(Pretrained())
    other = method()
    train_once(other, **changes)
    assert (other.teacher_steps > 0) == trained


@pytest.mark.parametrize("name", [WEIGHTS, RECORD])
def test_damaged_weights_are_trained_again(
    train_once: TrainOnce, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Pretrained(), Pretrained()
    train_once(first)
    (file,) = (tmp_path / "stages").glob(f"*/{name}")
    file.write_bytes(file.read_bytes()[:-3])
    caplog.set_level(logging.INFO)
    train_once(second)
    assert second.teacher_steps == 7
    assert torch.equal(first.teacher.weight, second.teacher.weight)
    assert "trained before" not in caplog.text
    train_once(Pretrained())
    assert "trained before" in caplog.text


@pytest.fixture
def rounds_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.training.steps.ROUND_STEPS", 2)


def interrupt(train_once: TrainOnce, steps: int, **changes: Any) -> None:
    method = Pretrained()
    method.stop_at = steps
    with pytest.raises(KeyboardInterrupt):
        train_once(method, **changes)


@pytest.mark.usefixtures("rounds_of_two")
@pytest.mark.parametrize("steps", [2, 3, 4, 6])
def test_another_run_resumes_an_interrupted_training(
    train_once: TrainOnce, tmp_path: Path, steps: int
) -> None:
    first, second = Pretrained(), Pretrained()
    expected, *_ = train_once(first, seed=7)
    draws = draw_numbers()
    shutil.rmtree(tmp_path / "stages")
    interrupt(train_once, steps, seed=5, checkpoint_seconds=0.0)
    record, *_ = train_once(second, seed=7, score="v", checkpoint_seconds=0.0)
    assert second.teacher_steps == 7 - steps // 2 * 2
    assert torch.equal(first.teacher.weight, second.teacher.weight)
    assert replace(record, seconds=0.0) == replace(expected, seconds=0.0)
    assert draw_numbers() == draws
    assert not list((tmp_path / "stages").glob("*.checkpoint"))


@pytest.mark.usefixtures("rounds_of_two")
def test_without_checkpoints_an_interrupted_training_starts_again(
    train_once: TrainOnce, tmp_path: Path
) -> None:
    interrupt(train_once, 6)
    assert not list((tmp_path / "stages").glob("*.checkpoint"))
    method = Pretrained()
    train_once(method)
    assert method.teacher_steps == 7


@pytest.mark.usefixtures("rounds_of_two")
def test_another_training_does_not_resume_from_a_checkpoint(train_once: TrainOnce) -> None:
    interrupt(train_once, 6, checkpoint_seconds=0.0)
    other = Pretrained(target=2.0)
    train_once(other, checkpoint_seconds=0.0)
    assert other.teacher_steps == 7


@pytest.mark.usefixtures("rounds_of_two")
def test_an_interruption_while_the_checkpoint_is_discarded_does_not_lose_the_weights(
    train_once: TrainOnce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Checkpoint) -> None:
        raise KeyboardInterrupt

    first, second = Pretrained(), Pretrained()
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "discard", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_once(first, checkpoint_seconds=0.0)
    assert list((tmp_path / "stages").glob("*.checkpoint"))
    train_once(second, checkpoint_seconds=0.0)
    assert (first.teacher_steps, second.teacher_steps) == (7, 0)
    assert torch.equal(first.teacher.weight, second.teacher.weight)
    assert not list((tmp_path / "stages").glob("*.checkpoint"))
