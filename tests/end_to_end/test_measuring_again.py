"""A finished sweep with another evaluation, measure or state of the code: only what must be is trained again."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow.entities import Run

from benchmark.detector import load_detector
from reports.__main__ import main as reports
from store.errors import StoreError
from store.tracker import Tracker
from tests.conftest import PROJECT_ROOT
from tests.end_to_end.command import QUICK, TAKEN, Outcome, numbers_of, run, run_here
from tests.store.made import earlier_cell

METHODS = ("ast", "stfpm")
NAMES = [f"{method} washer" for method in METHODS]
SWEEP = (
    *("-m", f"method={','.join(METHODS)}", "dataset.categories=[washer]"),
    *(*QUICK, "tracking.detector=true"),
)
ONE = ("method=stfpm", "dataset.categories=[washer]", *QUICK)
TRAINS, LOADED = "trains for", "trained before, detector loaded from"
CODE = ("benchmark", "conf", "datasets", "methods", "metrics", "reports", "store")
MEASURE = """
        Measure(
            "largest_dice",
            "Dice (largest)",
            "pixel",
            "The largest Dice, under another name.",
            lambda data: dice_max(data.pixels)[0],
            oracle=True,
        ),
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def finished(results: Path, capfd: pytest.CaptureFixture[str]) -> dict[str, Run]:
    """Return the cells of a sweep that has finished; the first test that needs it runs it."""
    if not (results / "mlflow.db").exists():
        outcome = run_here(results, capfd, *SWEEP, "sweep=first")
        assert outcome.code == 0, outcome.stderr
    return cells(Outcome(0, "", "", results), "first")


def cells(outcome: Outcome, sweep: str) -> dict[str, Run]:
    """Return the cells that a sweep ran, by their names; all have finished."""
    runs = [run for run in outcome.runs("cell") if run.data.tags["sweep"] == sweep]
    assert {run.info.status for run in runs} <= {"FINISHED"}
    return {str(run.info.run_name): run for run in runs}


def test_another_limit_measures_all_cells_again_and_trains_none(
    results: Path, finished: dict[str, Run], capfd: pytest.CaptureFixture[str]
) -> None:
    limit = "evaluation.fpr_limit=0.2"
    second = run_here(results, capfd, *SWEEP, "sweep=second", limit)
    assert second.code == 0, second.stderr
    assert TRAINS not in second.stdout
    shown = "".join(second.stdout.splitlines())
    for name in NAMES:
        assert f"{name}: {LOADED} {results / 'detectors'}" in shown
    measured = cells(second, "second")
    assert list(measured) == list(finished) == NAMES
    for name in NAMES:
        before, after = finished[name], measured[name]
        assert before.data.tags["training_key"] == after.data.tags["training_key"]
        assert before.data.tags["identity"] != after.data.tags["identity"]
        assert before.data.metrics["train_seconds"] == after.data.metrics["train_seconds"]
        first_numbers, second_numbers = numbers_of(before), numbers_of(after)
        assert first_numbers.pop("pro") != second_numbers.pop("pro")
        assert first_numbers == second_numbers
    third = run_here(results, capfd, *SWEEP, "sweep=third", limit, "tables=[pixel_ap]")
    assert third.code == 0, third.stderr
    assert third.stdout.count(TAKEN) == len(NAMES)
    assert LOADED not in third.stdout
    assert "Pixel AP" in third.stdout
    assert cells(third, "third") == {}


@pytest.mark.parametrize("where", ["{}", "runs:/{}"])
def test_a_detector_of_the_store_gives_the_recorded_scores_and_verdicts(
    results: Path, finished: dict[str, Run], where: str
) -> None:
    outcome = Outcome(0, "", "", results)
    for cell in finished.values():
        with outcome.artifact(cell, "scores.csv").open() as file:
            rows = list(csv.DictReader(file))
        (category,) = (results / "cache" / "generated").glob(f"*/{cell.data.tags['category']}")
        detector = load_detector(where.format(cell.info.run_id), tracking_uri=outcome.uri)
        batch_size = int(cell.data.params["evaluation.batch_size"])
        predictions = detector.predict([category / row["image"] for row in rows], batch_size=batch_size)
        assert predictions.scores.tolist() == [float(row["score"]) for row in rows]
        assert predictions.verdicts is not None
        expected = predictions.scores >= cell.data.metrics["image_threshold"]
        assert np.array_equal(predictions.verdicts, expected)
        assert expected.sum() > 0


