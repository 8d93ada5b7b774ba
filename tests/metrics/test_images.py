"""The image measures equal scikit-learn, and the threshold is the best of the image scores."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from metrics import MetricError, best_f1_threshold, image_ap, image_auroc, image_f1

LabelsAndScores = tuple[NDArray[np.bool_], NDArray[np.floating]]


@pytest.fixture(params=[None, 3, 10], ids=["distinct scores", "three levels", "ten levels"])
def labels_and_scores(request: pytest.FixtureRequest) -> LabelsAndScores:
    rng = np.random.default_rng(0)
    labels = rng.random(60) < 0.6
    scores = rng.normal(size=60) + labels
    return labels, scores if request.param is None else np.round(scores * request.param / 4)


def test_measures_equal_scikit_learn(labels_and_scores: LabelsAndScores) -> None:
    labels, scores = labels_and_scores
    assert image_auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert image_ap(labels, scores) == pytest.approx(average_precision_score(labels, scores))
    assert image_f1(labels, scores, 0.5) == pytest.approx(f1_score(labels, scores >= 0.5))


def test_the_threshold_is_the_highest_of_the_best(labels_and_scores: LabelsAndScores) -> None:
    labels, scores = labels_and_scores
    expected = max((f1_score(labels, scores >= threshold), threshold) for threshold in scores)
    threshold = best_f1_threshold(labels, scores)
    assert (image_f1(labels, scores, threshold), threshold) == pytest.approx(expected)


def test_among_equally_good_thresholds_the_highest_is_taken() -> None:
    # One true of one found, or two true of four found: F1 is 2/3 both times.
    labels, scores = [1, 0, 0, 1], [4.0, 3.0, 2.0, 1.0]
    assert image_f1(labels, scores, 4.0) == image_f1(labels, scores, 1.0)
    assert best_f1_threshold(labels, scores) == 4.0


@pytest.mark.parametrize("label", [0, 1], ids=["only normal images", "only defective images"])
def test_one_class_is_undefined(label: int) -> None:
    labels, scores = np.full(4, label), np.arange(4.0)
    values = [
        image_auroc(labels, scores),
        image_ap(labels, scores),
        image_f1(labels, scores, 1.0),
        best_f1_threshold(labels, scores),
    ]
    assert np.isnan(values).all()


def test_an_undefined_threshold_gives_an_undefined_f1() -> None:
    assert np.isnan(image_f1([0, 1], [0.0, 1.0], np.nan))


def test_the_threshold_of_float32_scores_finds_its_own_image() -> None:
    scores = np.array([0.1, 0.3], np.float32)
    assert image_f1([0, 1], scores, best_f1_threshold([0, 1], scores)) == 1
    assert image_f1([0, 1], scores, float(scores[1]) + 1e-12) == 0


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.0, np.nan], "scores: found NaN or infinity in 1 of 2 values"),
        ([0, 1], [0.0, np.inf], "scores: found NaN or infinity in 1 of 2 values"),
        ([0, 1], [[0.0, 1.0]], r"scores: found shape \(1, 2\); accepted is \(N,\)"),
        ([0, 1, 1], [0.0, 1.0], r"labels: found shape \(3,\); accepted is \(2,\)"),
        ([0, 2], [0.0, 1.0], "labels: found the value .*2.*; accepted are booleans"),
    ],
)
def test_what_cannot_be_measured_is_refused(labels: list[int], scores: list[float], message: str) -> None:
    for measure in (image_auroc, image_ap, best_f1_threshold):
        with pytest.raises(MetricError, match=message):
            measure(labels, scores)
