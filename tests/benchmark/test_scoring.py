"""Scoring: maps at image size, in memory or in a file, and the image scores taken from them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.data.batches import Images, as_batches
from benchmark.data.images import open_images_store
from benchmark.scoring import MapFile, score
from datasets.batch import Batch
from datasets.category import Category
from methods.method import Method
from metrics import evaluate
from tests.benchmark.conftest import CPU
from tests.methods.samples import IMAGENET


class Brightness(Method):
    """Scores 2x2 fields by their mean brightness."""

    def anomaly_map(self, batch: Batch) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(batch.image.mean(1), 2)


class MeanBrightness(Brightness):
    """Scores an image by the mean of its map."""

    def image_score(self, anomaly_map: Tensor, batch: Batch) -> Tensor:
        return anomaly_map.mean((1, 2))


@pytest.fixture
def images(washer: Category, tmp_path: Path) -> Images:
    return as_batches(open_images_store(washer, "test", 64, tmp_path), None, IMAGENET, CPU, 1.0)


def test_maps_have_the_size_and_order_of_the_images(images: Images) -> None:
    scores = score(Brightness(), images, 3)
    assert isinstance(scores.maps, np.ndarray)
    assert scores.maps.shape == (len(images), 64, 64)
    assert scores.maps.dtype == np.float32
    corner = images.stored.images[:, :32, :32].mean((1, 2, 3))
    assert np.corrcoef(corner, scores.maps[:, 0, 0])[0, 1] > 0.999


def test_the_image_score_is_the_maximum_of_the_map(images: Images) -> None:
    scores = score(Brightness(), images, 3)
    np.testing.assert_array_equal(scores.images, scores.maps[:].max((1, 2)).astype(np.float64))
    np.testing.assert_array_equal(scores.images, scores.map_max)


def test_a_method_may_score_images_by_something_else_than_their_maximum(images: Images) -> None:
    scores = score(MeanBrightness(), images, 3)
    np.testing.assert_allclose(scores.images, scores.maps[:].mean((1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(scores.map_max, scores.maps[:].max((1, 2)))
    assert (scores.map_max > scores.images).all()


def test_scores_do_not_depend_on_the_batch_size(images: Images) -> None:
    few, many = score(Brightness(), images, 1), score(Brightness(), images, 8)
    np.testing.assert_allclose(few.maps[:], many.maps[:], atol=1e-6)


def test_maps_that_are_too_large_for_memory_are_the_same_in_a_file(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = score(MeanBrightness(), images, 3)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert isinstance(score(MeanBrightness(), images, 3, scratch).maps, np.ndarray)  # they fit
    monkeypatch.setattr("benchmark.scoring.MEMORY_BYTES", 0)
    in_file = score(MeanBrightness(), images, 3, scratch)
    assert isinstance(in_file.maps, MapFile)
    assert not list(scratch.iterdir())  # the file has no name, so nothing is left of it
    assert in_file.maps.shape == in_memory.maps.shape
    np.testing.assert_array_equal(in_file.maps[:], in_memory.maps[:])
    np.testing.assert_array_equal(in_file.images, in_memory.images)
    np.testing.assert_array_equal(in_file.map_max, in_memory.map_max)
    labels, masks = [sample.label for sample in images.samples], images.stored.masks
    measured = [evaluate(each.maps, masks, labels, each.images).values for each in (in_file, in_memory)]
    assert measured[0] == measured[1]


def test_maps_in_a_file_are_read_by_slices_and_one_by_one(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((5, 3, 4), np.float32)
    with (tmp_path / "maps").open("w+b") as file:
        maps = MapFile(file, values.shape)
        maps.write(2, values[2:])
        maps.write(0, values[:2])
        assert (len(maps), maps.dtype) == (5, np.float32)
        for rows in (slice(None), slice(1, 3), slice(3, 9), slice(-2, None), slice(4, 2)):
            np.testing.assert_array_equal(maps[rows], values[rows])
        for row in (0, 4, np.int64(2)):
            np.testing.assert_array_equal(maps[row], values[row])
