"""Intervals: their form, and how often they cover the truth on simulated scores."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from metrics import interval, interval_of_difference, resamples
from metrics.bootstrap_images import ImageResampler

RESAMPLES = 1000


class Simulated:
    """Test sets whose scores have normal distributions, so that their true AUROC is known."""

    def __init__(self, normal: int, anomalous: int) -> None:
        self.rng = np.random.default_rng(0)
        self.labels = np.arange(normal + anomalous) >= normal
        self.images = min(normal, anomalous)
        self.weights = np.concatenate([*resamples(self.labels, RESAMPLES, seed=0)])

    def measured(self, noise: NDArray[np.float64], auroc: float) -> tuple[float, NDArray[np.float64]]:
        """Return the AUROC of scores with this noise and this true AUROC, and that of each resample."""
        scores = self.scores(noise, auroc)
        pairs = (scores[self.labels, None] > scores[None, ~self.labels]).astype(
            float
        )  # 1 where ranked correctly
        drawn = self.weights[:, self.labels] @ pairs * self.weights[:, ~self.labels]
        return float(pairs.mean()), drawn.sum(axis=1) / pairs.size

    def scores(self, noise: NDArray[np.float64], auroc: float) -> NDArray[np.float64]:
        return noise + math.sqrt(2) * norm.ppf(auroc) * self.labels

    def coverage(self, auroc: float, simulations: int) -> float:
        """Return how often the interval of an AUROC covers the true one."""
        covered = 0
        for _ in range(simulations):
            found = interval(*self.measured(self.rng.normal(size=self.labels.size), auroc), self.images)
            covered += found is not None and found[0] <= auroc <= found[1]
        return covered / simulations

    def coverage_of_difference(self, first: float, second: float, simulations: int) -> float:
        """Return how often the paired interval covers the true difference of two methods whose scores correlate."""
        covered = 0
        for _ in range(simulations):
            shared, *own = self.rng.normal(size=(3, self.labels.size))
            (a, of_a), (b, of_b) = (
                self.measured(0.8 * shared + 0.6 * noise, auroc)
                for noise, auroc in zip(own, (first, second), strict=True)
            )
            found = interval_of_difference(a - b, of_a - of_b, self.images)
            covered += found is not None and found[0] <= first - second <= found[1]
        return covered / simulations


def test_the_resamples_of_a_simulation_are_those_of_a_test_set() -> None:
    simulated = Simulated(20, 60)
    noise = simulated.rng.normal(size=80)
    resampler = ImageResampler.of(simulated.labels, simulated.scores(noise, 0.9), None)
    _, expected = simulated.measured(noise, 0.9)
    assert resampler.measures(simulated.weights)["image_auroc"] == pytest.approx(expected)


def test_it_covers_the_true_auroc_in_95_of_100_cases() -> None:
    assert 0.93 <= Simulated(100, 100).coverage(0.9, 1000) <= 0.97


def test_the_paired_interval_covers_the_true_difference() -> None:
    assert 0.93 <= Simulated(100, 100).coverage_of_difference(0.9, 0.85, 500) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("auroc", [0.7, 0.8, 0.9, 0.95])
@pytest.mark.parametrize(("normal", "anomalous"), [(100, 100), (20, 60), (60, 60), (20, 20)])
def test_it_covers_the_true_auroc_at_the_sizes_of_published_test_sets(
    normal: int, anomalous: int, auroc: float
) -> None:
    assert 0.93 <= Simulated(normal, anomalous).coverage(auroc, 2000) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("normal", "anomalous"), [(100, 100), (20, 60)])
def test_the_paired_interval_covers_the_true_difference_at_these_sizes(normal: int, anomalous: int) -> None:
    assert 0.93 <= Simulated(normal, anomalous).coverage_of_difference(0.9, 0.85, 2000) <= 0.97


def test_it_lies_between_0_and_1_around_the_value_and_is_longer_away_from_the_nearer_end() -> None:
    replicates = np.random.default_rng(0).normal(0.98, 0.01, 1000).clip(0, 1)
    found = interval(0.98, replicates, images=20)
    assert found is not None
    low, high = found
    assert 0 < low < 0.98 < high < 1
    assert 0.98 - low > high - 0.98


def test_fewer_images_make_it_longer_and_more_categories_shorter() -> None:
    replicates = np.random.default_rng(0).normal(0.9, 0.02, 1000)
    lengths = []
    for images, categories in ((10, 1), (100, 1), (100, 5)):
        found = interval_of_difference(0.1, replicates, images, categories)
        assert found is not None
        lengths.append(found[1] - found[0])
    assert lengths[0] > lengths[2] > lengths[1] > 2 * 1.9 * 0.02


def test_there_is_none_where_resamples_do_not_tell() -> None:
    alike, different = np.ones(100, np.float32), np.linspace(0.8, 0.9, 100)
    assert interval(1.0, alike, images=20) is None
    assert interval(0.85, different, images=1) is None
    assert interval(math.nan, different, images=20) is None
    assert interval(0.85, np.full(100, np.nan), images=20) is None
    assert interval_of_difference(0.0, alike - alike, images=20) is None
    assert interval_of_difference(math.nan, different, images=20) is None


def test_resamples_on_which_a_measure_is_undefined_are_left_out() -> None:
    replicates = np.linspace(0.8, 0.9, 100)
    with_nan = np.append(replicates, [np.nan] * 5)
    assert interval(0.85, with_nan, images=20) == interval(0.85, replicates, images=20)
