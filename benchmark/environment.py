"""The machine and software of a run, for the record: versions, hardware, state of the code, peak memory."""

import contextlib
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import torch

from store import tags

PROJECT_ROOT = Path(__file__).resolve().parent.parent


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
    commit = _git("rev-parse", "HEAD")
    record[tags.GIT_COMMIT] = commit or "unknown"
    record[tags.GIT_DIRTY] = str(bool(_git("status", "--porcelain"))).lower() if commit else "unknown"
    return record


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
