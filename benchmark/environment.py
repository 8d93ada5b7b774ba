"""The machine and software of a run, for the record: versions, hardware, state of the code, peak memory."""

import contextlib
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch

from store import tags

PROJECT_ROOT = Path(__file__).resolve().parent.parent

CODE = ("run_benchmark.py", "benchmark", "conf", "datasets", "methods", "metrics", "reports", "store")
"""Where everything lies that can change results."""

CODE_SUFFIXES = (".py", ".yaml", ".yml")
"""Files that change results by being there; of other kinds only those of the commit count."""


def restart_peak_memory() -> None:
    """Let the peak of this process' memory start anew, where the kernel allows it (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> float:
    """Return the largest main memory of this process in GB, since `restart_peak_memory` where that works.

    Memory that the allocator keeps from earlier work counts.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def environment() -> dict[str, str]:
    """Return versions, hardware and the state of the code, for the record of a run."""
    record = {
        tags.PYTHON: platform.python_version(),
        tags.PLATFORM: platform.platform(),
        tags.CPU: _cpu_name(),
        tags.CPU_THREADS: str(torch.get_num_threads()),
        tags.CPU_COUNT: str(os.cpu_count()),
    }
    if torch.cuda.is_available():
        record[tags.GPU] = torch.cuda.get_device_name()
    record |= {name: importlib.metadata.version(name) for name in tags.LIBRARIES}
    record["torch"] = torch.__version__  # names the build, too
    record[tags.GIT_COMMIT], record[tags.GIT_DIRTY] = _loaded_code()
    return record


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def code_state(root: Path) -> tuple[str, str]:
    """Return commit and state of a checkout of this project.

    Parameters
    ----------
    root
        The project's root.

    Returns
    -------
    The commit, and "true" if a file that can change results differs from it or is not in it, else "false". Both are
    "unknown" where git or the repository is missing, and where ``root`` lies in the repository of something else.
    """
    top, _, commit = (_git(root, "rev-parse", "--show-toplevel", "HEAD") or "").strip().rpartition("\n")
    if not top or Path(top).resolve() != root.resolve():
        return "unknown", "unknown"
    changes = _git(root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", *CODE)
    if changes is None:
        return commit, "unknown"
    return commit, str(any(map(_counts, filter(None, changes.split("\0"))))).lower()


@cache
def _loaded_code() -> tuple[str, str]:
    """Return the state of this project when this process first asked: what is edited later has been loaded before."""
    return code_state(PROJECT_ROOT)


def _counts(change: str) -> bool:
    """Return whether a line of `git status` names a file that can change results."""
    status, suffix = change[:2], Path(change[3:]).suffix
    return suffix in CODE_SUFFIXES if status == "??" else suffix != ".md"


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git prints; None if it fails."""
    # a hook of another repository names that one; and no job may lock the index of a user who commits
    names = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            env={**names, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
