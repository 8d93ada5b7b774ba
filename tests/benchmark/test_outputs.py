"""Pairs of teacher and student for a figure: drawn from both kinds, projected alike, background left out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.data import Images, open_images
from benchmark.outputs import LOCATIONS, sample_outputs
from datasets.batch import Batch
from datasets.category import Category
from datasets.store import open_store
from methods.method import Method
from tests.benchmark.conftest import CPU

CHANNELS = 40


class Echo(Method):
    """Says the image's pooled colours, which the student exceeds by 2 in every channel; only the left half counts."""

    def outputs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor] | None:
        teacher = torch.nn.functional.adaptive_avg_pool2d(batch.image, 16).repeat(1, CHANNELS // 3 + 1, 1, 1)
        counts = torch.zeros(teacher[:, 0].shape, dtype=torch.bool)
        counts[..., :8] = True
        return teacher, teacher + 2, counts


@pytest.fixture
def images(washer: Category, tmp_path: Path) -> Images:
    return open_images(open_store(washer, "test", 64, tmp_path), None, CPU, 1.0)


def test_distances_are_those_of_all_channels(images: Images) -> None:
    found = sample_outputs(Echo(), images)
    assert found is not None
    np.testing.assert_allclose(found.distance, 4, rtol=1e-5)


def test_the_projection_is_orthographic(images: Images) -> None:
    """One shift in all channels is one shift in the plane, and no longer than in space."""
    found = sample_outputs(Echo(), images)
    assert found is not None
    shifts = found.student - found.teacher
    np.testing.assert_allclose(shifts, np.broadcast_to(shifts[0], shifts.shape), atol=1e-4)
    assert 0 < np.linalg.norm(shifts[0]) <= 2 * np.sqrt(42) + 1e-4


def test_both_kinds_are_drawn_from_the_locations_that_count(images: Images) -> None:
    found = sample_outputs(Echo(), images)
    assert found is not None
    masks = torch.from_numpy(images.stored.masks)[:, :, :32]
    hit = torch.nn.functional.max_pool2d(masks[:, None].float(), 4) > 0
    assert found.defective.sum() == min(int(hit.sum()), LOCATIONS)
    assert (~found.defective).sum() == min(int((~hit).sum()), LOCATIONS)


def test_the_same_locations_are_drawn_each_time(images: Images) -> None:
    first, second = sample_outputs(Echo(), images), sample_outputs(Echo(), images)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.teacher, second.teacher)


def test_a_method_that_shows_none_has_none(images: Images) -> None:
    assert sample_outputs(Method(), images) is None
