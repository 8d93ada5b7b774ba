"""The cost of one image: seconds as medians within a budget, multiply-adds, both with the teacher."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from benchmark.data.batches import Images, as_batches
from benchmark.data.features import open_features
from benchmark.data.images import open_images_store
from benchmark.data.teacher import TeacherFeatures
from benchmark.inference_cost import InferenceCost, InferenceCosts, measure_inference
from benchmark.scoring import score
from benchmark.settings.runtime import RuntimeSettings
from datasets.batch import Batch
from datasets.category import Category
from methods.backbone import FeatureBackbone
from methods.method import Method
from tests.benchmark.conftest import CPU, LAYERS
from tests.methods.samples import IMAGENET


class Brightness(Method):
    """Scores 2x2 fields by their mean brightness."""

    def anomaly_map(self, batch: Batch) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(batch.image.mean(1), 2)


@pytest.fixture
def images(washer: Category, tmp_path: Path) -> Images:
    return as_batches(open_images_store(washer, "test", 64, tmp_path), None, IMAGENET, CPU, 1.0)


@pytest.fixture
def images_with_features(images: Images, backbone: FeatureBackbone, settings: RuntimeSettings) -> Images:
    features = open_features(images.stored, backbone, LAYERS, CPU, settings, reread=False)
    return as_batches(images.stored, features, IMAGENET, CPU, 1.0)


def test_inference_is_timed_with_fresh_teacher_features(
    images_with_features: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    compute = TeacherFeatures.compute

    def count(self: TeacherFeatures, image: Tensor) -> dict[str, Tensor]:
        computed.append(len(image))
        return compute(self, image)

    monkeypatch.setattr(TeacherFeatures, "compute", count)
    score(Brightness(LAYERS), images_with_features, 4)
    assert not computed  # scoring reads the cached features
    cost = measure_inference(Brightness(LAYERS), images_with_features, batch_size=4, repeats=3)
    assert computed == [1] + [1] * 3 + [4] + [4] * 3  # the first of each kind warms up
    assert cost.seconds_batched > 0
    assert cost.seconds_single > 0


class OnTheClock(Brightness):
    """Takes the next of some seconds for each image of a batch, by a clock of its own."""

    def __init__(self, *seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.now = 0.0
        self.batches: list[int] = []

    def anomaly_map(self, batch: Batch) -> Tensor:
        seconds = self.seconds[min(len(self.batches), len(self.seconds) - 1)]
        self.now += seconds * len(batch.image)
        self.batches.append(len(batch.image))
        return super().anomaly_map(batch)


def cost_by_its_clock(method: OnTheClock, images: Images, monkeypatch: pytest.MonkeyPatch) -> InferenceCost:
    monkeypatch.setattr("benchmark.inference_cost.time", SimpleNamespace(perf_counter=lambda: method.now))
    return measure_inference(method, images, batch_size=4)


@pytest.mark.parametrize(
    ("seconds", "batches"),
    [
        pytest.param(0.125, [1] + [1] * 5 + [4] + [4] * 5, id="all repeats fit into the budget"),
        pytest.param(0.5, [1] + [1] * 5 + [4] + [4] * 3, id="three batches reach it"),
        pytest.param(1.5, [1] + [1] * 4 + [4], id="one batch takes it, without a warm-up"),
        pytest.param(30.0, [1, 1, 4], id="one image takes it"),
    ],
)
def test_a_slow_method_is_timed_less_often(
    images: Images, monkeypatch: pytest.MonkeyPatch, seconds: float, batches: list[int]
) -> None:
    method = OnTheClock(seconds)
    cost = cost_by_its_clock(method, images, monkeypatch)
    assert method.batches == batches
    assert (cost.seconds_single, cost.seconds_batched) == (seconds, seconds)


def test_times_are_medians_without_the_warm_up(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    method = OnTheClock(50, 0.5, 4, 1, 50, 0.75)  # the warm-up, then three repeats fill the budget
    cost = cost_by_its_clock(method, images, monkeypatch)
    assert method.batches == [1] + [1] * 3 + [4] + [4] * 2
    assert (cost.seconds_single, cost.seconds_batched) == (1, 0.75)


def test_a_batch_is_never_larger_than_the_test_set(images: Images) -> None:
    method = OnTheClock(0)
    cost = measure_inference(method, images, batch_size=10**9, repeats=1)
    assert max(method.batches) == cost.batch_size == len(images) == 8
    assert measure_inference(method, images, batch_size=3, repeats=1).batch_size == 3


class OneConvolution(Method):
    """A 3x3 convolution from 3 to 8 channels, padded."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 8, 3, padding=1)

    def anomaly_map(self, batch: Batch) -> Tensor:
        return self.convolution(batch.image).mean(1)


def test_multiply_adds_are_those_of_one_image(images: Images) -> None:
    cost = measure_inference(OneConvolution(), images, batch_size=4, repeats=1)
    assert cost.multiply_adds == 64 * 64 * 3 * 3 * 3 * 8


def test_multiply_adds_include_the_teacher(images_with_features: Images) -> None:
    """ResNet-18 to layer3 at 64 pixels: its published 1.8e9 at 224 pixels, less layer4, scaled by area."""
    cost = measure_inference(Brightness(LAYERS), images_with_features, batch_size=1, repeats=1)
    assert cost.multiply_adds == pytest.approx(1.8e9 * 0.775 * (64 / 224) ** 2, rel=0.05)


def test_a_job_measures_once_and_says_on_which_category(images: Images) -> None:
    costs, method = InferenceCosts(), OneConvolution()
    first = costs.of("washer", method, images, 4)
    assert first[1] == "washer"
    trained_anew = OneConvolution()
    assert costs.of("weave", trained_anew, images, 4) == first


def test_weights_of_another_size_and_other_batches_are_measured_by_themselves(images: Images) -> None:
    costs, method = InferenceCosts(), OneConvolution()
    costs.of("washer", method, images, 4)
    larger = OneConvolution()
    larger.register_buffer("memory_bank", torch.zeros(7))
    assert costs.of("weave", larger, images, 4)[1] == "weave"
    assert costs.of("mesh", method, images, 3)[1] == "mesh"
