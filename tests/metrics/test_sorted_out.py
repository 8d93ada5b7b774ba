"""PG and PB: what passes and what is found at a limit of errors, against scikit-learn's ROC and a search."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from metrics import MetricError, found_bad, passed_good


@pytest.mark.parametrize("seed", range(20))
def test_they_are_the_best_of_all_thresholds_that_keep_the_limit(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.random(random.integers(2, 200)) < 0.4
    labels[:2] = False, True
    scores = np.round(random.normal(labels, 1), random.integers(0, 3))  # ties
    limit = float(random.choice([0.01, 0.02, 0.1, 0.5, 1.0]))
    thresholds = [*np.unique(scores), np.inf]
    rates = [(np.mean(scores[labels] < t), np.mean(scores[~labels] >= t)) for t in thresholds]
    good = max(1 - false for missed, false in rates if missed <= limit + 1e-9)
    bad = max(1 - missed for missed, false in rates if false <= limit + 1e-9)
    assert passed_good(labels, scores, limit) == pytest.approx(good, abs=1e-12)
    assert found_bad(labels, scores, limit) == pytest.approx(bad, abs=1e-12)
    false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
    good = 1 - false_positive[true_positive >= 1 - limit - 1e-9].min()
    bad = true_positive[false_positive <= limit + 1e-9].max()
    assert passed_good(labels, scores, limit) == pytest.approx(good, abs=1e-12)
    assert found_bad(labels, scores, limit) == pytest.approx(bad, abs=1e-12)


def test_one_image_of_fifty_may_be_wrong() -> None:
    labels = np.repeat([0, 1], 50)
    missed = np.r_[np.zeros(50), -1, np.ones(49)]
    assert [passed_good(labels, missed, rate) for rate in (0.02, 0.019)] == [1, 0]
    alarmed = np.r_[np.zeros(49), 2, np.ones(50)]
    assert [found_bad(labels, alarmed, rate) for rate in (0.02, 0.019)] == [1, 0]


@pytest.mark.parametrize("measure", [passed_good, found_bad])
def test_they_are_undefined_for_one_class(measure: Callable[..., float]) -> None:
    assert np.isnan(measure([1, 1], [0.1, 0.2]))


@pytest.mark.parametrize("measure", [passed_good, found_bad])
@pytest.mark.parametrize("limit", [0, -1, 1.5, np.nan])
def test_a_limit_out_of_range_is_refused(measure: Callable[..., float], limit: float) -> None:
    with pytest.raises(MetricError, match=r"misses|false_alarms"):
        measure([0, 1], [0.1, 0.2], limit)
