"""A category without test images: the same training, thresholds of held-out images, no measure."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.cell import Cell
from benchmark.errors import BenchmarkError
from benchmark.identity import content_digests, keys_of
from benchmark.inference_cost import InferenceCosts
from benchmark.recording import _names, record_training
from benchmark.run_cell import TrainedResult, run_cell, train_cell
from benchmark.settings.evaluation import Evaluation
from benchmark.settings.sweep import Tracking
from datasets.category import Category, Sample
from methods.backbone import FeatureBackbone
from methods.stfpm import STFPM
from metrics import HELD_OUT_POLICIES
from store.pending import Pending, new_pending
from tests.benchmark.conftest import CPU, make_settings, make_training


class LastEpoch(STFPM):
    """Keeps the last epoch, so that it needs no held-out images."""

    keeps_best_epoch = False


METHOD = {"_target_": f"{__name__}.LastEpoch", "layers": ["layer1"]}


def make(folder: Path, category: Category, fraction: float = 0.25, policy: str = "f1_image") -> Cell:
    return Cell(
        name="stfpm washer",
        method_name="stfpm",
        method=METHOD,
        layers=("layer1",),
        crop_layers=(),
        category=category,
        seed=0,
        backbone=FeatureBackbone("resnet18.tv_in1k", "random"),
        runtime=CPU,
        settings=make_settings(folder / "cache"),
        training=make_training(epochs=1, validation_fraction=fraction),
        evaluation=Evaluation(4, policy, 0.9, 0.3, ["exact"]),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def good(washer: Category) -> Category:
    """Return the train images alone."""
    return replace(washer, test=())


@pytest.fixture(scope="module")
def result(folder: Path, good: Category) -> TrainedResult:
    return train(make(folder, good), folder)


def train(cell: Cell, folder: Path) -> TrainedResult:
    return train_cell(cell, keys_of(cell)[0], folder, InferenceCosts())


def recorded(folder: Path, cell: Cell, result: TrainedResult) -> Pending:
    run: dict[str, Any] = {"id": "0", "name": cell.name, "uri": "", "experiment": "", "tags": {}}
    pending = new_pending(folder / "pending", run)
    record_training(cell, result, Tracking("", ""), pending)
    return pending


def test_the_training_is_that_of_the_same_images_with_test_images(
    folder: Path, washer: Category, good: Category
) -> None:
    with_tests, without = (keys_of(make(folder, category)) for category in (washer, good))
    assert with_tests[0] == without[0]
    assert with_tests[1] != without[1]


def test_a_cell_is_known_by_its_train_images(folder: Path, good: Category) -> None:
    digests = {
        content_digests(make(folder, each))["test"] for each in (good, replace(good, train=good.train[1:]))
    }
    assert len(digests) == 2


def test_thresholds_are_those_that_held_out_images_give_to_a_measured_cell(
    folder: Path, washer: Category, result: TrainedResult, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cell = make(folder, washer, policy="train_quantile")
    measured = run_cell(cell, keys_of(cell)[0], folder, InferenceCosts())
    assert "trained before, detector loaded from" in caplog.text
    assert result.detector.policy == "train_quantile"
    held_out = {policy: measured.detector.thresholds[policy] for policy in HELD_OUT_POLICIES}
    assert result.detector.thresholds == held_out
    verdicts = result.detector.predict([sample.image for sample in washer.test]).verdicts
    assert verdicts is not None
    assert verdicts.tolist() == (measured.scores.images >= measured.measures.image_threshold).tolist()


def test_costs_and_thresholds_are_recorded_and_no_measure(
    folder: Path, tmp_path: Path, good: Category, result: TrainedResult, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    pending = recorded(tmp_path, make(folder, good), result)
    values = {name: history[0] for name, history in pending.metrics.items() if 0 in history}
    threshold = result.detector.thresholds["train_quantile"]
    assert (values["image_threshold"], values["threshold"]) == (threshold["image"], threshold["pixel"])
    assert (values["train_images"], values["held_out_images"], values["inference_batch_size"]) == (12, 3, 4)
    assert values["train_seconds"] > 0
    assert not {"image_auroc", "pro", "chance_auroc", "dice_max_threshold"} & {*values}
    assert pending.tags == {
        "unmeasured": "no test images",
        "threshold_policy": "train_quantile",
        "timed_category": "washer",
    }
    assert {Path(name).parts[0] for name in pending.digests} == {"detector"}
    assert (
        "not measured, as there are no test images; thresholds by train_quantile instead of f1_image"
        in caplog.text
    )


def test_without_held_out_images_there_is_no_threshold(
    folder: Path, tmp_path: Path, good: Category, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cell = make(folder, good, fraction=0)
    result = train(cell, folder)
    assert (result.detector.thresholds, result.detector.policy) == ({}, None)
    assert result.detector.predict(good.train[0].image).verdicts is None
    pending = recorded(tmp_path, cell, result)
    assert not {"threshold", "image_threshold"} & {*pending.metrics}
    assert pending.tags["threshold_policy"] == ""
    assert "neither test images nor held-out ones, so the detector will have no threshold" in caplog.text
    assert "no threshold, as no normal images are held out" in caplog.text
    with pytest.raises(
        BenchmarkError, match=r"^evaluation\.threshold=train_quantile takes .* 'washer' has none"
    ):
        train(make(folder, good, fraction=0, policy="train_quantile"), folder)


def test_a_detector_judges_by_held_out_images_where_all_test_images_are_normal(
    folder: Path, washer: Category, caplog: pytest.LogCaptureFixture
) -> None:
    normal = tuple(sample for sample in washer.test if not sample.label)
    cell = make(folder, replace(washer, test=normal))
    result = run_cell(cell, keys_of(cell)[0], folder, InferenceCosts())
    assert set(result.measures.values) == set(result.measures.missing)
    assert result.detector.policy == "train_quantile"
    assert result.detector.predict(normal[0].image).verdicts is not None
    assert "f1_image gives no threshold, so verdicts use train_quantile" in caplog.text


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/a/test/good/0.png", "/a/test/dent/0.png"], ["test/good/0.png", "test/dent/0.png"]),
        (["/ok/1/a/b/0.png", "/ok/2/a/b/0.png"], ["1/a/b/0.png", "2/a/b/0.png"]),
        (["/a/b/c/0.png", "/a/b/c/0.png"], ["//a/b/c/0.png"] * 2),
    ],
)
def test_images_have_the_shortest_names_that_tell_them_apart(paths: Iterable[str], names: list[str]) -> None:
    assert _names([Sample(Path(path)) for path in paths]) == names
