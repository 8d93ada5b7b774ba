"""SIGKILL at random moments: the sweep is started again each time and ends with the same numbers."""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT_ROOT
from tests.end_to_end.command import QUICK, Outcome, command, numbers, run

KILLS = 20
SWEEP = (
    *(
        "-m",
        "method=stfpm,rd,simple_student",
        "seed=0,1",
        "dataset.categories=[granite,washer]",
        "sweep=killed",
    ),
    *("dataset.image_size=32", "dataset.train=8", "dataset.test_good=2", "dataset.test_defective=1"),
    *("method.training.image_size=32", "method.training.epochs=12", "runtime.checkpoint_seconds=0"),
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twelve_cells_survive_twenty_kills(tmp_path: Path) -> None:
    undisturbed = run(tmp_path / "undisturbed", *SWEEP)
    assert undisturbed.code == 0, undisturbed.stderr
    results = tmp_path / "killed"
    moments = random.Random(0)
    finished: set[str] = set()
    for number in range(KILLS):
        with (tmp_path / "log").open("a") as log:
            process = subprocess.Popen(
                command(results, *SWEEP), stdout=log, stderr=subprocess.STDOUT, cwd=PROJECT_ROOT
            )
            try:
                code = process.wait(moments.uniform(0.5, 25))
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
        before, finished = finished, identities(results)
        assert before <= finished
        print(f"kill {number + 1}: {code}, {len(finished)} cells have finished")
    last = run(results, *SWEEP)
    assert last.code == 0, last.stderr
    assert numbers(last) == numbers(undisturbed)
    assert len(numbers(last)) == 12
    identified = [cell.data.tags["identity"] for cell in last.runs("cell") if cell.info.status == "FINISHED"]
    assert len(identified) == len(set(identified)) == 12
    assert {cell.info.status for cell in last.runs("cell")} <= {"FINISHED", "KILLED"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_that_is_stopped_while_it_creates_the_store(tmp_path: Path, number: int) -> None:
    results, chosen = tmp_path / "results", ("method=stfpm", "dataset.categories=[washer]", *QUICK)
    for seconds in (0, 0.3, 1):
        with subprocess.Popen(
            command(results, *chosen), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=PROJECT_ROOT
        ) as process:
            while not list(results.glob(".mlflow.db.partial/mlflow.db")):
                assert process.poll() is None
                time.sleep(0.001)
            time.sleep(seconds)
            process.send_signal(number)
    last = run(results, *chosen)
    assert last.code == 0, last.stderr
    assert len(numbers(last)) == 1
    assert not (results / ".mlflow.db.partial").exists()


def identities(results: Path) -> set[str]:
    """Return the cells that have finished."""
    if not (results / "mlflow.db").exists():
        return set()
    runs = Outcome(0, "", "", results).runs("cell")
    return {run.data.tags["identity"] for run in runs if run.info.status == "FINISHED"}
