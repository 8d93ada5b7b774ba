"""Pairs of teacher and student for a figure: drawn from both kinds, projected alike, background left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.data.batches import Images, as_batches
from benchmark.data.images import open_images_store
from benchmark.pairs import LOCATIONS, sample_pairs
from datasets.batch import Batch
from datasets.category import Category
from methods.method import Method
from tests.benchmark.conftest import CPU
from tests.methods.samples import IMAGENET

CHANNELS = 40


class Echo(Method):
    """Its teacher gives the pooled colours, its student 2 more in every channel; only the left half counts."""

    def teacher_student_pairs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor] | None:
        teacher = torch.nn.functional.adaptive_avg_pool2d(batch.image, 16).repeat(1, CHANNELS // 3 + 1, 1, 1)
        counts = torch.zeros(teacher[:, 0].shape, dtype=torch.bool)
        counts[..., :8] = True
        return teacher, teacher + 2, counts


@pytest.fixture
def images(washer: Category, tmp_path: Path) -> Images:
    return as_batches(open_images_store(washer, "test", 64, tmp_path), None, IMAGENET, CPU, 1.0)


def test_distances_are_those_of_all_channels(images: Images) -> None:
    found = sample_pairs(Echo(), images)
    assert found is not None
    np.testing.assert_allclose(found.distance, 4, rtol=1e-5)


def test_the_projection_is_orthographic(images: Images) -> None:
    """One shift in all channels is one shift in the plane, and no longer than in space."""
    found = sample_pairs(Echo(), images)
    assert found is not None
    shifts = found.student - found.teacher
    np.testing.assert_allclose(shifts, np.broadcast_to(shifts[0], shifts.shape), atol=1e-4)
    assert 0 < np.linalg.norm(shifts[0]) <= 2 * np.sqrt(42) + 1e-4


def test_both_kinds_are_drawn_from_the_locations_that_count(images: Images) -> None:
    found = sample_pairs(Echo(), images)
    assert found is not None
    masks = torch.tensor(images.stored.masks)[:, :, :32]
    hit = torch.nn.functional.max_pool2d(masks[:, None].float(), 4) > 0
    assert found.anomalous.sum() == min(int(hit.sum()), LOCATIONS)
    assert (~found.anomalous).sum() == min(int((~hit).sum()), LOCATIONS)


def test_images_without_ground_truth_are_left_out(images: Images) -> None:
    """Their anomalous pixels would count as normal ones."""
    without = [replace(sample, mask=None) for sample in images.samples]
    anomalous = [i for i, sample in enumerate(without) if sample.label]
    kept, *left_out = anomalous
    samples = tuple(images.samples[i] if i == kept else sample for i, sample in enumerate(without))
    partial = sample_pairs(Echo(), replace(images, stored=replace(images.stored, samples=samples)))
    indices = torch.tensor([i for i in range(len(images)) if i not in left_out])
    alone = sample_pairs(Echo(), replace(images, indices=indices))
    assert partial is not None
    assert alone is not None
    np.testing.assert_array_equal(partial.teacher, alone.teacher)
    np.testing.assert_array_equal(partial.anomalous, alone.anomalous)


def test_the_same_locations_are_drawn_each_time(images: Images) -> None:
    first, second = sample_pairs(Echo(), images), sample_pairs(Echo(), images)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.teacher, second.teacher)


def test_there_are_none_without_pairs_of_the_method_or_ground_truth(images: Images) -> None:
    assert sample_pairs(Method(), images) is None
    assert sample_pairs(Echo(), replace(images, stored=replace(images.stored, masks=None))) is None
