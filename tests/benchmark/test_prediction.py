"""Predictions: images in parts that fit into memory, each with the batches and chunks that it has in a cell."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmark.data.teacher import CHUNK
from benchmark.errors import BenchmarkError
from benchmark.prediction import PART, ImageInput, Predictions, parts, score_inputs
from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.method import Method
from tests.benchmark.conftest import CPU

SIDE = 8
PREPROCESSING: dict[str, Any] = {"image_size": SIDE, "depth_size": SIDE, "mean": [0.0] * 3, "std": [1.0] * 3}


class Brightness(Method):
    """Scores pixels by their brightness, and remembers its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def anomaly_map(self, batch: Batch) -> Tensor:
        self.batches.append(len(batch))
        return batch.image.mean(1)


def predict(
    images: ImageInput | list[Any], batch_size: int = 4, method: Method | None = None, **preprocessing: int
) -> Predictions:
    backbone = FeatureBackbone("resnet18.tv_in1k", "random")
    options = PREPROCESSING | preprocessing
    return score_inputs(method or Brightness(), backbone, CPU, options, images, None, batch_size)


@pytest.mark.parametrize("batch_size", [1, 4, 16, 17, 32, 63, 96, 100, 255, 256, 300, 10**9])
@pytest.mark.parametrize("count", [0, 1, 31, 300, 1000])
def test_parts_are_whole_batches_with_whole_chunks_around_them(count: int, batch_size: int) -> None:
    scored: list[int] = []
    for held, own in parts(iter(range(count)), batch_size):
        assert held[0] % CHUNK == 0
        assert (held[-1] + 1) % CHUNK == 0 or held[-1] + 1 == count
        assert len(held) <= PART + min(batch_size, count) + 2 * CHUNK
        assert held[own][0] % batch_size == 0
        scored += held[own]
    assert scored == list(range(count))


def test_a_batch_without_images_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="batch_size=0; expected 1 or more"):
        predict([], batch_size=0)


@pytest.mark.parametrize("batch_size", [3, 5, 32, 300])
def test_the_parts_leave_batches_and_results_as_they_are(batch_size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (310, SIDE, SIDE, 3), dtype=np.uint8)
    method = Brightness()
    predictions = predict(list(images), batch_size, method)
    whole, rest = divmod(len(images), batch_size)
    assert method.batches == [batch_size] * whole + [rest] * (rest > 0)
    expected = torch.from_numpy(images).float().div(255).mean(-1)
    np.testing.assert_allclose(predictions.maps, expected, atol=1e-6)
    np.testing.assert_array_equal(predictions.scores, predictions.maps.max((1, 2)))


def test_sixteen_bit_files_are_read_with_the_bits_of_the_training(tmp_path: Path) -> None:
    values = np.full((SIDE, SIDE), 2047, np.uint16)
    Image.fromarray(values).save(tmp_path / "image.png")
    for bits, expected in ((12, 127 / 255), (11, 1.0), (16, 8 / 255)):
        np.testing.assert_allclose(predict(tmp_path / "image.png", bit_depth=bits).maps, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_a_pil_image_of_more_than_8_bits_is_refused(dtype: type[np.generic]) -> None:
    """Pillow's conversion would cut all values at 255."""
    image = Image.fromarray(np.full((SIDE, SIDE), 1000, dtype))
    with pytest.raises(
        BenchmarkError, match=r"image 0: found a PIL image of mode .*; expected 8 bits, or the path"
    ):
        predict(image)
