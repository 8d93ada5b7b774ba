"""One call gives every measure, a threshold by policy, and a cause for whatever is missing."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

import metrics
from metrics import MEASURES, PRO_VARIANTS, THRESHOLD_POLICIES, Measures, MetricError, evaluate
from tests.metrics.reference import random_test_set

AT_PIXEL_THRESHOLD = ["dice", "dice_image", "iou"]
PIXEL_MEASURES = {
    *("pixel_auroc", "pro", "pro_0.05", "pro_0.01", "aupimo", "dice_max", "pixel_ap"),
    *AT_PIXEL_THRESHOLD,
}
AT_IMAGE_THRESHOLD = ["image_f1", "image_precision", "image_recall"]
IMAGE_MEASURES = {"image_auroc", "image_ap", "pg2", "pb2", *AT_IMAGE_THRESHOLD}
HELD_OUT: dict[str, Any] = {
    "validation_scores": [1.0, 2.0],
    "validation_max": [1.0, 2.0],
    "validation_maps": [[[0.5, 1.0]], [[0.5, 2.0]]],
}
NEEDED = [("train_quantile", "validation_scores"), ("train_quantile", "validation_max")]
NEEDED += [("mean_3std", "validation_scores"), ("mean_3std", "validation_maps")]


@pytest.fixture
def arrays() -> dict[str, Any]:
    maps, masks = random_test_set(0, images=12, dtype=np.float32)
    return {"maps": maps, "masks": masks, "labels": masks.any(axis=(1, 2)), "scores": maps.max(axis=(1, 2))}


@pytest.fixture
def mean_scored(arrays: dict[str, Any]) -> dict[str, Any]:
    return {**arrays, "scores": arrays["maps"].mean(axis=(1, 2))}


def best_threshold(labels: ArrayLike, scores: NDArray[np.floating]) -> float:
    """Return the best threshold for the F1 of images, and the highest among equals, by trying every score."""
    return max((metrics.image_f1(labels, scores, float(score)), float(score)) for score in scores)[1]


def at_level(result: Measures, level: str) -> dict[str, float]:
    return {name: value for name, value in result.values.items() if MEASURES[name].level == level}


def test_values_are_those_of_the_single_measures(arrays: dict[str, Any]) -> None:
    maps, masks, labels, scores = arrays.values()
    result = evaluate(**arrays, fpr_limit=0.2, pro_variants=PRO_VARIANTS)
    pixels = metrics.count_pixels(maps, masks)
    assert result.threshold == result.image_threshold == metrics.best_f1_threshold(labels, scores)
    assert result.missing == {}
    assert result.values == {
        "image_auroc": metrics.image_auroc(labels, scores),
        "pixel_auroc": metrics.pixel_auroc(pixels),
        "pro": metrics.pro(pixels, 0.2),
        "pro_official_100": metrics.pro_official_100(pixels, 0.2),
        "pro_per_image_200": metrics.pro_per_image_200(maps, masks, 0.2),
        "pro_rescaled": metrics.pro_rescaled(pixels, 0.2),
        "pro_0.05": metrics.pro(pixels, 0.05),
        "pro_0.01": metrics.pro(pixels, 0.01),
        "aupimo": metrics.aupimo(maps, masks),
        "dice": metrics.dice(pixels, result.threshold),
        "dice_image": metrics.dice_image(maps, masks, result.threshold),
        "dice_max": metrics.dice_max(pixels)[0],
        "iou": metrics.iou(pixels, result.threshold),
        "pixel_ap": metrics.pixel_ap(pixels),
        "image_f1": metrics.image_f1(labels, scores, result.threshold),
        "image_precision": metrics.image_precision(labels, scores, result.threshold),
        "image_recall": metrics.image_recall(labels, scores, result.threshold),
        "image_ap": metrics.image_ap(labels, scores),
        "pg2": metrics.passed_good(labels, scores),
        "pb2": metrics.found_bad(labels, scores),
    }


def test_values_come_in_the_order_of_the_tables(arrays: dict[str, Any]) -> None:
    result = evaluate(**arrays, pro_variants=list(PRO_VARIANTS)[::-1])
    assert list(result.values) == list(MEASURES)


def test_only_the_requested_variants_are_computed(arrays: dict[str, Any]) -> None:
    result = evaluate(**arrays, pro_variants=["rescaled"])
    assert set(result.values) == {*PIXEL_MEASURES, *IMAGE_MEASURES, "pro_rescaled"}


@pytest.mark.parametrize("policy", ["f1_image", "dice_max", "train_quantile"])
def test_images_scored_by_their_maxima_share_the_threshold_of_pixels(
    arrays: dict[str, Any], policy: str
) -> None:
    result = evaluate(**arrays, threshold_policy=policy, **HELD_OUT)
    assert result.threshold == result.image_threshold
    assert result.values["image_f1"] == metrics.image_f1(arrays["labels"], arrays["scores"], result.threshold)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("levels", [None, 6])
def test_f1_image_finds_the_best_threshold_of_scores_and_that_of_maxima(
    seed: int, levels: int | None
) -> None:
    maps, masks = random_test_set(seed, images=12, levels=levels)
    labels, scores = masks.any(axis=(1, 2)), maps.mean(axis=(1, 2))
    result = evaluate(maps, masks, labels, scores)
    assert result.image_threshold == best_threshold(labels, scores)
    assert result.threshold == best_threshold(labels, maps.max(axis=(1, 2)))
    assert result.values["image_f1"] == metrics.image_f1(labels, scores, result.image_threshold)
    assert result.values["dice"] == metrics.dice(metrics.count_pixels(maps, masks), result.threshold)
    assert result.values["dice_image"] == metrics.dice_image(maps, masks, result.threshold)


@pytest.mark.parametrize("policy", THRESHOLD_POLICIES)
def test_pixel_measures_do_not_depend_on_image_scores(arrays: dict[str, Any], policy: str) -> None:
    options = {"threshold_policy": policy, **HELD_OUT}
    first = evaluate(**arrays, **options)
    for scores in (np.exp(arrays["scores"]), -arrays["scores"], np.zeros(12)):
        other = evaluate(**{**arrays, "scores": scores}, **options)
        assert other.threshold == first.threshold
        assert at_level(other, "pixel") == at_level(first, "pixel")


def test_a_monotone_map_of_scores_or_pixels_changes_thresholds_only(mean_scored: dict[str, Any]) -> None:
    first = evaluate(**mean_scored)
    scores = evaluate(**{**mean_scored, "scores": 4 * mean_scored["scores"]})
    assert scores.values == first.values
    assert (scores.image_threshold, scores.threshold) == (4 * first.image_threshold, first.threshold)
    pixels = evaluate(**{**mean_scored, "maps": 4 * mean_scored["maps"]})
    assert pixels.values == first.values
    assert (pixels.image_threshold, pixels.threshold) == (first.image_threshold, 4 * first.threshold)


def test_the_threshold_of_dice_max_reaches_the_largest_dice(arrays: dict[str, Any]) -> None:
    result = evaluate(**arrays, threshold_policy="dice_max")
    assert result.values["dice"] == result.values["dice_max"]
    assert result.threshold == result.dice_max_threshold == evaluate(**arrays).dice_max_threshold


def test_by_dice_max_an_image_is_anomalous_if_any_of_its_pixels_is(mean_scored: dict[str, Any]) -> None:
    maps, labels = mean_scored["maps"], mean_scored["labels"]
    result = evaluate(**mean_scored, threshold_policy="dice_max")
    assert result.image_threshold == result.threshold == result.dice_max_threshold
    any_pixel = (maps >= np.float64(result.threshold)).any(axis=(1, 2))
    assert result.values["image_f1"] == metrics.image_f1(labels, any_pixel.astype(float), 1.0)


def test_train_quantile_looks_at_train_images_only(arrays: dict[str, Any]) -> None:
    options: dict[str, Any] = {
        "threshold_policy": "train_quantile",
        "validation_scores": np.arange(101.0),
        "validation_max": np.arange(101.0) + 7,
        "quantile": 0.5,
    }
    for labels in (arrays["labels"], ~arrays["labels"]):
        result = evaluate(**{**arrays, "labels": labels}, **options)
        assert (result.image_threshold, result.threshold) == (50, 57)


def test_thresholds_are_those_of_every_policy_and_dice_is_known_at_each(arrays: dict[str, Any]) -> None:
    results = {
        policy: evaluate(**arrays, threshold_policy=policy, **HELD_OUT) for policy in THRESHOLD_POLICIES
    }
    expected = {name: (result.threshold, result.image_threshold) for name, result in results.items()}
    for result in results.values():
        assert result.thresholds == expected
        for policy, (threshold, _) in expected.items():
            assert metrics.dice(result.pixels, threshold) == results[policy].values["dice"]
        for policy, values in result.by_policy.items():
            assert set(values) == {*AT_PIXEL_THRESHOLD, *AT_IMAGE_THRESHOLD}
            assert values == {name: results[policy].values[name] for name in values}


@pytest.mark.parametrize(
    ("change", "defined"),
    [
        ({}, {"f1_image", "dice_max"}),
        ({"validation_scores": [1.0]}, {"f1_image", "dice_max"}),
        ({"masks": None, **HELD_OUT}, {"f1_image", "train_quantile", "mean_3std"}),
        ({**HELD_OUT, "validation_maps": None}, {"f1_image", "dice_max", "train_quantile"}),
        ({**HELD_OUT, "validation_max": None}, {"f1_image", "dice_max", "mean_3std"}),
        ({"labels": np.ones(12)}, {"dice_max"}),
    ],
)
def test_policies_without_a_threshold_are_left_out(
    arrays: dict[str, Any], change: dict[str, Any], defined: set[str]
) -> None:
    assert set(evaluate(**{**arrays, **change}).thresholds) == defined


@pytest.mark.parametrize(("policy", "lacking"), NEEDED)
@pytest.mark.parametrize("values", [None, np.empty((0, 1, 1))])
def test_a_policy_without_its_held_out_images_says_what_to_set(
    arrays: dict[str, Any], policy: str, lacking: str, values: ArrayLike | None
) -> None:
    with pytest.raises(MetricError, match=rf"{lacking}: found none; .* hold out a part of the train images"):
        evaluate(**arrays, threshold_policy=policy, **{**HELD_OUT, lacking: values})


@pytest.mark.parametrize("policy", THRESHOLD_POLICIES)
def test_a_dataset_without_masks_keeps_its_image_measures(arrays: dict[str, Any], policy: str) -> None:
    arrays["masks"] = None
    result = evaluate(**arrays, threshold_policy=policy, **HELD_OUT)
    causes = dict.fromkeys(PIXEL_MEASURES, "no masks")
    if policy == "dice_max":
        causes |= dict.fromkeys(AT_IMAGE_THRESHOLD, "no threshold by the policy 'dice_max': no masks")
    assert result.missing == causes
    assert set(result.values) == PIXEL_MEASURES | IMAGE_MEASURES
    undefined = [np.isnan(result.threshold), np.isnan(result.image_threshold)]
    assert undefined == [policy == "dice_max"] * 2


def test_masks_without_an_anomalous_pixel(arrays: dict[str, Any]) -> None:
    arrays["masks"][:] = False
    assert evaluate(**arrays).missing == dict.fromkeys(PIXEL_MEASURES, "no anomalous pixel in any mask")


def test_masks_without_a_normal_pixel(arrays: dict[str, Any]) -> None:
    arrays["masks"][:] = True
    assert evaluate(**arrays).missing == dict.fromkeys(PIXEL_MEASURES, "no normal pixel in any mask")


@pytest.mark.parametrize(("label", "word"), [(False, "normal"), (True, "anomalous")])
def test_images_of_one_class(arrays: dict[str, Any], label: int, word: str) -> None:
    arrays["labels"][:] = label
    cause = f"only {word} images in the test set"
    result = evaluate(**arrays)
    assert np.isnan([result.threshold, result.image_threshold]).all()
    assert result.missing == {
        **dict.fromkeys(IMAGE_MEASURES, cause),
        **dict.fromkeys(AT_PIXEL_THRESHOLD, f"no threshold by the policy 'f1_image': {cause}"),
    }


def test_no_images() -> None:
    result = evaluate(np.empty((0, 4, 4)), np.empty((0, 4, 4), bool), [], [])
    assert np.isnan(list(result.values.values())).all()
    assert result.missing["image_auroc"] == "no images in the test set"


def test_a_variant_that_divides_by_zero_is_missing(arrays: dict[str, Any]) -> None:
    arrays["maps"] = np.zeros_like(arrays["maps"])
    result = evaluate(**arrays, pro_variants=["official_100", "per_image_200", "rescaled"])
    assert result.missing == dict.fromkeys(
        ["pro_per_image_200", "pro_rescaled"],
        "the released code has no value for a constant map or a flat curve",
    )


def test_every_missing_measure_is_nan_and_every_nan_is_missing(arrays: dict[str, Any]) -> None:
    arrays["masks"] = None
    result = evaluate(**arrays, pro_variants=PRO_VARIANTS)
    assert {name for name, value in result.values.items() if np.isnan(value)} == set(result.missing)


def test_unknown_names_are_answered_with_the_known_ones(arrays: dict[str, Any]) -> None:
    with pytest.raises(
        MetricError, match=r"threshold_policy: found 'best'; expected one of f1_image, dice_max, train_q"
    ):
        evaluate(**arrays, threshold_policy="best")
    with pytest.raises(
        MetricError,
        match=r"pro_variants: found 'official' \(did you mean 'official_100'\?\); expected one of",
    ):
        evaluate(**arrays, pro_variants=["exact", "official"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"scores": np.zeros(11), "labels": np.zeros(11)},
            "scores: found 11; expected 12, one for each map",
        ),
        ({"labels": np.zeros(11)}, r"labels: found shape \(11,\); expected \(12,\)"),
        ({"masks": np.zeros((12, 16, 15))}, r"masks: found shape \(12, 16, 15\)"),
        (
            {"maps": np.full((12, 16, 16), np.nan)},
            "maps: found NaN or infinity in 256 of 256 pixels of map 0",
        ),
        (
            {"quantile": 95, "threshold_policy": "train_quantile", **HELD_OUT},
            "quantile: found 95",
        ),
        ({"fpr_limit": 30}, "fpr_limit: found 30"),
        (
            {**HELD_OUT, "validation_max": [-1.7e308, 1.7e308]},
            r"validation_max: found -1.7e\+308 to 1.7e\+308, whose quantile 0.995 cannot be computed",
        ),
    ],
)
def test_input_that_cannot_be_measured_is_refused(
    arrays: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(MetricError, match=message):
        evaluate(**{**arrays, **change})


@pytest.mark.parametrize("policy", THRESHOLD_POLICIES)
def test_verdicts_are_counted_by_every_policy_with_the_scores_that_it_judges(
    arrays: dict[str, Any], policy: str
) -> None:
    scores, maxima = arrays["maps"].mean(axis=(1, 2)), arrays["maps"].max(axis=(1, 2))
    result = evaluate(**{**arrays, "scores": scores}, threshold_policy=policy, **HELD_OUT)
    assert set(result.confusions) == set(THRESHOLD_POLICIES)
    for name, confusion in result.confusions.items():
        judged, threshold = maxima if name == "dice_max" else scores, result.thresholds[name][1]
        assert confusion == metrics.count_verdicts(arrays["labels"], judged, threshold)
    own = result.confusions[policy]
    expected = [own.f1, own.precision, own.recall]
    assert [result.values[name] for name in AT_IMAGE_THRESHOLD] == pytest.approx(expected, nan_ok=True)


def test_false_alarms_among_normal_images_alone_are_counted_though_no_measure_is_defined(
    arrays: dict[str, Any],
) -> None:
    arrays["labels"][:] = False
    result = evaluate(**arrays, threshold_policy="train_quantile", **HELD_OUT)
    confusion = result.confusions["train_quantile"]
    assert (confusion.anomalous, confusion.normal) == (0, len(arrays["labels"]))
    assert set(result.confusions) == {"train_quantile", "mean_3std", "dice_max"}
    assert np.isnan(result.values["image_precision"])


def test_precision_is_undefined_where_no_image_is_judged_anomalous(arrays: dict[str, Any]) -> None:
    held_out: dict[str, Any] = {"validation_scores": [1e9], "validation_max": [1e9]}
    result = evaluate(**arrays, threshold_policy="train_quantile", **held_out)
    assert result.missing == {"image_precision": "no image is judged anomalous"}
    assert result.values["image_recall"] == result.values["image_f1"] == 0
