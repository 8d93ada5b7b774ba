"""Whole processes, measured from outside: wall time, memory of the process tree, and finished cells in the store."""

import contextlib
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TypeVar

from tests.conftest import PROJECT_ROOT
from tests.end_to_end.command import Outcome, command

INTERVAL = 0.25  # seconds between two looks at the memory
GROWN = 1.02  # growth of the quick sum after which the exact one is taken
PAGE = resource.getpagesize()
KEPT = 2000  # characters of a failed command's output that an error shows
T = TypeVar("T")
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


class SpeedError(Exception):
    """A quantity cannot be measured; the message gives the reason."""


@dataclass(frozen=True)
class Usage:
    """Time and memory of one command.

    Attributes
    ----------
    seconds
        From the start of the process to its end.
    peak_mb
        The largest proportional set size of the process and all its children, in MB of 10^6 bytes, looked
        up four times a second, to 2 %.
    """

    seconds: float
    peak_mb: float


def measured(words: Sequence[str | Path], timeout: float = 3600) -> Usage:
    """Run a command to its end.

    Raises
    ------
    SpeedError
        If its exit code is not 0, or it takes longer than `timeout` seconds.
    """
    with TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in words],
            cwd=PROJECT_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
        try:
            peak = _watch(process, start + timeout)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        seconds = time.perf_counter() - start
        if process.returncode:
            output.seek(0)
            text = output.read().decode(errors="replace")[-KEPT:]
            raise SpeedError(f"code {process.returncode} after {seconds:.0f} s of {words[0]} ...:\n{text}")
    return Usage(seconds, peak / 1e6)


def _watch(process: subprocess.Popen[bytes], deadline: float) -> int:
    """Return the peak memory in bytes of a process that leads a session, once it has ended or time is up."""
    peak = resident = 0
    while time.perf_counter() < deadline:
        try:
            process.wait(INTERVAL)
            break
        except subprocess.TimeoutExpired:
            members = session_members(process.pid)
            now = sum(_resident(member) for member in members)
            # the kernel takes long for the exact sum, so it is taken only when the quick one has grown, which counts
            # shared memory once per process
            if now > GROWN * resident:
                resident = now
                peak = max(peak, sum(_proportional(member) for member in members))
    return peak


def session_members(session: int) -> list[Path]:
    """Return the folders below `/proc` of all processes of a session; none where there is no `/proc`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            # the name, in parentheses, may hold spaces: what follows is state, parent, group, session
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                found.append(folder)
    return found


def _resident(member: Path) -> int:
    """Return the resident set size of a process in bytes; 0 if it has ended."""
    with contextlib.suppress(OSError):
        return int((member / "statm").read_text().split()[1]) * PAGE
    return 0


def _proportional(member: Path) -> int:
    """Return the proportional set size of a process in bytes; 0 if it has ended."""
    with contextlib.suppress(OSError):
        lines = (member / "smaps_rollup").read_text().splitlines()
        return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 0


def suite(results: Path, *arguments: str) -> Usage:
    """Run this suite's command without its report; its store, caches, detectors and artifacts are in `results`."""
    return measured(command(results, *arguments))


def cells(results: Path) -> list[dict[str, float | str]]:
    """Return tags and metrics of the finished cells of a results folder, oldest first."""
    runs = Outcome(0, "", "", results).runs("cell")
    return [
        {
            **run.data.tags,
            **run.data.metrics,
            "cell_seconds": (run.info.end_time - run.info.start_time) / 1000,
        }
        for run in runs
        if run.info.status == "FINISHED"
    ]


def has_joblib() -> bool:
    """Return whether Hydra's joblib launcher is installed."""
    return bool(find_spec("hydra_plugins") and find_spec("hydra_plugins.hydra_joblib_launcher"))


def rounds(tasks: Mapping[str, Callable[[], T]], repeats: int) -> dict[str, list[T]]:
    """Run each task once per round, in turn, so that a disturbance of the machine affects all of them."""
    found: dict[str, list[T]] = {name: [] for name in tasks}
    for number in range(repeats):
        for name, task in tasks.items():
            print(f"round {number + 1} of {repeats}: {name}", file=sys.stderr, flush=True)
            found[name].append(task())
    return found


def median(values: Sequence[float]) -> float:
    """Return the median as a float."""
    return float(statistics.median(values))


def positive(text: str) -> int:
    """Return a number of rounds from the command line."""
    number = int(text)
    if number < 1:
        raise ValueError  # argparse reports it
    return number


class Scratch:
    """New results folders for every command, so that no cache, detector or finished cell of another is found.

    A folder is removed when the next one is made; inputs for all commands may be kept below `root`.
    """

    def __init__(self) -> None:
        self._temporary = TemporaryDirectory(prefix="speed-")
        self.root = Path(self._temporary.name)
        self._latest: Path | None = None
        self._count = 0

    def new(self) -> Path:
        """Return a folder that is empty."""
        if self._latest is not None:
            shutil.rmtree(self._latest, ignore_errors=True)
        self._count += 1
        self._latest = self.root / f"results-{self._count}"
        self._latest.mkdir()
        return self._latest

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, *details: object) -> None:
        self._temporary.cleanup()
