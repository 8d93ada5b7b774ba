"""What does not change while a stage trains: computed once per image, and to the same numbers as at every step."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmark.checkpoint import Checkpoint
from benchmark.data import open_images
from benchmark.features import open_features
from benchmark.settings import Trainer
from benchmark.training import TrainingData, fit
from datasets.batch import Batch
from datasets.category import Category
from datasets.store import open_store
from methods.ast import AsymmetricStudentTeacher
from methods.backbone import FeatureBackbone
from methods.method import Method, Stage
from tests.benchmark.conftest import CPU, make_training
from tests.benchmark.interruption import ADAM, Setting, images_of


class Remembering(Method):
    """Its loss reads what was computed of each image; keeps the paths of either."""

    def __init__(self, names: tuple[str, ...] = ("first",)) -> None:
        super().__init__()
        self.weights = nn.ModuleDict({name: nn.Linear(1, 1) for name in names})
        self.computed: list[str] = []
        self.seen: list[str] = []

    def stages(self) -> Iterator[Stage]:
        for name, module in self.weights.items():
            yield Stage(name, module, partial(self.loss, module), constant=self.brightness)

    def brightness(self, batch: Batch) -> dict[str, Tensor]:
        assert not torch.is_grad_enabled()
        self.computed += batch.paths
        return {"brightness": batch.image.mean((1, 2, 3))}

    def loss(self, module: nn.Module, batch: Batch) -> Tensor:
        self.seen += batch.paths
        torch.testing.assert_close(batch.features["brightness"], batch.image.mean((1, 2, 3)))
        return module(batch.features["brightness"][:, None]).square().mean()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return images_of(tmp_path_factory.mktemp("images"))


def train(method: Method, data: TrainingData) -> None:
    fit(method, make_training(epochs=3), data, 0, "toy washer", progress=False)


def test_what_is_constant_is_computed_once_per_image_and_stage_and_belongs_to_it(
    data: TrainingData,
) -> None:
    method = Remembering(names=("first", "second"))
    train(method, data)
    assert method.computed == 2 * [str(sample.image) for sample in data.train.samples]


def test_what_is_constant_is_computed_at_every_step_where_there_is_no_room(
    data: TrainingData, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    method = Remembering()
    train(method, replace(data, train=replace(data.train, room_gb=0.0)))
    first_batch = method.computed[:4]
    assert method.computed[4:] == method.seen
    assert first_batch == [str(sample.image) for sample in data.train.samples[:4]]
    assert "brightness: 0.00 GB, no room in memory; computed at every step" in caplog.text


def test_other_images_of_a_store_know_no_constants_of_a_stage(data: TrainingData) -> None:
    known = data.train.with_constants(lambda batch: {"number": batch.image[:, 0, 0, 0]}, 4)
    assert set(known.batch(torch.tensor([0])).features) == {"number"}
    assert not known.select(known.samples[:2]).batch(torch.tensor([0])).features


@pytest.fixture
def ast(washer: Category, backbone: FeatureBackbone, trainer: Trainer) -> Setting:
    """Return AST, whose student learns from a flow that has stopped learning."""
    stored = open_store(washer, "train", 64, trainer.cache_dir)
    images = open_images(stored, open_features(stored, backbone, ["layer2"], CPU, trainer, True), CPU, 1.0)

    def build() -> Method:
        return AsymmetricStudentTeacher(backbone, ["layer2"], flow_hidden=8, student_hidden=8)

    return Setting(build, make_training(optimizer=ADAM), TrainingData(images, None))


def test_a_student_learns_the_same_from_kept_and_from_fresh_outputs_of_its_teacher(ast: Setting) -> None:
    assert ast.data.train.room_gb > 0
    fresh = replace(ast, data=TrainingData(replace(ast.data.train, room_gb=0.0), None))
    kept, again = (setting.train().method.state_dict() for setting in (ast, fresh))
    torch.testing.assert_close(kept, again, atol=1e-5, rtol=1e-4)


def test_a_stage_with_constants_goes_on_to_the_same_numbers(ast: Setting, tmp_path: Path) -> None:
    whole = ast.train()
    for step in (1 * 3 + 1, 3 * 3 + 1):  # in the last epoch of the flow, of the student
        path = tmp_path / f"{step}.checkpoint"
        ast.interrupted(path, step)
        assert ast.train(Checkpoint(path, 0)).numbers == whole.numbers
