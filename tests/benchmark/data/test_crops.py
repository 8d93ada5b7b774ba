"""Crops of natural images: full batches without end, of the zoom that was asked for, with the teacher's features."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from benchmark.data.crops import CropSource, open_crops
from benchmark.data.images import StoredImages
from datasets.batch import Batch
from datasets.category import Sample
from methods.backbone import FeatureBackbone
from methods.method import Crops
from tests.benchmark.conftest import CPU
from tests.methods.samples import IMAGENET

CROPS = Crops(size=8, zoom=(2.0, 4.0), layers=("layer1",), feature_size=32)


def crops_of(images: NDArray[np.uint8], backbone: FeatureBackbone, crops: Crops = CROPS) -> CropSource:
    samples = tuple(Sample(Path(f"{i}.png")) for i in range(len(images)))
    return open_crops(StoredImages(samples, images, None, "key"), crops, backbone, CPU)


def draw(source: CropSource, size: int = 16, seed: int = 0, count: int = 1) -> list[Batch]:
    """Return the first batches."""
    return list(islice(source.batches(size, torch.Generator().manual_seed(seed)), count))


def ramp(side: int = 64) -> NDArray[np.uint8]:
    """Return an image whose red is its column and whose green is its row."""
    rows, columns = np.mgrid[:side, :side].astype(np.uint8)
    return np.stack([columns, rows, np.zeros_like(rows)], -1)[None]


def test_crops_are_full_batches_with_features_of_the_resized_crop(backbone: FeatureBackbone) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    batches = draw(crops_of(images, backbone), count=4)
    assert [batch.image.shape for batch in batches] == [(16, 3, 8, 8)] * 4
    resized = nn.functional.interpolate(batches[0].image, (32, 32), mode="bilinear")
    with torch.no_grad():
        expected = backbone.teacher(("layer1",))(resized)["layer1"]
    torch.testing.assert_close(batches[0].features["layer1"], expected)


@pytest.mark.parametrize(("images", "steps"), [(1, 1), (15, 1), (40, 2), (48, 3)])
def test_an_epoch_is_the_full_batches_that_a_crop_of_every_image_gives_but_at_least_one(
    backbone: FeatureBackbone, images: int, steps: int
) -> None:
    assert crops_of(ramp().repeat(images, 0), backbone).steps_per_epoch(16) == steps


def test_a_crop_is_an_upright_part_of_the_image_of_the_zoom_that_was_asked_for(
    backbone: FeatureBackbone,
) -> None:
    (batch,) = draw(crops_of(ramp(), backbone), size=200)
    mean, std = (torch.tensor(value)[:, None, None] for value in (IMAGENET.mean, IMAGENET.std))
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


def test_a_share_of_the_crops_is_grey(backbone: FeatureBackbone) -> None:
    mean, std = (torch.tensor(value)[:, None, None] for value in (IMAGENET.mean, IMAGENET.std))
    for share in (0.0, 0.3, 1.0):
        (batch,) = draw(crops_of(ramp(), backbone, replace(CROPS, grey=share)), size=200)
        image = batch.image * std + mean
        is_grey = (image - image[:, :1]).abs().amax((1, 2, 3)) < 1e-3
        assert is_grey.float().mean().item() == pytest.approx(share, abs=0.1)
    weighted = 255 * image.mean(1)[:, 0, :].diff(dim=1).mean(1)  # red rises by a column, and counts 0.299
    assert 0.299 * 2 - 0.2 < weighted.min() < weighted.max() < 0.299 * 4 + 0.2


def test_crops_follow_their_generator(backbone: FeatureBackbone) -> None:
    source = crops_of(ramp(), backbone)
    first, again, other = (draw(source, seed=seed)[0].image for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
