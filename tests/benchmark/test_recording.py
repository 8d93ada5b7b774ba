"""The record of a cell agrees with its results; the forms of its files are tested in tests/store."""

import math
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from torch import nn

from benchmark.cell import Cell
from benchmark.data.images import StoredImages
from benchmark.detector import Detector
from benchmark.inference_cost import InferenceCost
from benchmark.recording import record
from benchmark.run_cell import CellResult
from benchmark.scoring import Scores
from benchmark.settings.sweep import Tracking
from benchmark.training.records import StageRecord
from datasets.category import Sample
from methods.backbone import FeatureBackbone
from methods.method import Method
from metrics import bootstrap, evaluate
from store.files import Pairs, Pictures, read_curves, read_maps, read_pairs, read_regions, read_scores
from store.pending import Pending, load_pending, new_pending
from store.replicates import read_replicates
from tests.benchmark.conftest import CPU

SIDE = 32
NAMES = [
    "test/good/0.png",
    "test/good/1.png",
    "test/dent/2.png",
    "test/dent/3.png",
    "test/scratch/4.png",
]


class Weights(Method):
    """Has 10 weights, 6 of which are trained."""

    def __init__(self) -> None:
        super().__init__()
        self.student, self.teacher = nn.Linear(2, 2), nn.Linear(3, 1)
        self.teacher.requires_grad_(False)


def make_sample(name: str, has_truth: bool) -> Sample:
    kind = name.split("/")[1]
    mask = Path("mask.png") if has_truth and kind != "good" else None
    return Sample(Path("/data/washer") / name, kind, mask)


def make_result(anomalous: bool = True, without_truth: Collection[str] = ()) -> CellResult:
    """Return the results of a method that sees some of the squares in noise."""
    rng = np.random.default_rng(0)
    chosen = NAMES if anomalous else NAMES[:2]
    samples = tuple(make_sample(name, name not in without_truth) for name in chosen)
    masks = np.zeros((5, SIDE, SIDE), bool)
    masks[2, 4:9, 4:9] = masks[2, 20:30, 20:22] = masks[3, :6, :6] = masks[4, 10, 10:20] = True
    masks = masks[: len(samples)]
    maps = (rng.normal(size=masks.shape) + 1.5 * masks).astype(np.float32)
    images = rng.integers(0, 256, (len(samples), SIDE, SIDE, 3), dtype=np.uint8)
    map_max = maps.max((1, 2))
    scores = Scores(maps, map_max.astype(np.float64), map_max)
    has_truth = np.array([name not in without_truth for name in chosen])
    masks[~has_truth] = False
    truth = masks if masks.any() or not anomalous else None
    stages = [
        StageRecord("teacher", [3.0, 2.5], 100, [], 2, 8.0, 1000, shared=True, steps=200),
        StageRecord("student", [2.0, 1.0], 1, [0.5, 0.75], 1, 4.0, 40, steps=2),
    ]
    about = {"stages": [asdict(stage) for stage in stages]}
    detector = Detector(Weights(), FeatureBackbone("resnet18.tv_in1k", "random"), CPU, about)
    labels = [sample.label for sample in samples]
    ones = np.ones((4, 2), np.float32)
    measures = evaluate(maps, truth, labels, scores.images, has_truth=has_truth)
    options: dict[str, Any] = {"threshold_policy": "f1_image", "replicates": 50, "has_truth": has_truth}
    return CellResult(
        detector=detector,
        cost=InferenceCost(0.1, 0.05, 1e9, 4),
        timed_category="weave",
        peak_memory_gb=1.5,
        stored=StoredImages(samples, images, truth, "key"),
        scores=scores,
        measures=measures,
        pairs=Pairs(ones, ones, np.ones(4, np.float32), np.ones(4, bool)),
        replicates=bootstrap(measures, maps, labels, scores.images, map_max, seed=0, **options),
    )


def write(folder: Path, result: CellResult, policy: Any = "f1_image", **tracking: Any) -> Pending:
    category = SimpleNamespace(train=range(17))
    evaluation = SimpleNamespace(fpr_limit=0.3, threshold=policy, quantile=0.995)
    cell = SimpleNamespace(
        name="toy washer",
        category=category,
        trained_on=category,
        evaluation=evaluation,
        held_out=range(4),
    )
    run = {"id": "0", "name": "toy washer", "uri": "", "experiment": "", "tags": {}}
    pending = new_pending(folder / "pending", run)
    record(cast(Cell, cell), result, Tracking("", "", **tracking), ["image_auroc"], pending)
    return pending


@pytest.fixture(scope="module")
def result() -> CellResult:
    return make_result()


@pytest.fixture(scope="module")
def pending(result: CellResult, tmp_path_factory: pytest.TempPathFactory) -> Pending:
    return write(tmp_path_factory.mktemp("record"), result)


