"""Regions are 8-connected components of one mask, pooled over all masks."""

import numpy as np

from metrics import region_areas
from tests.metrics.reference import random_test_set, regions_of


def test_areas_follow_the_order_of_the_defective_pixels() -> None:
    _, masks = random_test_set(0, images=7)
    expected = np.zeros(masks.shape, int)
    regions = regions_of(masks)
    for region in regions:
        for pixel in region:
            expected[pixel] = len(region)
    area, count = region_areas(masks)
    assert count == len(regions)
    np.testing.assert_array_equal(area, expected[masks])


def test_two_regions_touching_diagonally_are_one() -> None:
    masks = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 0]]], bool)
    area, count = region_areas(masks)
    assert count == 1
    assert area.tolist() == [2, 2]


def test_regions_of_neighbouring_images_stay_apart() -> None:
    masks = np.ones((2, 2, 2), bool)
    area, count = region_areas(masks)
    assert count == 2
    assert area.tolist() == [4] * 8


def test_no_defective_pixel_gives_no_region() -> None:
    area, count = region_areas(np.zeros((3, 4, 4), bool))
    assert count == 0
    assert area.size == 0
