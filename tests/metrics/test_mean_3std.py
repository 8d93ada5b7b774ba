"""Thresholds three standard deviations above the mean of held-out scores and pixels."""

import numpy as np
import pytest

from metrics import MetricError, evaluate, mean_3std_thresholds
from metrics.slices import SLICE_PIXELS
from tests.metrics.reference import random_test_set


@pytest.mark.parametrize("images", [1, 3, 2 * SLICE_PIXELS // 300**2])
def test_they_are_those_of_all_pixels_at_once_and_of_the_scores(images: int) -> None:
    random = np.random.default_rng(0)
    maps = random.normal(1e4, 1, (images, 300, 300)).astype(np.float32)
    scores = random.normal(size=images)
    expected = (maps.mean(dtype=float) + 3 * maps.std(dtype=float), scores.mean() + 3 * scores.std())
    assert mean_3std_thresholds(scores, maps) == pytest.approx(expected, rel=1e-9)


def test_pixels_and_images_are_judged_by_their_own() -> None:
    maps, masks = random_test_set(1, images=12)
    labels, held_out = masks.any(axis=(1, 2)), random_test_set(2)[0]
    scores = held_out.max(axis=(1, 2))
    measured = evaluate(
        *(maps, masks, labels, maps.max(axis=(1, 2))),
        threshold_policy="mean_3std",
        validation_scores=scores,
        validation_maps=held_out,
    )
    assert (measured.threshold, measured.image_threshold) == mean_3std_thresholds(scores, held_out)


def test_where_squares_exceed_the_largest_number_there_is_no_threshold() -> None:
    pixel, image = mean_3std_thresholds([-1e300, 1e300], np.zeros((2, 1, 1)))
    assert (pixel, np.isnan(image)) == (0, True)


@pytest.mark.parametrize("scores", [[], [1.0]])
def test_it_needs_a_map_for_every_score(scores: list[float]) -> None:
    with pytest.raises(MetricError, match="validation_maps: found 0 maps"):
        mean_3std_thresholds(scores, np.empty((0, 2, 2)))
