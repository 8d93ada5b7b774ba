"""AUROC of images and pixels equals scikit-learn's, ties included."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from metrics import count_pixels, image_auroc, pixel_auroc
from tests.metrics import reference

LEVELS = pytest.mark.parametrize("levels", [None, 2, 5, 40])


@LEVELS
@pytest.mark.parametrize("seed", range(4))
def test_pixels_equal_scikit_learn(seed: int, levels: int | None) -> None:
    maps, masks = reference.random_test_set(seed, levels=levels)
    expected = roc_auc_score(masks.ravel(), maps.ravel())
    assert pixel_auroc(count_pixels(maps, masks)) == pytest.approx(expected, abs=1e-12)


@LEVELS
def test_images_equal_scikit_learn(levels: int | None) -> None:
    labels, scores = reference.random_images(levels)
    assert image_auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_known_answers() -> None:
    _, masks = reference.random_test_set(0)
    perfect = masks.astype(float)
    for maps, expected in ((perfect, 1.0), (-perfect, 0.0), (0 * perfect, 0.5)):
        assert pixel_auroc(count_pixels(maps, masks)) == expected


@pytest.mark.parametrize("value", [0, 1])
def test_one_class_is_undefined(value: int) -> None:
    assert np.isnan(image_auroc([value, value], [0.0, 1.0]))
    assert np.isnan(pixel_auroc(count_pixels([[[0.0, 1.0]]], [[[value, value]]])))
