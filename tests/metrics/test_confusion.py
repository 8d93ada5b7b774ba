"""Verdicts on images, their precision, recall and F1 equal scikit-learn's, and undefined ratios are NaN."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

from metrics import Confusion, MetricError, count_verdicts, image_f1, image_precision, image_recall
from tests.metrics import reference

SCORERS: dict[Callable[..., float], Callable[..., float]] = {
    image_precision: precision_score,
    image_recall: recall_score,
    image_f1: f1_score,
}
THRESHOLDS = pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])


@THRESHOLDS
@pytest.mark.parametrize("levels", [None, 3, 10])
def test_verdicts_and_their_ratios_are_those_of_scikit_learn(levels: int | None, threshold: float) -> None:
    labels, scores = reference.random_images(levels)
    judged = scores >= threshold
    (correct_rejections, false_alarms), (misses, hits) = confusion_matrix(labels, judged).tolist()
    confusion = count_verdicts(labels, scores, threshold)
    assert confusion == Confusion(hits, misses, false_alarms, correct_rejections)
    for ours, theirs in SCORERS.items():
        assert ours(labels, scores, threshold) == pytest.approx(theirs(labels, judged), abs=1e-12)
    ratios = (confusion.precision, confusion.recall, confusion.f1)
    assert ratios == tuple(measure(labels, scores, threshold) for measure in SCORERS)


def test_the_sum_of_verdicts_is_that_of_all_images() -> None:
    labels, scores = reference.random_images(10)
    parts = [count_verdicts(labels[half], scores[half], 0.5) for half in (slice(20), slice(20, None))]
    assert parts[0] + parts[1] == count_verdicts(labels, scores, 0.5)


@pytest.mark.parametrize("label", [0, 1], ids=["only normal images", "only anomalous images"])
def test_verdicts_on_one_class_are_counted_but_no_measure_is_defined(label: int) -> None:
    labels, scores = np.full(4, label), np.arange(4.0)
    expected = Confusion(3, 1, 0, 0) if label else Confusion(0, 0, 3, 1)
    assert count_verdicts(labels, scores, 1.0) == expected
    assert np.isnan([measure(labels, scores, 1.0) for measure in SCORERS]).all()


def test_without_any_image_judged_anomalous_precision_is_undefined_and_recall_zero() -> None:
    labels, scores = [0, 1], [0.0, 1.0]
    assert np.isnan(image_precision(labels, scores, 2.0))
    assert image_recall(labels, scores, 2.0) == image_f1(labels, scores, 2.0) == 0


def test_an_undefined_threshold_gives_undefined_measures() -> None:
    assert np.isnan([measure([0, 1], [0.0, 1.0], np.nan) for measure in SCORERS]).all()


def test_the_threshold_is_compared_in_the_precision_of_the_scores() -> None:
    scores = np.array([0.1, 0.3], np.float32)
    assert count_verdicts([0, 1], scores, float(scores[1])).hits == 1
    assert count_verdicts([0, 1], scores, float(scores[1]) + 1e-12).hits == 0


def test_images_that_cannot_be_judged_are_refused() -> None:
    measures: list[Callable[..., object]] = [*SCORERS, count_verdicts]
    for measure in measures:
        with pytest.raises(MetricError, match="scores: found NaN or infinity in 1 of 2 values"):
            measure([0, 1], [0.0, np.nan], 0.5)
