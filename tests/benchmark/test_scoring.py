"""Scoring: maps at image size, image scores from them, and a cost that includes the teacher."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.data import Images, open_images
from benchmark.features import TeacherFeatures, open_features
from benchmark.scoring import InferenceCost, measure_inference, score
from datasets.batch import Batch
from datasets.category import Category
from datasets.store import open_store
from methods.backbone import FeatureBackbone
from methods.method import Method
from tests.benchmark.conftest import CPU, LAYERS, make_trainer


class Brightness(Method):
    """Scores 2x2 fields by their mean brightness."""

    def __init__(self, needs: tuple[str, ...] = ()) -> None:
        super().__init__(needs)
        self.features_seen = 0

    def anomaly_map(self, batch: Batch) -> Tensor:
        self.features_seen += len(batch.features)
        return torch.nn.functional.adaptive_avg_pool2d(batch.image.mean(1), 2)


@pytest.fixture
def test_images(washer: Category, tmp_path: Path) -> Images:
    return open_images(open_store(washer, "test", 64, tmp_path), None, CPU, 1.0)


def test_maps_come_at_image_size_and_in_order(test_images: Images) -> None:
    scores = score(Brightness(), test_images, 3)
    assert scores.maps.shape == (len(test_images), 64, 64)
    assert scores.maps.dtype == np.float32
    corner = test_images.stored.images[:, :32, :32].mean((1, 2, 3))
    assert np.corrcoef(corner, scores.maps[:, 0, 0])[0, 1] > 0.999


def test_the_image_score_is_the_largest_value_of_the_map(test_images: Images) -> None:
    scores = score(Brightness(), test_images, 3)
    np.testing.assert_array_equal(scores.images, scores.maps.max((1, 2)).astype(np.float64))
    np.testing.assert_array_equal(scores.images, scores.peaks)


class MeanBrightness(Brightness):
    """Scores an image by the mean of its map."""

    def image_score(self, anomaly_map: Tensor, batch: Batch) -> Tensor:
        return anomaly_map.mean((1, 2))


def test_a_method_that_scores_images_otherwise_keeps_its_peaks(test_images: Images) -> None:
    scores = score(MeanBrightness(), test_images, 3)
    np.testing.assert_allclose(scores.images, scores.maps.mean((1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(scores.peaks, scores.maps.max((1, 2)))
    assert (scores.peaks > scores.images).all()


def test_scores_do_not_depend_on_the_batch_size(test_images: Images) -> None:
    few, many = score(Brightness(), test_images, 1), score(Brightness(), test_images, 8)
    np.testing.assert_allclose(few.maps, many.maps, atol=1e-6)


def test_inference_is_timed_with_fresh_teacher_features(
    washer: Category, backbone: FeatureBackbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = open_store(washer, "test", 64, tmp_path)
    features = open_features(stored, backbone, LAYERS, CPU, make_trainer(tmp_path), epochs=False)
    images = open_images(stored, features, CPU, 1.0)
    computed: list[int] = []
    compute = TeacherFeatures.compute

    def count(self: TeacherFeatures, image: Tensor) -> dict[str, Tensor]:
        computed.append(len(image))
        return compute(self, image)

    monkeypatch.setattr(TeacherFeatures, "compute", count)
    score(Brightness(LAYERS), images, 4)
    assert not computed  # scoring reads what is kept
    cost = measure_inference(Brightness(LAYERS), images, batch_size=4, repeats=3)
    assert computed == [1] + [1] * 3 + [4] + [4] * 3  # of either kind, the first warms up
    assert cost.seconds_batched > 0
    assert cost.seconds_single > 0


class OnTheClock(Brightness):
    """Takes the next of the given seconds for each image of a batch, on a clock of its own."""

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
    monkeypatch.setattr("benchmark.scoring.time", SimpleNamespace(perf_counter=lambda: method.now))
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
    test_images: Images, monkeypatch: pytest.MonkeyPatch, seconds: float, batches: list[int]
) -> None:
    method = OnTheClock(seconds)
    cost = cost_by_its_clock(method, test_images, monkeypatch)
    assert method.batches == batches
    assert (cost.seconds_single, cost.seconds_batched) == (seconds, seconds)


def test_times_are_medians_without_the_warm_up(test_images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    method = OnTheClock(50, 0.5, 4, 1, 50, 0.75)  # the warm-up, then three repeats fill the budget
    cost = cost_by_its_clock(method, test_images, monkeypatch)
    assert method.batches == [1] + [1] * 3 + [4] + [4] * 2
    assert (cost.seconds_single, cost.seconds_batched) == (1, 0.75)


class OneConvolution(Method):
    """A 3x3 convolution from 3 to 8 channels, padded."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 8, 3, padding=1)

    def anomaly_map(self, batch: Batch) -> Tensor:
        return self.convolution(batch.image).mean(1)


def test_multiply_adds_are_those_of_one_image(test_images: Images) -> None:
    cost = measure_inference(OneConvolution(), test_images, batch_size=4, repeats=1)
    assert cost.multiply_adds == 64 * 64 * 3 * 3 * 3 * 8


def test_multiply_adds_include_the_teacher(
    washer: Category, backbone: FeatureBackbone, tmp_path: Path
) -> None:
    """ResNet-18 to layer3 at 64 pixels: its published 1.8e9 at 224 pixels, less layer4, scaled by area."""
    stored = open_store(washer, "test", 64, tmp_path)
    features = open_features(stored, backbone, LAYERS, CPU, make_trainer(tmp_path), epochs=False)
    images = open_images(stored, features, CPU, 1.0)
    cost = measure_inference(Brightness(LAYERS), images, batch_size=1, repeats=1)
    assert cost.multiply_adds == pytest.approx(1.8e9 * 0.775 * (64 / 224) ** 2, rel=0.05)
