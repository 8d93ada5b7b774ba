"""Signs of a training that ended too early: none in published schedules, all in 15 epochs of 17 images."""

import math
from itertools import accumulate, repeat

import numpy as np
import pytest

from store.doubts import (
    chance_auroc,
    chance_level,
    false_alarm_odds,
    few_images,
    pixel_chance_level,
    still_improving,
    too_few_steps,
)

# epochs and images per batch of the published schedules; half of those with a fraction of 0.2 held out
SCHEDULES = {
    "rd": (200, 16, 1.0),
    "rd_plus_plus": (200, 2 * 16, 1.0),  # a step on two batches
    "ast": (240, 8, 1.0),
    "dinomaly": (1250, 16, 1.0),  # 5000 steps
    "stfpm": (100, 32, 0.8),
    "feature_variance": (100, 32, 0.8),
    "simple_student": (100, 32, 0.8),
    "uninformed_students": (100, 1, 0.8),
}
TOOTHBRUSH = 60  # train images of the smallest category of MVTec AD
# held-out values of STFPM with 17 images of MVTec AD's bottle: of the first 15 epochs, and of each fifth of the
# published 100
BEGINNING = [1.84, 2.1, 2.13, 2.24, 2.36, 2.4, 2.38, 2.3, 2.12, 1.96, 1.84, 1.71, 1.6, 1.46, 1.36]
PUBLISHED = [
    *(1.84, 2.4, 1.84, 1.24, 0.812, 0.348, 0.154, 0.0743, 0.141, 0.0283, 0.0211, 0.0137),
    *(0.0138, 0.0105, 0.0106, 0.0276, 0.0245, 0.0197, 0.0181, 0.0129),
]


@pytest.mark.parametrize("method", SCHEDULES)
def test_published_schedules_take_enough_steps_on_the_smallest_category(method: str) -> None:
    epochs, batch_size, share = SCHEDULES[method]
    assert not too_few_steps(epochs * math.ceil(share * TOOTHBRUSH / batch_size))


def test_seventeen_images_are_fewer_than_those_of_any_published_category() -> None:
    assert few_images(17)
    assert not few_images(TOOTHBRUSH)


@pytest.mark.parametrize(("steps", "too_few"), [(15, True), (99, True), (100, False)])
def test_fewer_than_a_hundred_steps_are_too_few(steps: int, too_few: bool) -> None:
    assert too_few_steps(steps) == too_few


def power_law(epochs: int, exponent: float) -> list[float]:
    return [n**-exponent for n in range(1, epochs + 1)]


@pytest.mark.parametrize("exponent", [0.1, 0.5, 1, 3])
@pytest.mark.parametrize("epochs", [20, 100, 240])
def test_a_curve_that_falls_ever_more_slowly_has_ended(epochs: int, exponent: float) -> None:
    values = power_law(epochs, exponent)
    assert not still_improving(values, epochs)


def test_the_verdict_of_a_published_schedule_and_of_its_beginning() -> None:
    assert not still_improving(PUBLISHED, len(PUBLISHED))
    assert still_improving(BEGINNING, len(BEGINNING))


@pytest.mark.parametrize("epochs", [5, 15, 100])
def test_a_straight_line_still_falls(epochs: int) -> None:
    assert still_improving([-float(n) for n in range(epochs)], epochs)


def test_the_verdict_depends_on_neither_unit_nor_sign() -> None:
    falling = list(accumulate(repeat(-1.0, 20)))
    ended = power_law(100, 0.5)
    for values, verdict in ((falling, True), (ended, False)):
        for scale, shift in ((1e-6, 0), (1e6, 3), (1, -1e3)):
            assert still_improving([scale * value + shift for value in values], len(values)) == verdict


def test_an_early_best_epoch_shows_that_more_were_of_no_use() -> None:
    falling = [10.0, 8, 6, 4, 2]
    assert still_improving(falling, 5)
    assert not still_improving(falling, 4)


@pytest.mark.parametrize("values", [[], [2.0], [4.0, 3, 2, 1], [1.0] * 20], ids=len)
def test_few_or_constant_values_allow_no_conclusion(values: list[float]) -> None:
    assert not still_improving(values, len(values))


@pytest.mark.parametrize(("positives", "negatives"), [(60, 20), (30, 12), (20, 100)])
def test_scores_without_information_exceed_the_limit_once_in_twenty_cases(
    positives: int, negatives: int
) -> None:
    ranks = np.random.default_rng(0).random((10_000, positives + negatives)).argsort(1) + 1
    statistics = ranks[:, :positives].sum(1) - positives * (positives + 1) / 2  # of Mann and Whitney
    share = np.mean(statistics / (positives * negatives) > chance_auroc(positives, negatives))
    assert share == pytest.approx(0.05, abs=0.01)


def test_without_one_of_the_two_kinds_there_is_no_limit() -> None:
    assert math.isnan(chance_auroc(0, 9))
    assert math.isnan(chance_auroc(9, 0))


@pytest.mark.parametrize(
    ("auroc", "limit", "verdict"),
    [
        (0.2, 0.62, "worse than chance"),
        (0.4999, 0.62, "worse than chance"),
        (0.5, 0.62, "no better than chance"),
        (0.62, 0.62, "no better than chance"),
        (0.63, 0.62, ""),
        (1.0, 1.0, ""),  # of two images each: nothing better is possible
        (math.nan, 0.62, ""),
        (0.7, math.nan, ""),
    ],
)
def test_verdicts_of_image_aurocs(auroc: float, limit: float, verdict: str) -> None:
    assert chance_level(auroc, limit) == verdict


@pytest.mark.parametrize(
    ("auroc", "verdict"),
    [
        *((0.3, "worse than chance"), (0.5, "close to chance"), (0.549, "close to chance")),
        *((0.7, ""), (1.0, ""), (math.nan, "")),
    ],
)
def test_verdicts_of_pixel_aurocs(auroc: float, verdict: str) -> None:
    assert pixel_chance_level(auroc) == verdict


@pytest.mark.parametrize("images", [2, 6, 40])
def test_a_normal_image_exceeds_the_largest_of_few_as_often_as_stated(images: int) -> None:
    scores = np.random.default_rng(0).random((20_000, images + 1))
    threshold = np.quantile(scores[:, 1:], 0.999, axis=1)
    share = np.mean(scores[:, 0] > threshold)
    assert share == pytest.approx(1 / false_alarm_odds(images, 0.999), abs=0.01)


@pytest.mark.parametrize(("images", "quantile"), [(0, 0.995), (202, 0.995), (6, 0.5), (6, 1.0)])
def test_enough_images_none_and_the_wish_for_their_maximum_are_no_reason_for_a_doubt(
    images: int, quantile: float
) -> None:
    assert false_alarm_odds(images, quantile) == 0
