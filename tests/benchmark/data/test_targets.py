"""Targets of a stage: computed once per image, with the same results as if computed at every step."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmark.data.batches import as_batches
from benchmark.data.features import open_features
from benchmark.data.images import open_images_store
from benchmark.settings.runtime import RuntimeSettings
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.loop import TrainingData, train
from datasets.batch import Batch
from datasets.category import Category
from methods.ast import AsymmetricStudentTeacher
from methods.backbone import FeatureBackbone
from methods.method import Method, Stage
from tests.benchmark.conftest import CPU, make_training
from tests.benchmark.training.interruption import ADAM, Setting, images_of
from tests.methods.samples import IMAGENET


class Remembering(Method):
    """Its targets are the images' brightness; remembers the images whose targets it computes, and sees."""

    def __init__(self, names: tuple[str, ...] = ("first",)) -> None:
        super().__init__()
        self.weights = nn.ModuleDict({name: nn.Linear(1, 1) for name in names})
        self.computed: list[str] = []
        self.seen: list[str] = []

    def stages(self) -> Iterator[Stage]:
        for name, module in self.weights.items():
            yield Stage(name, module, partial(self.loss, module))

    def targets(self, stage: Stage, batch: Batch) -> dict[str, Tensor]:
        assert not torch.is_grad_enabled()
        assert not self.training
        self.computed += [f"{stage.name} {path}" for path in batch.paths]
        return {"brightness": batch.image.mean((1, 2, 3))}

    def loss(self, module: nn.Module, batch: Batch) -> Tensor:
        self.seen += batch.paths
        torch.testing.assert_close(batch.targets["brightness"], batch.image.mean((1, 2, 3)))
        return module(batch.targets["brightness"][:, None]).square().mean()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return images_of(tmp_path_factory.mktemp("images"))


def train_on(data: TrainingData, method: Method) -> None:
    train(method, make_training(epochs=3), data, 0, "toy washer")


def test_targets_are_computed_once_per_image_and_stage_and_belong_to_their_image(data: TrainingData) -> None:
    method = Remembering(names=("first", "second"))
    train_on(data, method)
    paths = [str(sample.image) for sample in data.train.samples]
    assert method.computed == [f"{name} {path}" for name in ("first", "second") for path in paths]


def test_targets_without_room_in_memory_are_computed_at_every_step(
    data: TrainingData, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    method = Remembering()
    train_on(replace(data, train=replace(data.train, room_gb=0.0)), method)
    probed = [
        f"first {sample.image}" for sample in data.train.samples[:4]
    ]  # the first batch shows their size
    assert method.computed == [*probed, *(f"first {path}" for path in method.seen)]
    assert "targets brightness: 0.00 GB, no room in memory; computed at every step" in caplog.text


def test_batches_of_a_stage_without_targets_carry_none(data: TrainingData) -> None:
    assert data.train.with_targets(lambda batch: {}, 4) is data.train
    assert data.train.batch(torch.tensor([0])).targets == {}


def test_other_images_of_a_store_do_not_have_the_targets_of_a_stage(data: TrainingData) -> None:
    images = data.train.with_targets(lambda batch: {"number": batch.image[:, 0, 0, 0]}, 4)
    assert set(images.batch(torch.tensor([0])).targets) == {"number"}
    assert not images.select(images.samples[:2]).batch(torch.tensor([0])).targets


@pytest.fixture
def ast(washer: Category, backbone: FeatureBackbone, settings: RuntimeSettings) -> Setting:
    """Return AST, whose student learns from a flow that no longer trains."""
    stored = open_images_store(washer, "train", 64, settings.cache_dir)
    features = open_features(stored, backbone, ["layer2"], CPU, settings, reread=True)
    images = as_batches(stored, features, IMAGENET, CPU, 1.0)

    def build() -> Method:
        return AsymmetricStudentTeacher(backbone, ["layer2"], flow_hidden=8, student_hidden=8)

    return Setting(build, make_training(optimizer=ADAM), TrainingData(images, None))


def test_a_student_learns_the_same_from_cached_and_from_fresh_targets(ast: Setting) -> None:
    assert ast.data.train.room_gb > 0
    fresh = replace(ast, data=TrainingData(replace(ast.data.train, room_gb=0.0), None))
    cached, again = (setting.train().method.state_dict() for setting in (ast, fresh))
    torch.testing.assert_close(cached, again, atol=1e-5, rtol=1e-4)


def test_an_interrupted_stage_with_targets_resumes_with_the_same_numbers(
    ast: Setting, tmp_path: Path
) -> None:
    whole = ast.train()
    for step in (1 * 3 + 1, 3 * 3 + 1):  # in the last epoch of the flow, of the student
        path = tmp_path / f"{step}.checkpoint"
        ast.interrupted(path, step)
        assert ast.train(Checkpoint(path, 0)).numbers == whole.numbers
