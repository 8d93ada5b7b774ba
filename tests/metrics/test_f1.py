"""F1 of images equals scikit-learn's, and its threshold is the best of the image scores."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from metrics import MetricError, best_f1_threshold, image_ap, image_auroc, image_f1, image_roc
from tests.metrics import reference

LEVELS = pytest.mark.parametrize("levels", [None, 3, 10])


@LEVELS
def test_f1_equals_scikit_learn(levels: int | None) -> None:
    labels, scores = reference.random_images(levels)
    assert image_f1(labels, scores, 0.5) == pytest.approx(f1_score(labels, scores >= 0.5))


@LEVELS
def test_the_threshold_is_the_highest_of_the_best(levels: int | None) -> None:
    labels, scores = reference.random_images(levels)
    expected = max((f1_score(labels, scores >= threshold), threshold) for threshold in scores)
    threshold = best_f1_threshold(labels, scores)
    assert (image_f1(labels, scores, threshold), threshold) == pytest.approx(expected)


def test_among_equally_good_thresholds_the_highest_is_taken() -> None:
    # One true of one found, or two true of four found: F1 is 2/3 both times.
    labels, scores = [1, 0, 0, 1], [4.0, 3.0, 2.0, 1.0]
    assert image_f1(labels, scores, 4.0) == image_f1(labels, scores, 1.0)
    assert best_f1_threshold(labels, scores) == 4.0


@pytest.mark.parametrize("label", [0, 1], ids=["only normal images", "only anomalous images"])
def test_one_class_is_undefined(label: int) -> None:
    labels, scores = np.full(4, label), np.arange(4.0)
    assert np.isnan([image_f1(labels, scores, 1.0), best_f1_threshold(labels, scores)]).all()


def test_an_undefined_threshold_gives_an_undefined_f1() -> None:
    assert np.isnan(image_f1([0, 1], [0.0, 1.0], np.nan))


def test_the_threshold_of_float32_scores_finds_its_own_image() -> None:
    scores = np.array([0.1, 0.3], np.float32)
    assert image_f1([0, 1], scores, best_f1_threshold([0, 1], scores)) == 1
    assert image_f1([0, 1], scores, float(scores[1]) + 1e-12) == 0


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.0, np.nan], "scores: found NaN or infinity in 1 of 2 values; expected finite"),
        ([0, 1], [0.0, np.inf], "scores: found NaN or infinity in 1 of 2 values"),
        ([0, 1], [[0.0, 1.0]], r"scores: found shape \(1, 2\); expected \(N,\)"),
        ([0, 1], [0j, 1j], "scores: found dtype complex128; expected real numbers"),
        ([0, 1, 1], [0.0, 1.0], r"labels: found shape \(3,\); expected \(2,\)"),
        ([0, 2], [0.0, 1.0], "labels: found the value .*2.*; expected booleans"),
    ],
)
def test_images_that_cannot_be_measured_are_refused(
    labels: list[int], scores: list[float], message: str
) -> None:
    for measure in (image_auroc, image_ap, best_f1_threshold, image_roc):
        with pytest.raises(MetricError, match=message):
            measure(labels, scores)