def test_signs_of_a_training_that_ended_too_early_are_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both stages are too short for a verdict on their curves; chance is what the counts of test images allow."""
    pending = write(tmp_path, make_result())
    values = {name: history[0] for name, history in pending.metrics.items() if 0 in history}
    assert (values["teacher/steps"], values["student/steps"]) == (200, 2)
    assert values["student/still_improving"] == 0
    assert values["train_images"] == 17
    assert 0.5 < values["chance_auroc"] <= 1
    assert ("chance" in caplog.text) == (values["image_auroc"] <= values["chance_auroc"])


def test_the_record_is_complete_and_can_be_loaded_again(pending: Pending) -> None:
    loaded = load_pending(pending.folder)
    assert loaded is not None
    assert loaded.metrics == pending.metrics
    assert sorted({Path(name).parts[0] for name in loaded.digests}) == [
        "bootstrap.npz",
        "curves.csv",
        "detector",
        "figure.png",
        "maps.npz",
        "pairs.npz",
        "pictures.zip",
        "regions.csv",
        "scores.csv",
    ]


def test_metrics_hold_measures_thresholds_and_costs(pending: Pending, result: CellResult) -> None:
    metrics = {name: values[0] for name, values in pending.metrics.items() if 0 in values}
    measures = result.measures
    assert {name: metrics[name] for name in measures.values} == measures.values
    assert metrics["threshold"] == measures.threshold
    assert metrics["image_threshold"] == measures.image_threshold
    assert metrics["dice_max_threshold"] == measures.dice_max_threshold
    assert metrics["inference_seconds_single"] == 0.1
    assert metrics["inference_images_per_second"] == 20
    assert metrics["inference_batch_size"] == 4
    assert metrics["multiply_adds"] == 1e9
    assert metrics["peak_memory_gb"] == 1.5
    assert metrics["parameters"] == 6
    assert "missing" not in pending.tags


def test_misses_and_false_alarms_are_recorded_by_policy_and_reported_by_that_of_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, result: CellResult
) -> None:
    caplog.set_level("INFO")
    metrics = {name: values.get(0) for name, values in write(tmp_path, result).metrics.items()}
    found, labels = result.measures, np.array([name.split("/")[1] != "good" for name in NAMES])
    judged = result.scores.images >= found.image_threshold
    misses, false_alarms = np.count_nonzero(labels & ~judged), np.count_nonzero(~labels & judged)
    assert (metrics["misses/f1_image"], metrics["false_alarms/f1_image"]) == (misses, false_alarms)
    assert (metrics["anomalous_images"], metrics["normal_images"], metrics["held_out_images"]) == (3, 2, 4)
    assert {name for name in metrics if "/train_quantile" in name} == set()
    assert {"misses/dice_max", "false_alarms/dice_max"} <= set(metrics)
    expected = (
        f"misses {misses} of 3, false alarms {false_alarms} of 2 (threshold f1_image, an oracle); image_auroc"
    )
    assert f"toy washer: {expected}" in caplog.text


@pytest.mark.parametrize("policy", ["train_quantile", "f1_image"])
def test_a_threshold_by_a_quantile_of_few_held_out_images_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, result: CellResult, policy: str
) -> None:
    write(tmp_path, result, policy, figure=False, detector=False)
    expected = (
        "toy washer: the threshold comes from only 4 held-out images: the quantile 0.995 lies between their two "
        "largest scores; expect a false alarm in about 1 of 5 normal images"
    )
    assert (expected in caplog.messages) == (policy == "train_quantile")


def test_losses_and_validation_scores_are_recorded_by_epoch_or_step(pending: Pending) -> None:
    metrics = pending.metrics
    assert metrics["student/loss"] == {1: 2.0, 2: 1.0}
    assert metrics["student/selection"] == {1: 0.5, 2: 0.75}
    assert metrics["student/best_epoch"] == {0: 1}
    assert metrics["teacher/loss"] == {100: 3.0, 200: 2.5}
    assert "teacher/selection" not in metrics


def test_pretraining_is_not_part_of_the_training_time(pending: Pending) -> None:
    assert pending.metrics["train_seconds"] == {0: 4.0}
    assert pending.metrics["train_images_per_second"] == {0: 10.0}
    assert pending.metrics["pretraining_seconds"] == {0: 8.0}


def curve(table: pd.DataFrame, name: str) -> tuple[pd.Series, pd.Series]:
    points = table[table["curve"] == name]
    return points["false_positive_rate"], points["value"]


def test_the_areas_under_the_curves_are_the_measures(pending: Pending, result: CellResult) -> None:
    curves = read_curves(pending.files / "curves.csv")
    for name, measure in (("image_roc", "image_auroc"), ("pixel_roc", "pixel_auroc")):
        false, true = curve(curves, name)
        assert np.trapezoid(true, false) == pytest.approx(result.measures.values[measure], abs=0.005)
    rates, overlap = (values[curve(curves, "pro")[0] <= 0.3] for values in curve(curves, "pro"))
    assert np.trapezoid(overlap, rates) / 0.3 == pytest.approx(result.measures.values["pro"], abs=0.005)


def test_the_resamples_are_kept_with_the_verdicts_on_them(pending: Pending, result: CellResult) -> None:
    made, kept = result.replicates, read_replicates(pending.files / "bootstrap.npz")
    assert made is not None
    assert kept.images == 2
    verdicts = {
        f"{kind}/{policy}" for kind in ("misses", "false_alarms") for policy in ("f1_image", "dice_max")
    }
    assert {*kept.values} == {*result.measures.values} | verdicts
    assert np.array_equal(kept.values["pro"], made.values["pro"])
    assert np.array_equal(kept.values["misses/dice_max"], made.misses["dice_max"])


def test_the_regions_are_those_of_the_masks_and_their_mean_is_pro(
    pending: Pending, result: CellResult
) -> None:
    regions = read_regions(pending.files / "regions.csv")
    assert [*regions[["image", "kind", "area"]].itertuples(index=False, name=None)] == [
        ("test/dent/2.png", "dent", 25),
        ("test/dent/2.png", "dent", 20),
        ("test/dent/3.png", "dent", 36),
        ("test/scratch/4.png", "scratch", 10),
    ]
    np.testing.assert_allclose(regions["part"] * SIDE**2, regions["area"])
    assert regions["pro"].mean() == pytest.approx(result.measures.values["pro"], abs=1e-9)
    top = (result.scores.maps[3] >= result.measures.threshold)[:6, :6]
    assert regions["overlap"][2] == pytest.approx(top.mean())


def test_scores_maps_and_pictures_bear_the_names_of_their_images(
    pending: Pending, result: CellResult
) -> None:
    scores = read_scores(pending.files / "scores.csv")
    assert scores["image"].tolist() == NAMES
    assert scores["kind"].tolist() == ["good", "good", "dent", "dent", "scratch"]
    assert scores["label"].tolist() == [0, 0, 1, 1, 1]
    assert scores["score"].tolist() == result.scores.images.tolist()
    maps = read_maps(pending.files / "maps.npz")
    assert maps.images == NAMES
    np.testing.assert_allclose(maps.maps, result.scores.maps[:], rtol=1e-3)
    pictures = Pictures(pending.files / "pictures.zip", [])
    assert result.stored.masks is not None
    for i, name in enumerate(NAMES):
        image, mask = pictures.image(name), pictures.mask(name)
        assert image is not None
        assert abs(np.asarray(image, float).mean() - result.stored.images[i].mean()) < 3  # JPEG
        np.testing.assert_array_equal(np.asarray(mask), result.stored.masks[i])
    np.testing.assert_array_equal(read_pairs(pending.files / "pairs.npz").teacher, np.ones((4, 2)))


def test_without_masks_there_is_only_the_image_roc_and_the_reason_is_recorded(tmp_path: Path) -> None:
    pending = write(tmp_path, make_result(without_truth=NAMES[2:]))
    assert {*read_curves(pending.files / "curves.csv")["curve"]} == {"image_roc"}
    assert read_regions(pending.files / "regions.csv").empty
    assert Pictures(pending.files / "pictures.zip", []).mask(NAMES[2]) is None
    assert "pro: no masks" in pending.tags["missing"]
    assert not {"pro", "pixel_auroc"} & {*pending.metrics}
    assert pending.metrics["images_without_ground_truth"] == {0: 3}


def test_images_without_ground_truth_are_counted_and_have_no_regions_and_no_mask(
    pending: Pending, tmp_path: Path
) -> None:
    partial = write(tmp_path, make_result(without_truth=[NAMES[2]]))
    assert pending.metrics["images_without_ground_truth"] == {0: 0}
    assert partial.metrics["images_without_ground_truth"] == {0: 1}
    assert partial.metrics["image_auroc"] == pending.metrics["image_auroc"]
    whole, regions = (read_regions(each.files / "regions.csv") for each in (pending, partial))
    assert regions["image"].tolist() == [NAMES[3], NAMES[4]]
    kept = whole[whole["image"] != NAMES[2]].reset_index(drop=True)
    pd.testing.assert_frame_equal(regions[["image", "kind", "area"]], kept[["image", "kind", "area"]])
    assert regions["pro"].mean() == pytest.approx(partial.metrics["pro"][0], abs=1e-9)
    pictures = Pictures(partial.files / "pictures.zip", [])
    assert [name for name in NAMES if pictures.mask(name) is None] == [NAMES[2]]
    assert all(pictures.image(name) for name in NAMES)


def test_measures_that_are_undefined_are_no_numbers(tmp_path: Path) -> None:
    result = make_result(anomalous=False)
    assert math.isnan(result.measures.values["image_auroc"])
    pending = write(tmp_path, result)
    assert not {"image_auroc", "threshold"} & {*pending.metrics}
    assert "image_auroc: only normal images" in pending.tags["missing"]
    assert read_curves(pending.files / "curves.csv").empty


def test_files_that_are_not_wanted_are_not_written(tmp_path: Path) -> None:
    unwanted = dict.fromkeys(("maps", "pictures", "detector", "figure"), False)
    pending = write(tmp_path, make_result(), **unwanted)
    names = sorted(path.name for path in pending.files.iterdir())
    assert names == ["bootstrap.npz", "curves.csv", "pairs.npz", "regions.csv", "scores.csv"]
