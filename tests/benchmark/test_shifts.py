"""A toy detector on shifted images falls as its formula says, at the threshold of the images as they are."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.cell import Cell
from benchmark.data.batches import as_batches
from benchmark.data.images import StoredImages
from benchmark.measuring import measure
from benchmark.scoring import score
from benchmark.settings.evaluation import Evaluation
from benchmark.shifts import measure_shifts
from datasets.batch import Batch
from datasets.category import Sample
from methods.method import Method
from store.shifts import LEVELS, SHIFTS, ShiftedMeasures, mean_aurocs
from tests.benchmark.conftest import CPU, make_settings
from tests.methods.samples import IMAGENET

SIDE = 40
NORMAL, ANOMALOUS = 100, 130
"""Grey values of an image, and of the square that is its defect."""
COUNTS = {"good": 3, "dent": 5}


class Brightness(Method):
    """Scores a pixel by its brightness, and an image by its brightest pixel."""

    modes = ("rgb", "depth", "rgbd")

    def __init__(self, mode: str = "rgb") -> None:
        super().__init__()
        self.mode = mode

    def anomaly_map(self, batch: Batch) -> Tensor:
        return batch.image.mean(1)


def stored() -> StoredImages:
    kinds = [kind for kind, count in COUNTS.items() for _ in range(count)]
    samples = tuple(
        Sample(Path(f"{kind}/{i}.png"), kind, None if kind == "good" else Path("mask.png"))
        for i, kind in enumerate(kinds)
    )
    images = np.full((len(samples), SIDE, SIDE, 3), NORMAL, np.uint8)
    masks = np.zeros(images.shape[:3], np.bool_)
    for i in range(COUNTS["good"], len(samples)):
        masks[i, 12 + i : 18 + i, 14:22] = True
    images[masks] = ANOMALOUS
    return StoredImages(samples, images, masks, "key")


def shifted(
    tmp_path: Path, images: StoredImages, method: Method, **options: Any
) -> tuple[ShiftedMeasures, ...]:
    evaluation = Evaluation(**{**OPTIONS, **options})
    settings = make_settings(tmp_path)
    backbone = SimpleNamespace(normalisation=IMAGENET)
    cell = SimpleNamespace(
        name="toy", evaluation=evaluation, settings=settings, runtime=CPU, backbone=backbone, layers=()
    )
    scores = score(method, as_batches(images, None, IMAGENET, CPU, 1.0), evaluation.batch_size)
    measures = measure(evaluation, images, scores, None)
    found = measure_shifts(cast(Cell, cell), images, method, scores, measures)
    for row in found[:1]:  # the images as they are
        own = {name: vars(row)[name] for name in ("image_auroc", "pixel_auroc", "pro", "image_f1")}
        assert own == pytest.approx({name: measures.values[name] for name in own}, nan_ok=True)
    return found


OPTIONS: dict[str, Any] = {
    "batch_size": 3,
    "threshold": "f1_image",
    "quantile": 0.995,
    "fpr_limit": 0.3,
    "pro_variants": ["exact"],
    "shifts": "all",
}


def test_light_causes_the_false_alarms_and_misses_that_it_must(tmp_path: Path) -> None:
    """A normal image reaches the threshold of 130 once 30 of 255 are added; less light hides every defect."""
    found = shifted(tmp_path, stored(), Brightness(), shifts=["brightness", "darkness"])
    assert [(each.shift, each.level) for each in found] == [
        ("none", 0),
        *(("brightness", level) for level in LEVELS),
        *(("darkness", level) for level in LEVELS),
    ]
    bright, dark = found[1:6], found[6:]
    added = [255 * strength for strength in SHIFTS["brightness"].levels]
    alarms = [COUNTS["good"] * (NORMAL + each >= ANOMALOUS) for each in added]
    assert [each.false_alarms for each in bright] == alarms == [0, 0, 3, 3, 3]
    assert [each.misses for each in bright] == [0] * 5
    assert [each.image_f1 for each in bright] == pytest.approx([1, 1, *[10 / 13] * 3])
    assert [each.misses for each in dark] == [COUNTS["dent"]] * 5
    assert [each.false_alarms for each in dark] == [0] * 5
    # the order of the images is left as it is
    assert {each.image_auroc for each in found} == {each.pixel_auroc for each in found} == {1.0}
    assert {(each.anomalous, each.normal) for each in found} == {(5, 3)}
    assert mean_aurocs(found) == {"shifted_image_auroc/brightness": 1.0, "shifted_image_auroc/darkness": 1.0}


def test_a_moved_defect_is_found_where_its_mask_has_moved(tmp_path: Path) -> None:
    found = shifted(tmp_path, stored(), Brightness(), shifts="translation")
    assert [each.pro for each in found] == pytest.approx([1] * 6)
    assert [each.misses for each in found] == [0] * 6


def test_the_first_row_is_the_run_itself_and_nothing_is_left_on_the_disk(tmp_path: Path) -> None:
    images = stored()
    found = shifted(tmp_path, images, Brightness())
    assert len(found) == 1 + len(SHIFTS) * len(LEVELS)
    assert (found[0].misses, found[0].false_alarms, found[0].image_f1, found[0].strength) == (0, 0, 1, 0)
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(images.images, stored().images)


def test_the_batch_size_and_the_other_images_change_nothing(tmp_path: Path) -> None:
    images = stored()
    usual = shifted(tmp_path, images, Brightness(), shifts=["noise", "rotation"])
    assert shifted(tmp_path, images, Brightness(), shifts=["noise", "rotation"], batch_size=8) == usual
    order = np.arange(len(images))[::-1]
    assert images.masks is not None
    turned = replace(
        images,
        samples=tuple(images.samples[i] for i in order),
        images=images.images[order],
        masks=images.masks[order],
    )
    for one, other in zip(
        usual, shifted(tmp_path, turned, Brightness(), shifts=["noise", "rotation"]), strict=True
    ):
        assert vars(one) == pytest.approx(vars(other))


def test_a_threshold_of_pixels_judges_the_largest_pixel(tmp_path: Path) -> None:
    class Half(Brightness):
        def image_score(self, anomaly_map: Tensor, batch: Batch) -> Tensor:
            return torch.zeros(len(batch))

    found = shifted(tmp_path, stored(), Half(), shifts=["darkness"], threshold="dice_max")
    assert [each.misses for each in found] == [0, *[COUNTS["dent"]] * 5]
    assert found[0].image_auroc == 0.5


def test_without_masks_or_a_threshold_the_others_are_measured(tmp_path: Path) -> None:
    bare = replace(stored(), samples=tuple(replace(each, mask=None) for each in stored().samples), masks=None)
    found = shifted(tmp_path, bare, Brightness(), shifts=["rotation", "blur"], threshold="dice_max")
    assert {each.image_auroc for each in found} == {1.0}
    assert all(math.isnan(each.pro) and math.isnan(each.misses) for each in found)


def test_pixel_measures_leave_out_images_without_ground_truth(tmp_path: Path) -> None:
    images = stored()
    *known, last = images.samples
    partly = replace(images, samples=(*known, replace(last, mask=None)))
    found = shifted(tmp_path, partly, Brightness(), shifts=["translation"])
    assert [each.pro for each in found] == pytest.approx([1] * 6)
    assert {each.anomalous for each in found} == {COUNTS["dent"]}


def test_depth_is_left_as_it_is_which_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert shifted(tmp_path, stored(), Brightness("depth")) == ()
    assert "toy: evaluation.shifts is not measured, as method.mode=depth reads no image" in caplog.messages
    assert shifted(tmp_path, stored(), Brightness("rgbd"), shifts=["rotation"]) != ()
    assert any("leaves depth as it is" in message for message in caplog.messages)
    assert shifted(tmp_path, stored(), Brightness(), shifts=[]) == ()
