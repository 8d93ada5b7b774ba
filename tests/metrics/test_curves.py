"""The curves go through the points of the full curves, and the areas below them are the measures."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from metrics import (
    count_pixels,
    image_roc,
    overlaps_at,
    pixel_auroc,
    pixel_roc,
    pro,
    pro_curve,
    pro_of_regions,
)
from tests.metrics import reference

LEVELS = pytest.mark.parametrize("levels", [None, 2, 5, 40])
SEEDS = pytest.mark.parametrize("seed", range(3))


def test_the_image_roc_encloses_image_auroc() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 50)
    scores = np.round(rng.normal(size=50) + labels, 1)
    false, true = image_roc(labels, scores)
    assert np.trapezoid(true, false) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_images_of_one_class_have_no_roc() -> None:
    assert image_roc([1, 1], [0.1, 0.2])[0].size == 0


@LEVELS
@SEEDS
def test_the_pixel_roc_goes_through_the_corners_of_scikit_learns(seed: int, levels: int | None) -> None:
    maps, masks = reference.random_test_set(seed, levels=levels)
    false, true, _ = roc_curve(masks.ravel(), maps.ravel(), drop_intermediate=False)
    last = np.append(false[1:] > false[:-1], True)  # the upper end of a vertical step
    found = pixel_roc(count_pixels(maps, masks), false[last])
    np.testing.assert_allclose(found, true[last], atol=1e-12)


@LEVELS
@SEEDS
def test_the_pro_curve_goes_through_every_threshold(seed: int, levels: int | None) -> None:
    maps, masks = reference.random_test_set(seed, levels=levels)
    regions = reference.regions_of(masks)
    highest: dict[float, float] = {}
    for threshold in np.unique(maps)[::-1]:
        rate, overlap = reference.rate_and_overlap(maps >= threshold, masks, regions)
        highest[rate] = overlap  # a later one at the same rate lies higher
    found = pro_curve(count_pixels(maps, masks), list(highest))
    np.testing.assert_allclose(found, list(highest.values()), atol=1e-12)


@LEVELS
def test_the_curves_enclose_the_measures(levels: int | None) -> None:
    maps, masks = reference.random_test_set(5, levels=levels)
    pixels = count_pixels(maps, masks)
    rates = np.linspace(0, 1, 200_001)
    assert np.trapezoid(pixel_roc(pixels, rates), rates) == pytest.approx(pixel_auroc(pixels), abs=1e-5)
    area = np.trapezoid(pro_curve(pixels, 0.3 * rates), rates)
    assert area == pytest.approx(pro(pixels), abs=1e-5)


@LEVELS
@SEEDS
def test_the_mean_over_regions_is_pro(seed: int, levels: int | None) -> None:
    maps, masks = reference.random_test_set(seed, levels=levels)
    pixels = count_pixels(maps, masks)
    assert pro_of_regions(pixels, 0.2).mean() == pytest.approx(pro(pixels, 0.2), abs=1e-12)


def test_each_region_has_the_pro_of_a_test_set_without_the_others() -> None:
    maps, masks = reference.random_test_set(2, levels=20)
    regions = reference.regions_of(masks)
    together = sorted(pro_of_regions(count_pixels(maps, masks)))
    alone = []
    for region in regions:
        only = np.zeros_like(masks)
        only[tuple(np.transpose(region))] = True
        counted = only | ~masks  # the other regions' pixels belong to neither class
        alone.append(pro(count_pixels(maps[counted][None, None], only[counted][None, None])))
    # one row of pixels may join a region's parts or split it, but its pixels and their ranks are the same
    np.testing.assert_allclose(together, sorted(alone), atol=1e-12)


def test_overlaps_at_a_threshold_equal_a_loop_over_regions() -> None:
    maps, masks = reference.random_test_set(3, levels=10)
    found = sorted(overlaps_at(count_pixels(maps, masks), 6.0))
    expected = sorted(
        float(np.mean([maps[pixel] >= 6.0 for pixel in region])) for region in reference.regions_of(masks)
    )
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_without_a_threshold_no_overlap_is_defined() -> None:
    maps, masks = reference.random_test_set(3)
    assert np.isnan(overlaps_at(count_pixels(maps, masks), np.nan)).all()


def test_without_anomalous_pixels_there_is_no_curve_and_no_region() -> None:
    pixels = count_pixels(np.zeros((1, 2, 2)), np.zeros((1, 2, 2), bool))
    assert np.isnan(pro_curve(pixels, [0.0, 0.5])).all()
    assert np.isnan(pixel_roc(pixels, [0.0, 0.5])).all()
    assert pro_of_regions(pixels).size == 0
