"""A worker ends after the process that started it, whatever ended that process."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT_ROOT

SECONDS = 10
"""Within this time a worker must have ended."""

CHILD = """
import signal, sys, time
from pathlib import Path
from benchmark import orphans
{setup}
Path({folder!r}, "child").write_text(str(os.getpid()))
orphans.end_with_parent()
{work}
"""

PARENT = """
import subprocess, sys
subprocess.run([sys.executable, "-c", {child!r}])
"""


def orphan(folder: Path, work: str, setup: str = "") -> int:
    """Start a process that starts a worker, kill it, and return the number of the worker."""
    child = "import os\n" + CHILD.format(folder=str(folder), work=textwrap.dedent(work), setup=setup)
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(child=child)], cwd=PROJECT_ROOT)
    try:
        number = int(wait_for_text(folder / "child"))
        time.sleep(0.2)
        assert runs(number)
    finally:
        parent.kill()
        parent.wait()
    return number


def wait_for_text(path: Path) -> str:
    end = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return path.read_text()


def runs(number: int) -> bool:
    """Return whether a process exists and is not a zombie that nobody has waited for."""
    try:
        status = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def ends(number: int) -> float:
    """Return the seconds that a process still runs."""
    start = time.monotonic()
    while runs(number):
        if time.monotonic() - start > SECONDS:
            os.kill(number, signal.SIGKILL)
            pytest.fail(f"the worker runs {SECONDS} s after its parent was killed")
        time.sleep(0.05)
    return time.monotonic() - start


pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are read from /proc")


def test_a_worker_ends_after_its_parent(tmp_path: Path) -> None:
    assert ends(orphan(tmp_path, "time.sleep(600)")) < 3


def test_a_worker_is_terminated_and_cleans_up(tmp_path: Path) -> None:
    """As a job that records its cell as KILLED does."""
    work = f"""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    try:
        time.sleep(600)
    finally:
        time.sleep(1)
        Path({str(tmp_path)!r}, "cleaned").touch()
    """
    ends(orphan(tmp_path, work))
    assert (tmp_path / "cleaned").exists()


@pytest.mark.slow
def test_a_worker_that_does_not_hear_sigterm_ends(tmp_path: Path) -> None:
    work = """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        sum(range(1000))
    """
    ends(orphan(tmp_path, work))


def test_a_worker_whose_parent_ended_before_it_was_asked_ends(tmp_path: Path) -> None:
    """The parent is the one that started the process, not the one that has adopted it since."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    setup = f"""
import multiprocessing
multiprocessing.parent_process = lambda: type("Parent", (), {{"pid": {gone.pid}}})
"""
    work = "time.sleep(600)"
    child = "import os\n" + CHILD.format(folder=str(tmp_path), work=work, setup=setup)
    done = subprocess.run([sys.executable, "-c", child], cwd=PROJECT_ROOT, timeout=60)
    assert done.returncode == -signal.SIGTERM


def test_a_worker_whose_parent_lives_goes_on() -> None:
    child = (
        "import time; from benchmark import orphans; orphans.end_with_parent(); time.sleep(2); print('done')"
    )
    done = subprocess.run([sys.executable, "-c", child], cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n")
