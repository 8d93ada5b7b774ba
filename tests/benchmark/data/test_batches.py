"""Batches: every image with what belongs to it, wherever the arrays are kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.data.batches import Images, as_batches
from benchmark.data.images import StoredImages, open_images_store
from datasets.category import Category
from datasets.synthetic import Synthetic3D
from tests.benchmark.conftest import CPU
from tests.methods.samples import IMAGENET


@pytest.fixture(scope="module")
def rod(tmp_path_factory: pytest.TempPathFactory) -> Category:
    folder = tmp_path_factory.mktemp("generated")
    dataset = Synthetic3D(
        folder, ["rod"], image_size=32, train=3, validation=1, test_good=2, test_defective=1
    )
    return dataset.category("rod")


@pytest.fixture(scope="module")
def stored(rod: Category, tmp_path_factory: pytest.TempPathFactory) -> StoredImages:
    return open_images_store(rod, "test", 32, tmp_path_factory.mktemp("cache"), depth_side=16)


@pytest.fixture(params=[1.0, 0.0], ids=["in memory", "mapped"])
def images(request: pytest.FixtureRequest, stored: StoredImages) -> Images:
    return as_batches(stored, None, IMAGENET, CPU, request.param)


def test_depth_and_foreground_belong_to_their_image(images: Images, stored: StoredImages) -> None:
    assert stored.depth is not None
    assert stored.foreground is not None
    batch = images.batch(torch.tensor([3, 0]))
    assert batch.depth is not None
    assert batch.foreground is not None
    assert batch.depth.shape == batch.foreground.shape == (2, 1, 16, 16)
    assert batch.foreground.dtype == torch.bool
    for i, at in enumerate((3, 0)):
        assert batch.paths[i] == str(stored.samples[at].image)
        np.testing.assert_array_equal(batch.depth[i, 0], stored.depth[at])
        np.testing.assert_array_equal(batch.foreground[i, 0], stored.foreground[at])


def test_a_part_of_the_images_keeps_its_depth(images: Images, stored: StoredImages) -> None:
    assert stored.depth is not None
    part = images.select(stored.samples[2:4])
    (batch,) = part.batches(2)
    assert batch.depth is not None
    np.testing.assert_array_equal(batch.depth[:, 0], stored.depth[2:4])


def test_images_without_point_clouds_have_neither(washer: Category, tmp_path: Path) -> None:
    images = as_batches(open_images_store(washer, "test", 32, tmp_path), None, IMAGENET, CPU, 1.0)
    batch = images.batch(torch.tensor([0]))
    assert batch.depth is None
    assert batch.foreground is None


def test_a_batch_has_masks_if_the_ground_truth_of_all_its_images_is_known(
    images: Images, stored: StoredImages
) -> None:
    """An unknown mask would otherwise be taken for that of a normal image."""
    unknown = next(i for i, sample in enumerate(stored.samples) if sample.label)
    samples = tuple(replace(s, mask=None) if i == unknown else s for i, s in enumerate(stored.samples))
    partial = replace(images, stored=replace(stored, samples=samples))
    others = torch.tensor([i for i in range(len(stored)) if i != unknown])
    batch = partial.batch(others)
    assert batch.mask is not None
    assert stored.masks is not None
    np.testing.assert_array_equal(batch.mask[:, 0], stored.masks[others.numpy()])
    assert partial.batch(torch.arange(len(stored))).mask is None
