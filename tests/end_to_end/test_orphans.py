"""SIGKILL of a command whose jobs run in other processes: they end, too, and the next command goes on."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import PROJECT_ROOT
from tests.end_to_end.command import command, numbers, run

KILLS = 20
SECONDS = 10
"""Within this time all workers must have ended."""
SWEEP = (
    *("-m", "method=stfpm,simple_student", "seed=0,1", "dataset.categories=[granite,washer]", "sweep=killed"),
    *("dataset.image_size=32", "dataset.train=8", "dataset.test_good=2", "dataset.test_defective=1"),
    *("method.training.image_size=32", "method.training.epochs=12", "runtime.threads=1"),
    *("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
)


def processes(results: Path) -> list[int]:
    """Return the processes of commands that write to a folder, without zombies."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and f"ORPHANS={results}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are read from /proc")
def test_workers_end_with_a_killed_command_and_the_next_one_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra joblib is not installed")
    results = tmp_path / "results"
    environment = {**os.environ, "ORPHANS": str(results)}
    moments = random.Random(0)
    log = tmp_path / "log"
    for number in range(KILLS):
        with log.open("w") as file:
            process = subprocess.Popen(
                command(results, *SWEEP),
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=PROJECT_ROOT,
                env=environment,
            )
        while process.poll() is None and len(processes(results)) == 1:
            time.sleep(0.1)
        with suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0, 15))
        workers = len(processes(results)) - 1
        process.send_signal(signal.SIGHUP if number % 4 == 3 else signal.SIGKILL)
        code = process.wait(60)
        print(f"kill {number + 1}: exit code {code}, {workers} other processes", flush=True)
        assert code in (0, -signal.SIGKILL, 128 + signal.SIGHUP), log.read_text()
        start = time.monotonic()
        while left := processes(results):
            assert time.monotonic() - start < SECONDS, f"{left} still run"
            time.sleep(0.1)
    last = run(results, *SWEEP)
    assert last.code == 0, last.stderr
    assert len(numbers(last)) == 8
    undisturbed = run(tmp_path / "undisturbed", *SWEEP)
    assert numbers(last) == numbers(undisturbed)
    assert {cell.info.status for cell in last.runs("cell")} <= {"FINISHED", "KILLED"}
