"""Measures of resampled images: equal to those of the images that were drawn."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from metrics import (
    MEASURES,
    MeasureInputs,
    Measures,
    Replicates,
    bootstrap,
    count_pixels,
    evaluate,
    resamples,
)

SIDE, RESAMPLED = 24, 25
POLICIES = ("f1_image", "dice_max")
#: Measures that are exact on every resample, whatever the thresholds.
EXACT = (
    *("image_auroc", "image_ap", "image_f1", "image_precision", "image_recall", "pg2", "pb2"),
    *("dice", "dice_image", "iou"),
)


class Set:
    """A made-up test set of 5 normal and 9 anomalous images, with ties."""

    def __init__(self, decimals: int = 1) -> None:
        rng = np.random.default_rng(0)
        self.masks = np.zeros((14, SIDE, SIDE), bool)
        for image in range(5, 14):
            top, left = rng.integers(0, 14, 2)
            self.masks[image, top : top + rng.integers(2, 9), left : left + rng.integers(2, 9)] = True
            self.masks[image, 22, 20 : 20 + image % 4] = True
        noise = rng.normal(size=self.masks.shape) + rng.normal(size=(14, 1, 1)) / 2
        self.maps = (noise + 1.2 * self.masks).round(decimals).astype(np.float32)
        self.labels = np.arange(14) >= 5
        self.scores = self.maps.mean(axis=(1, 2)).astype(np.float64).round(2)
        self.map_max = self.maps.max(axis=(1, 2))

    def measures(self, policy: str = "f1_image", masks: bool = True) -> Measures:
        truth = self.masks if masks else None
        return evaluate(self.maps, truth, self.labels, self.scores, threshold_policy=policy)

    def bootstrap(
        self, measures: Measures, policy: str = "f1_image", replicates: int = RESAMPLED
    ) -> Replicates:
        given = (measures, self.maps, self.labels, self.scores, self.map_max)
        return bootstrap(*given, threshold_policy=policy, replicates=replicates, seed=1)

    def drawn(self) -> list[NDArray[np.intp]]:
        """Return the positions of the images of each resample."""
        weights = np.concatenate([*resamples(self.labels, RESAMPLED, seed=1)]).astype(int)
        return [np.repeat(np.arange(14), own) for own in weights]

    def measured(self, name: str, images: NDArray[np.intp], measures: Measures, policy: str) -> float:
        """Measure resampled images as a test set of their own, at the thresholds of the whole one."""
        judged = self.map_max if policy == "dice_max" else self.scores
        maps, masks = self.maps[images], self.masks[images]
        return MEASURES[name].compute(
            MeasureInputs(
                labels=self.labels[images],
                scores=self.scores[images],
                pixels=count_pixels(maps, masks, [measures.threshold]),
                maps=maps,
                masks=masks,
                fpr_limit=0.3,
                threshold=measures.threshold,
                image_threshold=measures.image_threshold,
                judged_scores=judged[images],
            )
        )


@pytest.fixture(scope="module")
def made() -> Set:
    return Set()


@pytest.mark.parametrize("policy", POLICIES)
def test_each_replicate_is_the_measure_of_the_resampled_images(made: Set, policy: str) -> None:
    """With scores of one decimal all of them are thresholds, so that no measure is approximate."""
    measures = made.measures(policy)
    found = made.bootstrap(measures, policy)
    assert {*found.values} == {*measures.values}
    for name, values in found.values.items():
        expected = [made.measured(name, images, measures, policy) for images in made.drawn()]
        assert values == pytest.approx(expected, abs=1e-6, nan_ok=True), name


def test_image_measures_agree_with_scikit_learn(made: Set) -> None:
    measures = made.measures()
    found = made.bootstrap(measures)
    for i, images in enumerate(made.drawn()):
        labels, scores = made.labels[images], made.scores[images]
        judged = scores >= measures.image_threshold
        expected = {
            "image_auroc": sk.roc_auc_score(labels, scores),
            "image_ap": sk.average_precision_score(labels, scores),
            "image_f1": sk.f1_score(labels, judged),
            "image_precision": sk.precision_score(labels, judged),
            "image_recall": sk.recall_score(labels, judged),
        }
        assert {name: found.values[name][i] for name in expected} == pytest.approx(expected, abs=1e-6)
        (_, alarms), (misses, _) = sk.confusion_matrix(labels, judged)
        assert (found.misses["f1_image"][i], found.false_alarms["f1_image"][i]) == (misses, alarms)


def test_between_thresholds_pixel_measures_differ_by_little_of_their_deviation() -> None:
    made = Set(decimals=7)
    measures = made.measures()
    found = made.bootstrap(measures)
    for name, values in found.values.items():
        expected = np.array([made.measured(name, images, measures, "f1_image") for images in made.drawn()])
        allowed = 1e-6 if name in EXACT else 0.05 * np.nanstd(expected)
        assert values == pytest.approx(expected, abs=allowed, nan_ok=True), name


def test_resamples_keep_the_numbers_of_both_classes_and_depend_on_the_seed_alone() -> None:
    labels = np.arange(50) % 5 == 0
    first, again, other = (np.concatenate([*resamples(labels, 400, seed)]) for seed in (0, 0, 2**120))
    assert first.shape == (400, 50)
    assert (first[:, labels].sum(axis=1) == 10).all()
    assert (first[:, ~labels].sum(axis=1) == 40).all()
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.mean(axis=0) == pytest.approx(np.ones(50), abs=0.25)
    assert np.var(first) == pytest.approx(1 - 1 / 40, abs=0.1)  # as that of multinomial numbers


def test_maps_in_a_file_give_the_same(made: Set, tmp_path: Path) -> None:
    np.save(tmp_path / "maps.npy", made.maps)
    measures, in_memory = made.measures(), made.maps
    expected = made.bootstrap(measures)
    on_disk = np.load(tmp_path / "maps.npy", mmap_mode="r")
    given = (measures, on_disk, made.labels, made.scores, made.map_max)
    found = bootstrap(*given, threshold_policy="f1_image", replicates=RESAMPLED, seed=1)
    for name, values in expected.values.items():
        assert np.array_equal(found.values[name], values, equal_nan=True)
    assert in_memory is made.maps


def test_images_without_ground_truth_are_left_out_of_pixel_measures_alone(made: Set) -> None:
    has_truth = np.arange(14) != 7
    masks = made.masks & has_truth[:, None, None]
    measures = evaluate(made.maps, masks, made.labels, made.scores, has_truth=has_truth)
    given = (measures, made.maps, made.labels, made.scores, made.map_max)
    options = {"threshold_policy": "f1_image", "replicates": RESAMPLED, "seed": 1}
    found = bootstrap(*given, has_truth=has_truth, **options)  # type: ignore[arg-type]
    drawn = [images[has_truth[images]] for images in made.drawn()]
    expected = [made.measured("dice", images, measures, "f1_image") for images in drawn]
    assert found.values["dice"] == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(found.values["image_auroc"], made.bootstrap(made.measures()).values["image_auroc"])


def test_without_masks_or_with_one_class_only_what_is_defined_is_resampled(made: Set) -> None:
    without = made.bootstrap(made.measures(masks=False))
    assert {MEASURES[name].level for name in without.values} == {"image"}
    assert "dice_max" not in without.misses
    normal = evaluate(made.maps[:5], made.masks[:5], made.labels[:5], made.scores[:5])
    given = (normal, made.maps[:5], made.labels[:5], made.scores[:5], made.map_max[:5])
    nothing = bootstrap(*given, threshold_policy="f1_image", replicates=3, seed=0)
    assert nothing == Replicates({}, {}, {})
