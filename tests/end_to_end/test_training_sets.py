"""Few and contaminated train images, and one model for all categories, by the real command."""

import csv
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from benchmark.predict import main as predict
from store.table import labels, read_cells
from tests.conftest import PROJECT_ROOT
from tests.end_to_end.command import (
    QUICK,
    Outcome,
    command,
    fails_plainly,
    numbers,
    run,
    run_here,
)

METHOD = ("method=stfpm", "backbone=resnet18", "backbone.weights=random", *QUICK)
TWO = ("dataset.categories=[granite,washer]", "tracking.detector=true")
LOADED = "trained before, detector loaded from"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


def names_of(outcome: Outcome, sweep: str) -> Sequence[str]:
    return [*dict.fromkeys(labels(read_cells(outcome.uri, [sweep])))]


def test_one_model_is_trained_once_and_found_again(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = run_here(results, capfd, *METHOD, *TWO, "dataset.pool=all", "sweep=pooled")
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.count("trains for") == 1
    assert outcome.stdout.count(LOADED) == 1
    tables = outcome.stdout[outcome.stdout.index("Image AUROC") :]
    assert "one model for all 2 categories" in " ".join(tables.split())
    cells = {cell.data.tags["category"]: cell for cell in outcome.runs("cell")}
    assert len({cell.data.tags["training_key"] for cell in cells.values()}) == 1
    assert {cell.data.tags["trained_on"] for cell in cells.values()} == {"one model for all 2 categories"}
    for cell in cells.values():
        assert cell.data.params["dataset.pool"] == "all 2 categories (granite, washer)"
        assert cell.data.metrics["train_images"] == 8
        assert cell.data.metrics["held_out_images"] == 1
        assert "dataset.categories=[granite,washer]" in cell.data.tags["command"]
        recorded = yaml.safe_load(outcome.artifact(cell, "config.yaml").read_text())
        assert recorded["dataset"]["categories"] == ["granite", "washer"]

    measured = run_here(
        results, capfd, *METHOD, *TWO, "dataset.pool=all", "sweep=m", "evaluation.fpr_limit=0.2"
    )
    assert "trains for" not in measured.stdout
    assert measured.stdout.count(LOADED) == 2


def test_the_detector_of_a_category_scores_images(results: Path, tmp_path: Path) -> None:
    image = next((results / "cache" / "generated").rglob("washer/test/good/*.png"))
    where = ("--store", f"sqlite:///{results / 'mlflow.db'}", "--sweep", "pooled", "--category", "washer")
    assert predict([*where, str(image), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").is_dir()


@pytest.mark.slow
def test_another_category_is_another_model(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    three = "dataset.categories=[granite,washer,weave]"
    outcome = run_here(results, capfd, "-m", *METHOD, three, "dataset.pool=all,category", "sweep=three")
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.count("trains for") == 4
    assert names_of(outcome, "three") == ["stfpm (one model for all 3 categories)", "stfpm"]


@pytest.mark.slow
def test_few_and_contaminated_images_have_columns_of_their_own(
    results: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sizes = ("dataset.train=8", "dataset.test_defective=2", "dataset.categories=[washer]")
    chosen = (*METHOD, *sizes, "dataset.train_images=null,4", "dataset.contamination=0,0.25", "seed=3")
    outcome = run_here(results, capfd, "-m", *chosen, "sweep=drawn")
    assert outcome.code == 0, outcome.stderr
    assert "washer: 1 of 4 train images are defective" in outcome.stdout.replace("4 train images; ", "")
    assert names_of(outcome, "drawn") == [
        "stfpm",
        "stfpm (dataset.contamination=0.25)",
        "stfpm (dataset.train_images=4)",
        "stfpm (dataset.contamination=0.25 dataset.train_images=4)",
    ]
    cells = [cell for cell in outcome.runs("cell") if cell.data.tags["sweep"] == "drawn"]
    assert [cell.data.metrics["train_images"] for cell in cells] == [8, 8, 4, 4]
    assert [cell.data.tags.get("trained_on", "") for cell in cells] == [
        *("", "2 of 8 train images are defective", "4 train images"),
        "4 train images; 1 of 4 train images are defective",
    ]
    tested = []
    for cell in cells:
        with outcome.artifact(cell, "scores.csv").open(newline="") as file:
            tested.append(len([*csv.reader(file)]) - 1)
    assert [tested[0] - count for count in tested] == [0, 2, 0, 1]
    assert len({cell.data.tags["test_images"] for cell in cells}) == 3


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (
            ("dataset.train_images=5",),
            ("'granite' has 4 train images", "'washer' has 4 train images", "at most 4"),
        ),
        (("dataset.contamination=0.5",), ("asks for 2 defective test images", "0 can be moved")),
        (("dataset.train_images=1",), ("validation_fraction=0.2 of the 1 train images",)),
        (("dataset.pool=all", "dataset.categories=[washer]"), ("'washer' is the only one",)),
        (("dataset.pool=both",), ("dataset.pool=both: expected category, all",)),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(
    options: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = run_here(tmp_path / "results", capfd, *METHOD, *TWO, *options)
    fails_plainly(outcome, *parts)
    assert not (tmp_path / "results" / "detectors").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("few_shot", ("dataset.train_images=2,4", "method.training.stages.student.steps=2")),
        ("noisy", ("dataset.contamination=0.0,0.25",)),
    ],
)
def test_a_shortened_experiment_runs(tmp_path: Path, name: str, options: Sequence[str]) -> None:
    sizes = ("dataset.train=8", "dataset.test_defective=2", "dataset.categories=[washer]")
    small = [each for each in METHOD[1:] if not each.startswith("dataset.t")]
    outcome = run(tmp_path, "-m", f"experiment={name}", *small, *sizes, *options, "sweep=short", timeout=800)
    assert outcome.code == 0, outcome.stderr
    cells = outcome.runs("cell")
    assert {cell.info.status for cell in cells} == {"FINISHED"}
    assert len(cells) == 12


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_model_resumes_after_a_kill_and_gives_the_same_numbers(tmp_path: Path) -> None:
    sweep = (*METHOD, *TWO, "dataset.pool=all", "method.training.epochs=40", "runtime.checkpoint_seconds=0")
    undisturbed = run(tmp_path / "undisturbed", *sweep, timeout=400)
    results = tmp_path / "killed"
    process = subprocess.Popen(command(results, *sweep), stdout=subprocess.DEVNULL, cwd=PROJECT_ROOT)
    while process.poll() is None and not [*results.glob("checkpoints/*.checkpoint")]:
        time.sleep(0.02)
    process.kill()
    process.wait()
    again = run(results, *sweep, timeout=400)
    assert again.code == 0, again.stderr
    assert "stfpm all 2 categories: student resumes after epoch" in " ".join(again.stdout.split())
    assert numbers(again) == numbers(undisturbed)
    assert len(numbers(again)) == 2
