"""Whatever happens after the last cell: the sweep gets its status, the exit code is true, nothing finished is lost."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

import reports.summary
from datasets.synthetic import generate
from tests.end_to_end.command import LIGHT, QUICK, Outcome, run_here

ONE = ("method=stfpm", "dataset.categories=[washer]", *QUICK)
SMALL = ("protocol=quick", "method.training.image_size=32", "method.training.epochs=1", *LIGHT)

Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    return lambda *arguments: run_here(tmp_path / "results", capfd, *(arguments or ONE))


@pytest.fixture
def damaged(tmp_path: Path) -> list[str]:
    """Return the options of a dataset whose cells fail: an image is damaged behind its header."""
    root = generate(tmp_path, categories=["washer"], image_size=64, train=4, test_good=1, test_defective=1)
    file = root / "washer" / "test" / "good" / "000.png"
    file.write_bytes(file.read_bytes()[:-100])
    return ["dataset=folder", f"dataset.root={root}", *SMALL]


def breaks(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    def broken(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(reports.summary, name, broken)


def statuses(outcome: Outcome) -> tuple[list[str], list[str]]:
    cells, sweeps = outcome.runs("cell"), outcome.runs("sweep")
    return [run.info.status for run in cells], [run.info.status for run in sweeps]


def test_tables_that_break_leave_no_sweep_running(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks(monkeypatch, "summarize", RuntimeError("a broken table"))
    outcome = run()
    assert outcome.code == 1
    assert "a broken table" in outcome.stderr
    assert statuses(outcome) == (["FINISHED"], ["FAILED"])


def test_a_report_that_breaks_costs_the_report_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks(monkeypatch, "attach_report", RuntimeError("a broken report"))
    outcome = run(*ONE, "tracking.report=true")
    assert outcome.code == 1
    assert "Image AUROC" in outcome.stdout
    assert statuses(outcome) == (["FINISHED"], ["FINISHED"])


def test_an_interruption_while_the_tables_are_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks(monkeypatch, "summarize", KeyboardInterrupt())
    outcome = run()
    assert outcome.code == 130
    assert statuses(outcome) == (["FINISHED"], ["KILLED"])


def test_an_interrupted_report_leaves_the_sweep_finished(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks(monkeypatch, "attach_report", KeyboardInterrupt())
    outcome = run(*ONE, "tracking.report=true")
    assert outcome.code == 130
    assert statuses(outcome) == (["FINISHED"], ["FINISHED"])


def test_a_sweep_named_by_a_pattern_counts_its_jobs_and_its_failures(run: Run, damaged: list[str]) -> None:
    """`glob` needs Hydra's configuration folders, which the hook before the first job has to look at."""
    outcome = run("-m", "method=glob([simp*,stf*])", *damaged)
    assert outcome.code == 1
    assert statuses(outcome) == (["FAILED", "FAILED"], ["FAILED"])
    assert outcome.runs("sweep")[0].data.tags["jobs"] == "2"


def test_one_bad_value_among_good_ones_is_found_before_the_first_job_runs(run: Run) -> None:
    outcome = run(*ONE, "-m", "seed=0,-1")
    assert outcome.code == 2
    assert [line for line in outcome.stderr.splitlines() if line] == [
        "error: seed=-1: expected a whole number, 0 to 4294967295"
    ]
    assert not outcome.results.exists()


@pytest.mark.parametrize("arguments", [("-m", "tracking.experiment=a,b"), ("-m", "sweep=a,b")])
def test_the_jobs_of_a_sweep_share_its_store(run: Run, arguments: tuple[str, ...]) -> None:
    outcome = run(*ONE, *arguments)
    assert outcome.code == 2
    assert "found a and b for jobs of one sweep" in outcome.stderr
    assert not outcome.results.exists()


def test_flags_may_stand_after_overrides(run: Run) -> None:
    assert statuses(run(*ONE, "-m", "seed=0,1")) == (["FINISHED", "FINISHED"], ["FINISHED"])


def test_fail_fast_ends_the_sweep_and_not_just_the_job(run: Run, damaged: list[str]) -> None:
    outcome = run("-m", "method=stfpm", "seed=0,1", "jobs.fail_fast=true", *damaged)
    assert outcome.code == 2
    assert statuses(outcome) == (["FAILED"], ["FAILED"])
    assert outcome.stderr.count("error: ") == 1
