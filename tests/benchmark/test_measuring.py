"""Measuring: labels and masks of the stored images, and the held-out scores, decide the measures."""

from pathlib import Path

import numpy as np
import pytest

from benchmark.data.images import StoredImages
from benchmark.measuring import measure
from benchmark.scoring import Scores
from benchmark.settings.evaluation import Evaluation
from datasets.category import Sample

SAMPLES = tuple(
    Sample(Path(f"test/{kind}/{i}.png"), kind) for i, kind in enumerate(["good", "dent", "good", "dent"])
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


def test_measures_without_ground_truth_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    settings = Evaluation(4, "f1_image", 0.995, 0.3, ["exact", "rescaled"])
    measures = measure(settings, stored(masks=None), scores_of(MASKS.astype(np.float32)), None)
    assert measures.values["image_auroc"] == 1
    assert {"pro", "pro_rescaled"} <= set(measures.missing)
    (message,) = caplog.messages
    assert message.startswith("undefined, so left out: ")
    assert message.endswith("(no masks)")
