"""Stages on crops of natural images: what a crop is, and that a result is trained once and reused."""

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
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.crops import CropSource, open_crops
from benchmark.data import open_images
from benchmark.pretext import RECORD, WEIGHTS, PretextStages
from benchmark.records import StageRecord
from benchmark.runtime import seed_everything
from benchmark.training import TrainingData, fit
from datasets.batch import IMAGENET_MEAN, IMAGENET_STD, Batch
from datasets.category import Category, Sample
from datasets.store import StoredImages, open_store
from methods.backbone import FeatureBackbone
from methods.method import Crops, Method, Stage
from tests.benchmark.conftest import CPU, make_training

CROPS = Crops(size=8, zoom=(2.0, 4.0), layers=("layer1",), feature_size=32)


def stored_images(images: NDArray[np.uint8]) -> StoredImages:
    samples = tuple(Sample(Path(f"{i}.png")) for i in range(len(images)))
    return StoredImages(samples, images, None, "fingerprint")


def crops_of(images: NDArray[np.uint8], backbone: FeatureBackbone, crops: Crops = CROPS) -> CropSource:
    return open_crops(stored_images(images), crops, backbone, CPU)


def draw(source: CropSource, size: int = 16, seed: int = 0) -> list[Batch]:
    return list(source.batches(size, torch.Generator().manual_seed(seed)))


def ramp(side: int = 64) -> NDArray[np.uint8]:
    """Return an image whose red is its column and whose green is its row."""
    rows, columns = np.mgrid[:side, :side].astype(np.uint8)
    return np.stack([columns, rows, np.zeros_like(rows)], -1)[None]


def test_crops_are_full_batches_with_features_of_the_resized_crop(backbone: FeatureBackbone) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    batches = draw(crops_of(images, backbone))
    assert [batch.image.shape for batch in batches] == [(16, 3, 8, 8)] * 2
    resized = nn.functional.interpolate(batches[0].image, (32, 32), mode="bilinear")
    with torch.no_grad():
        expected = backbone.teacher(("layer1",))(resized)["layer1"]
    torch.testing.assert_close(batches[0].features["layer1"], expected)


def test_fewer_images_than_a_batch_still_fill_one(backbone: FeatureBackbone) -> None:
    assert [len(batch) for batch in draw(crops_of(ramp(), backbone), size=5)] == [5]


def test_a_crop_is_an_upright_part_of_the_image_of_the_zoom_that_was_asked_for(
    backbone: FeatureBackbone,
) -> None:
    (batch,) = draw(crops_of(ramp(), backbone), size=200)
    mean, std = (torch.tensor(value)[:, None, None] for value in (IMAGENET_MEAN, IMAGENET_STD))
    red, green, _ = ((batch.image * std + mean) * 255).unbind(1)
    assert red.min() >= 0
    assert red.max() <= 63
    torch.testing.assert_close(red.diff(dim=1), torch.zeros(200, 7, 8), atol=1e-3, rtol=0)
    torch.testing.assert_close(green.diff(dim=2), torch.zeros(200, 8, 7), atol=1e-3, rtol=0)
    covered = red.diff(dim=2)[:, :, 3].mean(1) * 8  # columns of the image that a crop's 8 columns cover
    assert covered.min() >= 64 / 4 - 1.5
    assert covered.max() <= 64 / 2 + 1.5
    assert covered.max() - covered.min() > 8
    assert red[:, 0, 0].min() < 5  # crops reach the border
    assert red[:, 0, -1].max() > 58


def test_crops_follow_their_generator(backbone: FeatureBackbone) -> None:
    source = crops_of(ramp(), backbone)
    first, again, other = (draw(source, seed=seed)[0].image for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


class Pretrained(Method):
    """A stage on crops, whose loss is counted, then one on the category's images."""

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
        yield Stage("teacher", self.teacher, self.teach, crops=CROPS, depends_on=("target",))
        yield Stage("student", self.student, self.learn)

    def teach(self, batch: Batch) -> Tensor:
        assert batch.image.shape[-1] == CROPS.size
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
    stored = open_store(washer, "train", 64, tmp_path)
    data = TrainingData(open_images(stored, None, CPU, 1.0), None)

    def run(method: Pretrained, seed: int = 0, **changes: Any) -> list[StageRecord]:
        options = {"_target_": "x", "target": method.target, "score": changes.pop("score", "e")}
        folder, seconds = tmp_path / "stages", changes.pop("checkpoint_seconds", None)
        pretext = PretextStages(stored, options, backbone, CPU, folder, seconds)
        training = make_training(stages={"teacher": {"steps": 7, **changes}})
        seed_everything(seed)
        return fit(method, training, replace(data, pretext=pretext), seed, "toy", progress=False)

    return run


def test_a_second_training_takes_the_weights_of_the_first(train_once: TrainOnce, tmp_path: Path) -> None:
    first, second = Pretrained(), Pretrained()
    records = train_once(first)
    again = train_once(second)
    assert (first.teacher_steps, second.teacher_steps) == (7, 0)
    assert torch.equal(first.teacher.weight, second.teacher.weight)
    assert torch.equal(first.student.weight, second.student.weight)
    assert [record.shared for record in records] == [True, False]
    assert again[0] == records[0]


def test_what_follows_is_the_same_whether_the_result_was_there(train_once: TrainOnce) -> None:
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
def test_it_is_trained_anew_where_something_else_decides_it(
    train_once: TrainOnce, method: Callable[[], Pretrained], changes: dict[str, Any], trained: bool
) -> None:
    train_once(Pretrained())
    other = method()
    train_once(other, **changes)
    assert (other.teacher_steps > 0) == trained


@pytest.mark.parametrize("name", [WEIGHTS, RECORD])
def test_a_damaged_result_is_trained_anew(
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
    monkeypatch.setattr("benchmark.training.ROUND", 2)


def interrupt(train_once: TrainOnce, steps: int, **changes: Any) -> None:
    method = Pretrained()
    method.stop_at = steps
    with pytest.raises(KeyboardInterrupt):
        train_once(method, **changes)


@pytest.mark.usefixtures("rounds_of_two")
@pytest.mark.parametrize("steps", [2, 3, 4, 6])
def test_an_interrupted_training_is_gone_on_with_by_whoever_needs_it(
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
def test_another_training_does_not_go_on_from_a_checkpoint(train_once: TrainOnce) -> None:
    interrupt(train_once, 6, checkpoint_seconds=0.0)
    other = Pretrained(target=2.0)
    train_once(other, checkpoint_seconds=0.0)
    assert other.teacher_steps == 7
