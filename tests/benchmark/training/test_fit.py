"""A fit: fresh weights from the seed, a rehearsal on a method of its own, validation images given or held out."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from benchmark.data.batches import Images, as_batches
from benchmark.data.images import open_images_store
from benchmark.errors import BenchmarkError
from benchmark.training.fit import fit
from datasets.batch import Batch
from datasets.category import Category
from methods.method import Method, Stage
from tests.benchmark.conftest import CPU, make_training
from tests.methods.samples import IMAGENET


class Mean(Method):
    """Predicts the mean colour; remembers its images."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Linear(3, 3)
        self.scored: list[str] = []
        self.trained: list[str] = []
        self.calibrated: list[str] = []

    def stages(self) -> Iterator[Stage]:
        yield Stage("student", self.student, self.loss)

    def anomaly_map(self, batch: Batch) -> Tensor:
        self.scored += batch.paths
        return batch.image.mean(1)

    def loss(self, batch: Batch) -> Tensor:
        self.trained += batch.paths
        colour = batch.image.mean((2, 3))
        return (self.student(colour) - colour + torch.rand(())).square().mean()

    def calibrate(self, batches: Iterable[Batch]) -> None:
        self.calibrated = [path for batch in batches for path in batch.paths]


@pytest.fixture(scope="module")
def images(washer: Category, tmp_path_factory: pytest.TempPathFactory) -> Images:
    stored = open_images_store(washer, "train", 64, tmp_path_factory.mktemp("store"))
    return as_batches(stored, None, IMAGENET, CPU, 1.0)


def fit_on(
    images: Images, category: Category, seed: int = 0, validation: Images | None = None, method: type = Mean
) -> Mean:
    fitted, _ = fit(method, make_training(), category, images, validation, seed, "toy washer")
    assert isinstance(fitted, Mean)
    return fitted


def test_the_seed_decides_all_weights(images: Images, washer: Category) -> None:
    first, again, other = (fit_on(images, washer, seed).student.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_part_of_the_train_images_is_held_out_and_calibrates(images: Images, washer: Category) -> None:
    method = fit_on(images, washer)
    held_out = washer.hold_out(0.25, 0)
    assert method.calibrated == [str(sample.image) for sample in held_out.validation]
    assert set(method.trained) == {str(sample.image) for sample in held_out.train}


def test_validation_images_of_the_category_itself_leave_all_train_images_to_the_training(
    images: Images, washer: Category
) -> None:
    own = images.select(washer.train[:2])  # any images: the category says that they are not for training
    method = fit_on(images, replace(washer, validation=washer.train[:2]), validation=own)
    assert method.calibrated == [str(sample.image) for sample in own.samples]
    assert set(method.trained) == {str(sample.image) for sample in washer.train}


def test_the_rehearsal_scores_and_trains_on_one_method_and_the_training_on_another(
    images: Images, washer: Category
) -> None:
    built: list[Mean] = []

    def build() -> Mean:
        built.append(Mean())
        return built[-1]

    fitted, _ = fit(build, make_training(), washer, images, None, 0, "toy washer")
    rehearsed, trained = built
    first = str(washer.hold_out(0.25, 0).train[0].image)
    assert fitted is trained
    assert (rehearsed.scored, rehearsed.trained) == ([first], [first])  # 9 images in batches of 4 leave one
    assert trained.scored == []


class TooSmall(Mean):
    """Cannot score the images."""

    def anomaly_map(self, batch: Batch) -> Tensor:
        raise BenchmarkError("method.training.image_size: too small")

    def loss(self, batch: Batch) -> Tensor:
        raise AssertionError("trained on images that it cannot score")


def test_images_that_a_method_cannot_score_are_reported_before_the_training(
    images: Images, washer: Category
) -> None:
    with pytest.raises(BenchmarkError, match="too small"):
        fit_on(images, washer, method=TooSmall)
