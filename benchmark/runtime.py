"""The machine as a run sees it: device, precision, memory format, allocator, seeds, and their record."""

import contextlib
import ctypes
import importlib.metadata
import logging
import os
import platform
import random
import resource
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.settings import Trainer

log = logging.getLogger(__name__)

M = TypeVar("M", bound=nn.Module)

PROJECT_ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "torchvision", "timm", "FrEIA", "numpy", "scipy", "scikit-learn", "hydra-core", "mlflow")


@dataclass(frozen=True)
class Runtime:
    """Where and how tensors are computed."""

    device: torch.device
    precision: str
    channels_last: bool

    @property
    def memory_format(self) -> torch.memory_format:
        """Of images, features and convolution weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def move(self, module: M) -> M:
        """Bring a module to the device and memory format."""
        module.to(self.device)
        module.to(memory_format=self.memory_format)
        return module

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """Return the context in which networks run."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def synchronize(self) -> None:
        """Wait for the device, before a clock is read."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def start(trainer: Trainer, channels_last: bool, job: int = 0) -> Runtime:
    """Set up torch as the configuration says.

    Parameters
    ----------
    trainer
        conf/trainer.
    channels_last
        Whether the method profits from this memory format; used if the trainer allows it too.
    job
        The job's number: the GPUs that there are, are dealt out to jobs in turn.

    Raises
    ------
    BenchmarkError
        If a GPU is asked for and there is none.
    """
    if trainer.device == "cuda" and not torch.cuda.is_available():
        raise BenchmarkError("trainer.device=cuda: torch finds no CUDA device here; accepted: auto, cpu")
    use_cuda = trainer.device != "cpu" and torch.cuda.is_available()
    if trainer.malloc and not use_cuda:
        keep_freed_memory()
    if trainer.threads is not None:
        torch.set_num_threads(trainer.threads)
    if use_cuda:
        torch.cuda.set_device(job % torch.cuda.device_count())
        # fp32 means fp32: cuDNN and cuBLAS would round to TF32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(trainer.deterministic, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not trainer.deterministic
    device = torch.device("cuda" if use_cuda else "cpu")
    return Runtime(device, trainer.precision, trainer.channels_last and channels_last)


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - a user's method may draw from the global generator
    torch.manual_seed(seed)


@cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep freed buffers instead of handing each back to the kernel, to be paged in again.

    Linux with glibc only; elsewhere nothing changes. Memory stays at its peak until the process ends.

    Returns
    -------
    Whether it took effect.
    """
    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4  # <malloc.h>
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        log.info("malloc: left as it is (no glibc here)")
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((m_mmap_max, 0), (m_trim_threshold, 2**31 - 1), (m_top_pad, 256 * 2**20))
    done = [mallopt(option, value) for option, value in settings] == [1, 1, 1]
    log.info("malloc: glibc %s freed memory (trainer.malloc)", "keeps" if done else "refused to keep")
    return done


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
    record = {"python": platform.python_version(), "platform": platform.platform(), "cpu": _cpu_name()}
    record |= {"cpu_threads": str(torch.get_num_threads()), "cpu_count": str(os.cpu_count())}
    if torch.cuda.is_available():
        record["gpu"] = torch.cuda.get_device_name()
    record |= {package: importlib.metadata.version(package) for package in PACKAGES}
    record["torch"] = torch.__version__  # names the build, too
    commit = _git("rev-parse", "HEAD")
    record["git_commit"] = commit or "unknown"
    record["git_dirty"] = str(bool(_git("status", "--porcelain"))).lower() if commit else "unknown"
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
