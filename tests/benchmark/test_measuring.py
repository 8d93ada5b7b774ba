"""Measuring: labels and masks of the stored images, and the held-out scores, decide the measures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.images import StoredImages
from benchmark.measuring import measure
from benchmark.scoring import Scores
from benchmark.settings.evaluation import Evaluation
from datasets.category import Sample
from metrics import MEASURES

SAMPLES = tuple(
    Sample(Path(f"test/{kind}/{i}.png"), kind, None if kind == "good" else Path(f"{i}_mask.png"))
    for i, kind in enumerate(["good", "dent", "good", "dent"])
)
MASKS = np.zeros((4, 4, 4), bool)
MASKS[1, :2, :2] = MASKS[3, 3, 3] = True


def scores_of(maps: np.ndarray) -> Scores:
    map_max = maps.max((1, 2))
    return Scores(maps, map_max.astype(np.float64) / 2, map_max)


def stored(masks: np.ndarray | None = MASKS) -> StoredImages:
    return StoredImages(SAMPLES, np.zeros((4, 4, 4, 3), np.uint8), masks, "key")


def test_a_perfect_detector_has_perfect_measures() -> None:
    settings = Evaluation(4, "f1_image", 0.995, 0.3, ["exact"])
    measures = measure(settings, stored(), scores_of(MASKS.astype(np.float32)), None)
    assert measures.values == dict.fromkeys(measures.values, 1.0)
    assert (measures.threshold, measures.image_threshold) == (1, 0.5)


def test_thresholds_are_quantiles_of_the_held_out_images() -> None:
    settings = Evaluation(4, "train_quantile", 1.0, 0.3, ["exact"])
    held_out = scores_of(np.full((3, 4, 4), 0.25, np.float32))
    measures = measure(settings, stored(), scores_of(MASKS.astype(np.float32)), held_out)
    assert (measures.threshold, measures.image_threshold) == (0.25, 0.125)


def test_pixel_measures_are_those_of_the_images_with_ground_truth(caplog: pytest.LogCaptureFixture) -> None:
    settings = Evaluation(4, "dice_max", 0.995, 0.3, ["exact"])
    maps = np.random.default_rng(0).random((4, 4, 4), np.float32)
    images = stored()
    partial = replace(images, samples=(*SAMPLES[:3], replace(SAMPLES[3], mask=None)))
    found = measure(settings, partial, scores_of(maps), None)
    (message,) = caplog.messages
    assert message == (
        "pixel measures leave out 1 of 2 anomalous test images, which have no ground truth (the first is "
        "test/dent/3.png)"
    )
    whole = measure(settings, images, scores_of(maps), None)
    alone = measure(
        settings, replace(images, samples=SAMPLES[:3], masks=MASKS[:3]), scores_of(maps[:3]), None
    )
    for name, value in found.values.items():
        if MEASURES[name].level == "pixel":
            assert value == alone.values[name]
    assert found.values["image_auroc"] == whole.values["image_auroc"] != alone.values["image_auroc"]


def test_without_any_mask_only_undefined_image_measures_are_worth_a_message_per_cell(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = Evaluation(4, "f1_image", 0.995, 0.3, ["exact", "rescaled"])
    scores = scores_of(MASKS.astype(np.float32))
    measures = measure(settings, stored(masks=None), scores, None)
    assert measures.values["image_auroc"] == 1
    assert {"pro", "pro_rescaled"} <= set(measures.missing)
    assert caplog.messages == []
    measure(replace(settings, threshold="dice_max"), stored(masks=None), scores, None)
    (message,) = caplog.messages
    assert message.startswith("undefined, so left out: image_f1, ")
    assert message.endswith("(no threshold by the policy 'dice_max': no masks)")
    assert "pro" not in message
