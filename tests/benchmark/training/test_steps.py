"""The steps of a stage: options of parts of a network, clipped gradients, and what a batch carries besides images."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.data.batches import as_batches
from benchmark.data.images import open_images_store
from benchmark.data.teacher import TeacherFeatures
from benchmark.errors import BenchmarkError
from benchmark.settings.training import StageConfig
from benchmark.training.loop import TrainingData, train
from benchmark.training.pretraining import PretrainedStages
from benchmark.training.rehearsal import rehearse
from benchmark.training.steps import Steps
from datasets.batch import Batch
from datasets.category import Category
from methods.backbone import FeatureBackbone
from methods.method import Crops, Method, Stage
from tests.benchmark.conftest import CPU, make_training
from tests.methods.samples import IMAGENET

SGD = {"_target_": "torch.optim.SGD", "lr": 1.0}
BATCH = Batch(torch.zeros(2, 3, 4, 4), torch.zeros(2))


class Parts(nn.Module):
    """Two numbers, each of whose gradients is 3 and 4."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = (nn.Linear(1, 1, bias=False) for _ in range(2))
        for part in (self.body, self.head):
            nn.init.zeros_(part.weight)

    def loss(self, batch: Batch) -> Tensor:
        return (3 * self.body.weight + 4 * self.head.weight).sum()

    @property
    def values(self) -> list[float]:
        return [self.body.weight.item(), self.head.weight.item()]


def after_one_step(**config: Any) -> list[float]:
    parts = Parts()
    stage = Stage("student", parts, parts.loss, {"head": parts.head})
    Steps(stage, StageConfig(**{"batch_size": 2, "optimizer": SGD, **config}), 10).take(BATCH, CPU)
    return parts.values


def test_a_part_has_options_of_its_own() -> None:
    assert after_one_step() == [-3, -4]
    assert after_one_step(optimizer={**SGD, "groups": {"head": {"lr": 0.5}}}) == [-3, -2]


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(
        BenchmarkError, match=r"optimizer\.groups: found 'heads' \(did you mean 'head'\?\); expected head"
    ):
        after_one_step(optimizer={**SGD, "groups": {"heads": {"lr": 0.5}}})


def test_gradients_are_scaled_to_a_norm() -> None:
    assert after_one_step(clip_norm=1.0) == pytest.approx([-0.6, -0.8], rel=1e-5)
    assert after_one_step(clip_norm=10.0) == [-3, -4]


def test_a_step_takes_the_mean_gradient_of_several_batches() -> None:
    parts = Parts()
    stage = Stage("student", parts, lambda batch: batch.label.mean() * parts.loss(batch))
    steps = Steps(stage, StageConfig(2, SGD, accumulate=3, clip_norm=100.0), 10)
    found = []
    for value in (1.0, 2.0, 3.0, 4.0, 6.0):
        steps.take(replace(BATCH, label=torch.full((2,), value)), CPU)
        found.append(parts.values)
    assert found == [[0, 0], [0, 0], [-6, -8], [-6, -8], [-6, -8]]
    steps.finish()  # of those that are left over
    assert parts.values == [-21, -28]
    steps.finish()
    assert parts.values == [-21, -28]
    assert steps.schedule.taken == 2


class Richer(Method):
    """Wants natural crops and the teacher's features of darkened images."""

    def __init__(self, layers: tuple[str, ...] = ("layer1",)) -> None:
        super().__init__(layers)
        self.weight = nn.Linear(1, 1, bias=False)
        self.seen: list[Batch] = []

    def stages(self) -> Iterator[Stage]:
        yield Stage("student", self, self.loss)

    def natural(self, stage: Stage) -> Crops | None:
        return Crops(16, (2.0, 2.0), (), 16)

    def changed(self, stage: Stage, batch: Batch) -> Tensor | None:
        return batch.image / 2

    def loss(self, batch: Batch) -> Tensor:
        self.seen.append(batch)
        return self.weight.weight.sum()

    def anomaly_map(self, batch: Batch) -> Tensor:
        return batch.image.mean(1)


Make = Callable[[bool], TrainingData]


@pytest.fixture
def make(washer: Category, backbone: FeatureBackbone, tmp_path: Path) -> Make:
    def data(are_natural: bool) -> TrainingData:
        stored = open_images_store(washer, "train", 32, tmp_path)
        features = TeacherFeatures(CPU.move(backbone.teacher(("layer1",))), IMAGENET, CPU)
        shared = PretrainedStages(stored, {}, backbone, CPU, tmp_path / "stages", are_natural=are_natural)
        return TrainingData(as_batches(stored, features, IMAGENET, CPU, 1.0), None, shared)

    return data


def test_a_step_sees_natural_images_and_features_of_changed_ones(
    make: Make, backbone: FeatureBackbone
) -> None:
    method, data = Richer(), make(True)
    rehearse(method, make_training(), data, "toy")
    train(method, make_training(epochs=1), data, 0, "toy")
    for batch in method.seen:
        assert batch.natural is not None
        assert batch.natural.shape[1:] == (3, 16, 16)
        with torch.no_grad():
            expected = backbone.teacher(("layer1",))(batch.image / 2)["layer1"]
        torch.testing.assert_close(batch.changed["layer1"], expected, rtol=1e-4, atol=1e-5)
    drawn = [batch.natural for batch in method.seen if batch.natural is not None]
    assert not torch.equal(drawn[1], drawn[2])


def test_without_natural_images_none_are_taken_from_the_categories(make: Make) -> None:
    method = Richer()
    train(method, make_training(epochs=1), make(False), 0, "toy")
    assert {batch.natural for batch in method.seen} == {None}


def test_natural_images_depend_on_the_seed_alone(make: Make) -> None:
    drawn = []
    for seed in (0, 0, 1):
        method = Richer()
        train(method, make_training(epochs=1), make(True), seed, "toy")
        drawn.append(torch.cat([batch.natural for batch in method.seen if batch.natural is not None]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_batches_that_an_epoch_leaves_over_take_a_step_of_their_own(make: Make) -> None:
    (record,) = train(Richer(), make_training(epochs=2, batch_size=4, accumulate=2), make(False), 0, "toy")
    assert record.images == 2 * 12
    assert record.steps == 2 * 2
