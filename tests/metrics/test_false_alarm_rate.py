"""False alarms at a limit of misses, against scikit-learn's ROC and a search over all thresholds."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from metrics import MetricError, false_alarm_rate


@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_lowest_rate_of_all_thresholds_that_keep_the_limit(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.random(random.integers(2, 200)) < 0.4
    labels[:2] = False, True
    scores = np.round(random.normal(labels, 1), random.integers(0, 3))  # ties
    misses = float(random.choice([0.01, 0.02, 0.1, 0.5, 1.0]))
    thresholds = [*np.unique(scores), np.inf]
    rates = [(np.mean(scores[labels] < t), np.mean(scores[~labels] >= t)) for t in thresholds]
    assert false_alarm_rate(labels, scores, misses) == min(
        false for missed, false in rates if missed <= misses + 1e-9
    )
    false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
    expected = false_positive[true_positive >= 1 - misses - 1e-9].min()
    assert false_alarm_rate(labels, scores, misses) == pytest.approx(expected, abs=1e-12)


def test_one_image_of_fifty_may_be_missed() -> None:
    labels = np.repeat([0, 1], 50)
    scores = np.r_[np.zeros(50), -1, np.ones(49)]
    assert false_alarm_rate(labels, scores, 0.02) == 0
    assert false_alarm_rate(labels, scores, 0.019) == 1


def test_it_is_undefined_for_one_class() -> None:
    assert np.isnan(false_alarm_rate([1, 1], [0.1, 0.2]))


@pytest.mark.parametrize("misses", [0, -1, 1.5, np.nan])
def test_a_limit_out_of_range_is_refused(misses: float) -> None:
    with pytest.raises(MetricError, match="misses"):
        false_alarm_rate([0, 1], [0.1, 0.2], misses)
