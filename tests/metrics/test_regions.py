"""Regions are 8-connected components of one mask, pooled over all masks."""

import numpy as np

from metrics import find_regions
from tests.metrics.reference import random_test_set, regions_of


def test_areas_follow_the_order_of_the_anomalous_pixels() -> None:
    _, masks = random_test_set(0, images=7)
    expected = np.zeros(masks.shape, int)
    regions = regions_of(masks)
    for region in regions:
        for pixel in region:
            expected[pixel] = len(region)
    found = find_regions(masks)
    assert found.areas.size == len(regions)
    np.testing.assert_array_equal(found.areas[found.pixels], expected[masks])


def test_each_region_lies_in_one_image() -> None:
    _, masks = random_test_set(1, images=7)
    found = find_regions(masks)
    image_of_pixel = np.broadcast_to(np.arange(7)[:, None, None], masks.shape)[masks]
    np.testing.assert_array_equal(found.images[found.pixels], image_of_pixel)


def test_two_regions_touching_diagonally_are_one() -> None:
    masks = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 0]]], bool)
    found = find_regions(masks)
    assert found.areas.tolist() == [2]
    assert found.pixels.tolist() == [0, 0]


def test_regions_of_neighbouring_images_stay_apart() -> None:
    masks = np.ones((2, 2, 2), bool)
    found = find_regions(masks)
    assert found.areas.tolist() == [4, 4]
    assert found.images.tolist() == [0, 1]


def test_no_anomalous_pixel_gives_no_region() -> None:
    found = find_regions(np.zeros((3, 4, 4), bool))
    assert found.areas.size == found.pixels.size == found.images.size == 0
