"""Sweeps that are started again: failed cells run again, finished ones do not, and numbers stay the same."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from PIL import Image

from datasets.synthetic import generate
from reports.status import read_status
from store.client import LocalClient
from store.passwords import PASSWORD
from store.sync import main as sync
from tests.conftest import PROJECT_ROOT
from tests.end_to_end.command import (
    LIGHT,
    QUICK,
    TAKEN,
    Outcome,
    command,
    fails_plainly,
    numbers_of,
    run_here,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


def cells(outcome: Outcome, status: str = "FINISHED") -> list[tuple[str, str, str]]:
    tags = [run.data.tags for run in outcome.runs("cell") if run.info.status == status]
    return sorted((tag["method"], tag["category"], tag["seed"]) for tag in tags)


def test_only_new_cells_run_whatever_the_order_and_the_tables_hold_all(
    results: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = run_here(results, capfd, "method=stfpm", "dataset.categories=[washer]", "sweep=first", *QUICK)
    assert first.code == 0, first.stderr
    assert cells(first) == [("stfpm", "washer", "0")]
    more = (
        "-m",
        "method=simple_student,stfpm",
        "dataset.categories=[granite,washer]",
        "sweep=second",
        *QUICK,
    )
    second = run_here(results, capfd, *more)
    assert second.code == 0, second.stderr
    assert second.stdout.count(TAKEN) == 1
    assert f"stfpm washer: {TAKEN}" in second.stdout
    assert len(cells(second)) == 4
    again = run_here(results, capfd, *more)
    assert again.stdout.count(TAKEN) == 4
    assert "trains for" not in again.stdout
    assert len(cells(again)) == 4
    shown = second.stdout[second.stdout.index("Image AUROC") :]
    assert shown == again.stdout[again.stdout.index("Image AUROC") :]
    assert all(name in shown for name in ("Simple Student", "STFPM", "granite", "washer"))
    name, status = read_status(second.uri, "second")
    assert (name, status.unknown, status.counts["finished"], status.counts["missing"]) == ("second", 0, 4, 0)
    assert capfd.readouterr().err == ""


def test_a_cell_can_be_forced_to_train_and_measure_again_with_the_same_numbers(
    results: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chosen = ("method=stfpm", "dataset.categories=[washer]", "sweep=forced", "seed=1", *QUICK)
    for force in ("false", "true"):
        outcome = run_here(results, capfd, *chosen, f"jobs.force={force}")
        assert outcome.code == 0, outcome.stderr
        assert outcome.stdout.count("stfpm washer seed 1: student trains for") == 1
    first, second = (run for run in outcome.runs("cell") if "sweep.forced" in run.data.tags)
    assert first.data.tags["identity"] == second.data.tags["identity"]
    assert numbers_of(first) == numbers_of(second)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = generate(
        tmp_path / "data",
        categories=["granite", "washer"],
        image_size=32,
        train=4,
        test_good=1,
        test_defective=1,
    )
    return Path(shutil.copytree(root, tmp_path / "copy"))


def small(data: Path) -> tuple[str, ...]:
    return (
        *("method=stfpm", "dataset=folder", f"dataset.root={data}", "sweep=broken"),
        *("method.training.image_size=32", "method.training.epochs=1", "backbone.weights=random"),
        *LIGHT,
    )


def test_the_last_line_is_the_command_that_runs_what_failed_and_nothing_else(
    tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    image = data / "granite/train/good/000.png"
    content = image.read_bytes()
    image.write_bytes(content[:100])
    outcome = run_here(tmp_path / "results", capfd, *small(data))
    assert outcome.code == 1
    assert cells(outcome) == [("stfpm", "washer", "0")]
    assert cells(outcome, "FAILED") == [("stfpm", "granite", "0")]
    assert "failed: stfpm granite: DatasetError" in outcome.stdout
    (last,) = outcome.stdout.strip().splitlines()[-1:]
    title, _, shown = last.partition(": ")
    assert title == "to run what failed or is missing"
    assert read_status(outcome.uri)[1].counts == {"finished": 1, "running": 0, "failed": 1, "missing": 0}
    image.write_bytes(content)
    arguments = [part for part in shlex.split(shown)[2:] if not part.startswith("results_dir=")]
    repaired = run_here(tmp_path / "results", capfd, *arguments)
    assert repaired.code == 0, repaired.stderr
    assert repaired.stdout.count(TAKEN) == 1
    assert cells(repaired) == [("stfpm", "granite", "0"), ("stfpm", "washer", "0")]
    assert "failed" not in repaired.stdout
    assert read_status(outcome.uri)[1].counts == {"finished": 2, "running": 0, "failed": 0, "missing": 0}


def test_a_cell_that_takes_too_long_fails_and_fail_fast_ends_the_sweep(
    tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    slow = ("method.training.epochs=100000", "jobs.cell_seconds=1")
    both = run_here(tmp_path / "results", capfd, *small(data), *slow)
    assert both.code == 1
    assert [run.data.tags["reason"] for run in both.runs("cell")] == [
        "BenchmarkError: jobs.cell_seconds=1: the cell took longer and was stopped"
    ] * 2
    outcome = run_here(tmp_path / "others", capfd, *small(data), *slow, "jobs.fail_fast=true")
    fails_plainly(outcome, "stfpm granite failed", "jobs.fail_fast=true")
    assert len(outcome.runs("cell")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0.3, 0.2], ids=["the same cells", "other cells of the same detectors"])
def test_two_processes_that_need_the_same_train_it_once(tmp_path: Path, data: Path, limit: float) -> None:
    asked = [
        subprocess.Popen(
            command(tmp_path / "results", *small(data), f"sweep={name}", f"evaluation.fpr_limit={value}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=PROJECT_ROOT,
        )
        for name, value in (("one", 0.3), ("two", limit))
    ]
    shown = [process.communicate(timeout=240)[0] for process in asked]
    assert [process.returncode for process in asked] == [0, 0], shown
    outcome = Outcome(0, "".join(shown), "", tmp_path / "results")
    both, same = [("stfpm", "granite", "0"), ("stfpm", "washer", "0")], limit == 0.3
    assert cells(outcome) == sorted(both if same else both * 2)
    assert outcome.stdout.count("student trains for") == 2
    assert outcome.stdout.count(TAKEN if same else "trained before, detector loaded from") == 2
    assert read_status(outcome.uri, "one")[1].counts["finished"] == 2
    assert read_status(outcome.uri, "two")[1].counts["finished"] == 2


def test_a_repaired_image_makes_another_cell(
    tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = run_here(tmp_path / "results", capfd, *small(data), "dataset.categories=[washer]")
    with Image.open(data / "washer/test/good/000.png") as image:
        image.transpose(Image.Transpose.ROTATE_90).save(data / "washer/test/good/000.png")
    after = run_here(tmp_path / "results", capfd, *small(data), "dataset.categories=[washer]")
    assert (before.code, after.code) == (0, 0)
    assert TAKEN not in after.stdout
    assert len(cells(after)) == 2


def test_results_that_the_store_could_not_take_are_sent_later_and_not_computed_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: object) -> None:
        raise MlflowException("the server is away")

    results, chosen = tmp_path / "results", ("method=stfpm", "dataset.categories=[washer]", *QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(LocalClient, "log_artifacts", away)
        outcome = run_here(results, capfd, *chosen)
    fails_plainly(outcome, "the server is away", str(results / "pending"), "`python -m store.sync`")
    assert cells(outcome) == []
    monkeypatch.setattr("sys.argv", ["sync", "--results", str(results)])
    assert sync() == 0
    assert capfd.readouterr().out.splitlines()[0] == "sent: stfpm washer"
    assert cells(outcome) == [("stfpm", "washer", "0")]
    again = run_here(results, capfd, *chosen)
    assert again.code == 0, again.stderr
    assert again.stdout.count(TAKEN) == 1
    assert list((results / "pending").iterdir()) == []


def test_a_password_reaches_no_output_and_no_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, "")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = "tracking.uri=http://me:s3cr3t@127.0.0.1:9"
    outcome = run_here(tmp_path / "results", capfd, "method=stfpm", uri)
    fails_plainly(outcome, "tracking.uri=http://me@127.0.0.1:9", "cannot be used")
    assert "s3cr3t" not in outcome.stdout + outcome.stderr
    files = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert not [path for path in files if b"s3cr3t" in path.read_bytes()]


def test_a_password_in_a_file_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, "")
    folder = tmp_path / "conf" / "tracking"
    folder.mkdir(parents=True)
    text = (PROJECT_ROOT / "conf/tracking/mlflow.yaml").read_text().splitlines()
    kept = [line for line in text if not line.startswith("uri:")]
    (folder / "mine.yaml").write_text("\n".join([*kept, "uri: http://me:s3cr3t@127.0.0.1:9", ""]))
    options = ("--config-dir", str(tmp_path / "conf"), "tracking=mine", "method=stfpm")
    outcome = run_here(tmp_path / "results", capfd, *options)
    fails_plainly(outcome, "tracking.uri holds a password", PASSWORD)
    assert "s3cr3t" not in outcome.stdout + outcome.stderr
