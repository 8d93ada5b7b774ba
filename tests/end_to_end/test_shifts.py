"""Shifts of test images by the real command: measured from a detector without training, and a shortened experiment."""

from pathlib import Path

import numpy as np
import pytest
from mlflow.entities import Run

from benchmark.data.shifts import shift
from benchmark.detector import load_detector
from datasets.images import read_image, resize_image
from store.files import read_scores, read_shifts
from store.shifts import LEVELS, SHIFTS
from store.table import find_sweep
from tests.end_to_end.command import QUICK, TAKEN, TINY, Outcome, fails_plainly, numbers_of, run_here

CELL = (
    *("method=stfpm", "dataset.categories=[washer]", *QUICK),
    *("dataset.test_good=3", "dataset.test_defective=2", "evaluation.batch_size=4", "tracking.detector=true"),
)
ASKED = ("evaluation.shifts=[blur,noise]",)
TRAINS = "trains for"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def cells(results: Path, capfd: pytest.CaptureFixture[str]) -> dict[str, Run]:
    """Return the cell of a sweep without shifts, and that of one with them; the first test runs both."""
    if not (results / "mlflow.db").exists():
        plain = run_here(results, capfd, *CELL, "sweep=plain")
        assert plain.code == 0, plain.stderr
        kept = sorted(path.name for path in (results / "cache" / "features").iterdir())
        outcome = run_here(results, capfd, *CELL, *ASKED, "sweep=shifted")
        assert outcome.code == 0, outcome.stderr
        assert TRAINS in plain.stdout
        assert TRAINS not in outcome.stdout
        assert "Image AUROC of shifted test images" in outcome.stdout
        assert sorted(path.name for path in (results / "cache" / "features").iterdir()) == kept
    return {str(run.data.tags["sweep"]): run for run in Outcome(0, "", "", results).runs("cell")}


def test_a_measured_cell_gets_shifts_without_training_and_keeps_its_numbers(cells: dict[str, Run]) -> None:
    plain, shifted = cells["plain"], cells["shifted"]
    assert plain.data.tags["training_key"] == shifted.data.tags["training_key"]
    assert plain.data.tags["identity"] != shifted.data.tags["identity"]
    numbers = numbers_of(shifted)
    means = {name: numbers.pop(f"shifted_image_auroc/{name}") for name in ("blur", "noise")}
    assert numbers == numbers_of(plain)
    assert all(0 <= mean <= 1 for mean in means.values())


def test_another_sweep_takes_them_from_the_store(
    results: Path, cells: dict[str, Run], capfd: pytest.CaptureFixture[str]
) -> None:
    again = run_here(results, capfd, *CELL, *ASKED, "sweep=again")
    assert again.code == 0, again.stderr
    assert again.stdout.count(TAKEN) == 1


def test_the_detector_gives_the_recorded_verdicts_on_images_that_are_shifted_by_hand(
    results: Path, cells: dict[str, Run]
) -> None:
    store, run = Outcome(0, "", "", results), cells["shifted"]
    table = read_shifts(store.artifact(run, "shifts.csv"))
    assert len(table) == 1 + 2 * len(LEVELS)
    scores = read_scores(store.artifact(run, "scores.csv"))
    (category,) = (results / "cache" / "generated").glob("*/washer")
    images = [np.asarray(resize_image(read_image(category / name), 32)) for name in scores["image"]]
    detector = load_detector(run.info.run_id, tracking_uri=store.uri)
    for name, level in (("blur", 2), ("noise", 5)):
        found = detector.predict([shift(name, level, image)[0] for image in images], batch_size=4)
        assert found.verdicts is not None
        (row,) = table[(table["shift"] == name) & (table["level"] == level)].to_dict("records")
        anomalous = scores["label"].to_numpy() == 1
        assert row["misses"] == np.count_nonzero(anomalous & ~found.verdicts)
        assert row["false_alarms"] == np.count_nonzero(~anomalous & found.verdicts)
        pairs = found.scores[anomalous][:, None] - found.scores[~anomalous]
        assert row["image_auroc"] == pytest.approx(np.mean(np.heaviside(pairs, 0.5)))


def test_an_unknown_shift_is_one_error_that_lists_the_known_ones(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = run_here(tmp_path, capfd, *CELL, "evaluation.shifts=[blurr]")
    fails_plainly(
        outcome, "evaluation.shifts: found 'blurr' (did you mean 'blur'?); expected", *SHIFTS, "all"
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_shortened_experiment_leaves_tables_and_figures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("method=rd,ast", "dataset.categories=[washer]", *TINY, "tracking.report=true", "sweep=short")
    outcome = run_here(tmp_path, capfd, "-m", "experiment=shift", *options)
    assert outcome.code == 0, outcome.stderr
    parent = find_sweep(outcome.uri, "short")
    header, *rows = outcome.artifact(parent, "tables/shifts.csv").read_text().splitlines()
    assert header.split(",") == ["method", "none", *SHIFTS, "mean of shifts"]
    assert len(rows) == 2
    report = tmp_path / "reports" / "short"
    assert (report / "tables" / "shifts-measures.tex").is_file()
    for name in ("image_auroc", "misses", "false_alarms"):
        assert (report / "figures" / f"shifts-{name}.pdf").is_file()
    page = (report / "report.html").read_text()
    assert "Image AUROC of shifted test images" in page
    assert "train_quantile" in page
