"""Ctrl-C, SIGTERM and a closed terminal during a training: finished cells are kept, the run is marked KILLED."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.end_to_end.command import TAKEN, TINY, Outcome, command

ENDLESS = ("dataset.categories=[granite,washer]", *TINY, "method.training.epochs=100000")


def interrupt(
    results: Path,
    number: signal.Signals,
    *arguments: str,
    sign: str = "trains for",
    count: int = 1,
    times: int = 1,
) -> Outcome:
    """Start the command, wait until its output has shown a sign so many times, and send it a signal some times."""
    log = results.parent / "log"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with log.open("w") as file:
        process = subprocess.Popen(
            command(results, *arguments),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            deadline = time.monotonic() + 120
            while log.read_text().count(sign) < count:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            time.sleep(0.5)
            for _ in range(times):
                process.send_signal(number)
                time.sleep(0.05)
            code = process.wait(60)
        finally:
            process.kill()
    return Outcome(code, log.read_text(), "", results)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "times", "code", "multirun"),
    [
        (signal.SIGINT, 1, 130, []),
        (signal.SIGINT, 3, 130, ["-m"]),
        (signal.SIGTERM, 2, 143, ["-m"]),
        (signal.SIGHUP, 1, 129, []),
    ],
    ids=["Ctrl-C", "three times Ctrl-C", "SIGTERM twice", "closed terminal"],
)
def test_an_interruption_marks_run_and_sweep_killed(
    tmp_path: Path, number: signal.Signals, times: int, code: int, multirun: list[str]
) -> None:
    arguments = [*multirun, "method=stfpm", *ENDLESS]
    outcome = interrupt(tmp_path / "results", number, *arguments, times=times)
    assert outcome.code == code, outcome.stdout
    assert "Traceback" not in outcome.stdout
    assert [run.info.status for run in outcome.runs("cell")] == ["KILLED"]
    assert [run.info.status for run in outcome.runs("sweep")] == ["KILLED"]


def test_finished_cells_are_kept_and_the_interrupted_training_resumes(tmp_path: Path) -> None:
    """The first job ends at once; the second is interrupted."""
    short_then_endless = [
        "-m",
        "method=stfpm",
        "dataset.categories=[washer]",
        *TINY,
        "method.training.epochs=1,100000",
        "runtime.checkpoint_seconds=0",
    ]
    outcome = interrupt(tmp_path / "results", signal.SIGINT, *short_then_endless, count=2)
    assert outcome.code == 130, outcome.stdout
    assert "Traceback" not in outcome.stdout
    assert [run.info.status for run in outcome.runs("cell")] == ["FINISHED", "KILLED"]
    assert [run.info.status for run in outcome.runs("sweep")] == ["KILLED"]
    assert "Image AUROC" in outcome.stdout  # the table of the finished cell
    resumed = interrupt(
        tmp_path / "results", signal.SIGINT, *short_then_endless, sign="student resumes after epoch"
    )
    assert resumed.code == 130, resumed.stdout
    assert resumed.stdout.count(TAKEN) == 1
    assert "trains for" not in resumed.stdout
