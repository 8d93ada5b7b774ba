"""IoU of all pixels, by counting and by its relation to Dice."""

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from metrics import count_pixels, dice, iou
from tests.metrics.reference import random_test_set


@pytest.mark.parametrize("levels", [None, 5])
def test_it_is_that_of_scikit_learn_and_follows_from_dice(levels: int | None) -> None:
    maps, masks = random_test_set(0, levels=levels)
    for threshold in np.quantile(maps, [0, 0.3, 0.9, 1]).tolist():
        pixels = count_pixels(maps, masks, [threshold])
        assert iou(pixels, threshold) == pytest.approx(
            jaccard_score(masks.ravel(), (maps >= threshold).ravel())
        )
        both = dice(pixels, threshold)
        assert iou(pixels, threshold) == pytest.approx(both / (2 - both))


def test_without_a_threshold_or_a_class_it_is_undefined() -> None:
    maps, masks = random_test_set(0)
    assert np.isnan(iou(count_pixels(maps, masks), np.nan))
    assert np.isnan(iou(count_pixels(maps, np.zeros_like(masks), [0.0]), 0.0))