def test_a_run_without_a_detector_and_a_store_that_does_not_exist_are_named(
    results: Path, finished: dict[str, Run], tmp_path: Path
) -> None:
    store = Outcome(0, "", "", results)
    parent = store.runs("sweep")[0].info.run_id
    with pytest.raises(
        StoreError, match=rf"runs:/{parent}: .* holds no detector of it .*tracking.detector=true"
    ):
        load_detector(parent, tracking_uri=store.uri)
    with pytest.raises(StoreError, match=rf"runs:/{parent}: .*none.db: there is no store yet"):
        load_detector(parent, tracking_uri=f"sqlite:///{tmp_path / 'none.db'}")
    assert not (tmp_path / "none.db").exists()


def test_a_new_measure_is_taken_from_the_detector(
    results: Path, finished: dict[str, Run], tmp_path: Path
) -> None:
    project = copy_project(tmp_path)
    registry = project / "metrics" / "registry.py"
    before, opening, after = registry.read_text().partition("    for measure in (\n")
    assert opening
    registry.write_text(before + opening + MEASURE + after)
    outcome = run(results, *ONE, "sweep=measure", project=project)
    assert outcome.code == 0, outcome.stderr
    assert TRAINS not in outcome.stdout
    assert outcome.stdout.count(LOADED) == 1
    (cell,) = cells(outcome, "measure").values()
    numbers = numbers_of(cell)
    assert numbers.pop("largest_dice") == numbers["dice_max"]
    assert numbers == numbers_of(finished["stfpm washer"])


@pytest.mark.slow
def test_changed_code_trains_again_only_if_it_can_change_a_detector(
    results: Path, finished: dict[str, Run], tmp_path: Path
) -> None:
    project = copy_project(tmp_path)
    loop = project / "benchmark" / "training" / "loop.py"
    append(loop, "# a comment\n")
    append(project / "reports" / "summary.py", "ADDED = 1\n")
    same = run(results, *ONE, "sweep=report", project=project)
    assert same.code == 0, same.stderr
    assert same.stdout.count(TAKEN) == 1
    assert cells(same, "report") == {}
    append(loop, "ADDED = 1\n")
    changed = run(results, *ONE, "sweep=loop", project=project)
    assert changed.code == 0, changed.stderr
    assert changed.stdout.count(f"stfpm washer: student {TRAINS}") == 1
    (cell,) = cells(changed, "loop").values()
    assert cell.data.tags["training_key"] != finished["stfpm washer"].data.tags["training_key"]
    assert numbers_of(cell) == numbers_of(finished["stfpm washer"])


def copy_project(folder: Path) -> Path:
    """Copy the code, without environment and results."""
    shutil.copy(PROJECT_ROOT / "run_benchmark.py", folder)
    for name in CODE:
        shutil.copytree(PROJECT_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_cells_of_an_earlier_version_are_announced_and_reported(
    results: Path,
    finished: dict[str, Run],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Outcome(0, "", "", results)
    (experiment,) = {run.info.experiment_id for run in finished.values()}
    name = store.client.get_experiment(experiment).name
    earlier_cell(
        Tracker(store.uri, name, results),
        {"method.layers": "['layer1']", "trainer.precision": "fp32", "evaluation.fpr_limit": "0.3"},
        category="washer",
        backbone="resnet18.tv_in1k",
        weights="random",
        threshold_policy="f1_image",
        fpr_limit="0.3",
    )
    outcome = run_here(results, capfd, *ONE, "sweep=later")
    assert outcome.code == 0, outcome.stderr
    shown = " ".join(outcome.stdout.split())
    assert "holds cells of an earlier version (1): reports still read them" in shown
    assert outcome.stdout.count(TAKEN) == 1  # of the present version
    monkeypatch.setattr(
        "sys.argv", ["reports", "--uri", store.uri, "--sweep", "a", "--out", str(tmp_path / "report")]
    )
    assert reports() == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert all(text in page for text in ("stfpm", "washer", "0.250", "earlier version"))
