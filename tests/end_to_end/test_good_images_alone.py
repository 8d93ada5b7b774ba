"""Images as people have them: good ones alone are trained on and not measured; folders may lie anywhere."""

import shutil
from pathlib import Path

import pytest
from mlflow.entities import Run

from benchmark.detector import load_detector
from datasets.synthetic import generate
from metrics import HELD_OUT_POLICIES
from reports.status import read_status
from store.client import open_store
from store.files import read_scores
from tests.end_to_end.command import TAKEN, Outcome, fails_plainly, run_here

FAST = (
    *("method=stfpm", "backbone=resnet18", "backbone.weights=random", "method.layers=[layer1]"),
    *("method.training.image_size=32", "method.training.epochs=1", "tracking.figure=false"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the categories granite, which has no test images, and washer."""
    folder = tmp_path_factory.mktemp("parts")
    generated = generate(
        folder, categories=["granite", "washer"], image_size=32, train=6, test_good=2, test_defective=2
    )
    shutil.copytree(generated, folder / "parts")
    shutil.rmtree(folder / "parts/granite/test")
    shutil.rmtree(folder / "parts/granite/ground_truth")
    return folder / "parts"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


def finished(outcome: Outcome, sweep: str) -> dict[str, Run]:
    """Return the cells that a sweep has run, by category; all have finished."""
    assert outcome.code == 0, outcome.stderr
    cells = [cell for cell in outcome.runs("cell") if cell.data.tags["sweep"] == sweep]
    assert {cell.info.status for cell in cells} <= {"FINISHED"}
    return {cell.data.tags["category"]: cell for cell in cells}


def files_of(outcome: Outcome, cell: Run) -> set[str]:
    return {file.path for file in open_store(outcome.uri).list_artifacts(cell.info.run_id)}


def test_a_category_without_test_images_is_trained_beside_one_that_is_measured(
    data: Path, results: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = (*FAST, "dataset=folder", f"dataset.root={data}")
    outcome = run_here(results, capfd, *arguments, "sweep=mixed")
    cells = finished(outcome, "mixed")
    granite, washer = cells["granite"].data, cells["washer"].data
    assert "granite: 6 train, 32x32, RGB; no test images, so it is trained, not measured" in outcome.stdout
    assert (granite.tags["unmeasured"], granite.tags["threshold_policy"]) == (
        "no test images",
        "train_quantile",
    )
    assert "unmeasured" not in washer.tags
    assert {"image_auroc", "pro"} & {*washer.metrics}
    assert not {"image_auroc", "pro", "images_without_ground_truth"} & {*granite.metrics}
    costs = {"train_images", "train_seconds", "inference_seconds_single", "parameters", "peak_memory_gb"}
    assert costs <= {*granite.metrics}
    assert files_of(outcome, cells["granite"]) == {"config.yaml", "detector", "digests.json"}
    for title in ("Image AUROC", "Trained, not measured"):
        assert title in outcome.stdout
    assert "trained, not measured for lack of test images: granite" in " ".join(outcome.stdout.split())
    parent = outcome.runs("sweep")[0]
    assert parent.data.metrics["image_auroc/stfpm"] == washer.metrics["image_auroc"]

    again = run_here(results, capfd, *arguments, "sweep=again")
    assert finished(again, "again") == {}
    assert again.stdout.count(TAKEN) == 2
    assert read_status(outcome.uri, "again")[1].counts["finished"] == 2


def test_a_folder_of_good_images_gives_a_detector_with_thresholds_from_held_out_images(
    data: Path, results: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    good = ("dataset=folder", "dataset.normal_dir=granite/train/good")
    outcome = run_here(
        results, capfd, *FAST, *good, "dataset.name=slabs", "sweep=good", "tracking.report=true"
    )
    (cell,) = finished(outcome, "good").values()
    assert (cell.data.tags["dataset"], cell.data.tags["category"]) == ("slabs", "slabs")
    detector = load_detector(cell.info.run_id, tracking_uri=outcome.uri)
    assert (detector.policy, set(detector.thresholds)) == ("train_quantile", {*HELD_OUT_POLICIES})
    threshold = detector.thresholds["train_quantile"]
    assert threshold["image"] == cell.data.metrics["image_threshold"]
    assert threshold["pixel"] == cell.data.metrics["threshold"]
    predictions = detector.predict(sorted((data / "washer/test/rust").iterdir()))
    assert predictions.verdicts is not None
    assert predictions.verdicts.tolist() == (predictions.scores >= threshold["image"]).tolist()
    page = (results / "reports/good/report.html").read_text()
    for text in (
        "Nothing was measured, as there are no test images",
        cell.info.run_id,
        "benchmark.predict RUN",
    ):
        assert text in page
    assert "Image AUROC" not in page + outcome.stdout
    shown = " ".join(outcome.stdout.split())
    assert "thresholds by train_quantile instead of f1_image, which needs test images" in shown


def test_folders_of_good_and_bad_images_and_masks_are_measured(
    data: Path, results: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(data / "washer/test", tmp_path / "ng", ignore=shutil.ignore_patterns("good"))
    dirs = {"normal": "train/good", "mask": "ground_truth", "normal_test": "test/good"}
    options = [f"dataset.{name}_dir={data / 'washer' / folder}" for name, folder in dirs.items()]
    options += [f"dataset.abnormal_dir={tmp_path / 'ng'}", "dataset.name=washer"]
    arguments = (*FAST, "dataset=folder", *options)
    outcome = run_here(results, capfd, *arguments, "sweep=bad")
    (cell,) = finished(outcome, "bad").values()
    assert cell.data.tags["category"] == "washer"
    scores = read_scores(outcome.artifact(cell, "scores.csv"))
    assert scores["image"].is_unique
    assert scores["kind"].value_counts()["good"] == 2
    assert {"image_auroc", "pro"} <= {*cell.data.metrics}
    washers = [run for run in outcome.runs("cell") if run.data.tags["category"] == "washer"]
    assert len({run.data.tags["training_key"] for run in washers}) == 1
    assert len({run.data.metrics["image_auroc"] for run in washers}) == 1


def test_options_that_do_not_go_together_are_refused(
    data: Path, results: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    both = ("dataset=folder", f"dataset.root={data}", f"dataset.normal_dir={data}")
    fails_plainly(run_here(results, capfd, *FAST, *both), "dataset.root and dataset.normal_dir are both set")
    old = ("dataset=folder", f"dataset.root={data}", "dataset.good=OK")
    fails_plainly(
        run_here(results, capfd, *FAST, *old), "dataset.good: there is no such option", "normal_names"
    )
