"""Trainings that are interrupted at any step, and compared with those that are not."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.data.batches import as_batches
from benchmark.data.images import open_images_store
from benchmark.runtime import seed_everything
from benchmark.settings.training import Training
from benchmark.training.checkpoint import Checkpoint, random_states
from benchmark.training.loop import TrainingData, train
from benchmark.training.records import StageRecord
from datasets.batch import Batch
from datasets.synthetic import Synthetic
from methods.method import Method, Stage
from methods.weights import digest
from tests.benchmark.conftest import CPU, make_training
from tests.methods.samples import IMAGENET

MOMENTUM = {"_target_": "torch.optim.SGD", "lr": 0.05, "momentum": 0.9}
ADAM = {"_target_": "torch.optim.Adam", "lr": 1e-3}


class Dice(Method):
    """Two stages that draw from all generators; the second uses what it has computed from the train images."""

    keeps_best_epoch = True
    mean: Tensor

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.second = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width))
        self.register_buffer("mean", torch.zeros(width))
        self.prepared: list[str] = []
        self.calibrated = 0

    def stages(self) -> Iterator[Stage]:
        yield Stage("first", self.first, partial(self.loss, self.first))
        yield Stage("second", self.second, partial(self.loss, self.second))

    def loss(self, module: nn.Module, batch: Batch) -> Tensor:
        dice = torch.rand(()) + random.random() + np.random.random()  # noqa: NPY002
        return (module(batch.image.mean((2, 3))) - dice - self.mean).square().mean()

    def validation_score(self, stage: Stage, batch: Batch) -> Tensor:
        return stage.module(batch.image.mean((2, 3))).sum(1) + torch.rand(len(batch))

    def on_train_start(self, stage: Stage, batches: Iterable[Batch]) -> None:
        self.prepared.append(stage.name)
        if stage.module is self.second:
            for batch in batches:
                self.mean += batch.image.mean() + torch.rand(())

    def calibrate(self, batches: Iterable[Batch]) -> None:
        self.calibrated += 1


def interrupt_at(method: Method, step: int, stop: Callable[[], object]) -> None:
    """Let the method call `stop` in place of its loss at a step, counted from 0 over all its stages."""
    steps, stages = iter(range(10**6)), method.stages

    def stopping(stage: Stage) -> Stage:
        @wraps(stage.loss)
        def loss(batch: Batch) -> Tensor:
            if next(steps) == step:
                stop()
            return stage.loss(batch)

        return replace(stage, loss=loss)

    method.stages = lambda: (stopping(stage) for stage in stages())  # type: ignore[method-assign]


def control_c() -> None:
    raise KeyboardInterrupt


@dataclass
class Ended:
    """The results of a training."""

    method: Method
    records: list[StageRecord]
    random: dict[str, Any]

    @property
    def numbers(self) -> dict[str, Any]:
        """Return the results in a form that can be compared, without durations."""
        return {
            "weights": digest(self.method.state_dict()),
            "records": [replace(record, seconds=0.0) for record in self.records],
            "random": {k: v.tolist() if isinstance(v, Tensor) else v for k, v in self.random.items()},
        }


@dataclass(frozen=True)
class Setting:
    """A method on its images, trained each time as if in a new process."""

    make: Callable[[], Method]
    training: Training
    data: TrainingData

    def train(self, checkpoint: Checkpoint | None = None, stop_at: int = -1) -> Ended:
        """Train from the beginning, or resume from the checkpoint's state, from other random states then."""
        seed_everything(1)
        method = self.make()
        interrupt_at(method, stop_at, control_c)
        seed_everything(12345 if checkpoint and checkpoint.path.exists() else 1)
        records = train(method, self.training, self.data, 3, "toy washer", checkpoint=checkpoint)
        return Ended(method, records, random_states(CPU.device))

    def interrupted(self, path: Path, *steps: int) -> None:
        """Train until the first of these steps, resume from the checkpoint until the next, and so on."""
        for step in steps:
            with pytest.raises(KeyboardInterrupt):
                self.train(Checkpoint(path, 0), step)
            assert path.exists()


def images_of(folder: Path) -> TrainingData:
    """Return 9 train and 3 validation images of a generated category below a folder."""
    dataset = Synthetic(folder, ["washer"], image_size=64, train=12, test_good=2, test_defective=2)
    category = dataset.category("washer")
    images = as_batches(open_images_store(category, "train", 64, folder / "store"), None, IMAGENET, CPU, 1.0)
    held_out = category.hold_out(0.25, 0)
    return TrainingData(images.select(held_out.train), images.select(held_out.validation))


EPOCHS = make_training(epochs=3, batch_size=3, optimizer=MOMENTUM)
STEPS = make_training(
    batch_size=3, optimizer=MOMENTUM, stages={"first": {"steps": 10}, "second": {"steps": 9}}
)


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())
