"""Where and how tensors are computed: device, precision, memory format, allocator, seeds."""

import contextlib
import ctypes
import logging
import os
import platform
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.settings.runtime import RuntimeSettings

log = logging.getLogger(__name__)

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Runtime:
    """Where and how tensors are computed."""

    device: torch.device
    precision: str
    channels_last: bool

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format of images, features and convolution weights."""
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


def start(settings: RuntimeSettings, channels_last: bool, job: int = 0) -> Runtime:
    """Set up torch as the configuration says.

    Parameters
    ----------
    settings
        conf/runtime.
    channels_last
        Whether the method profits from this memory format; used if the settings allow it too.
    job
        The job's number: jobs use the GPUs of the machine in turn.

    Raises
    ------
    BenchmarkError
        If a GPU is asked for and there is none, or the folder of the caches cannot be made.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise BenchmarkError("runtime.device=cuda: torch finds no CUDA device here; expected auto or cpu")
    try:
        settings.cache_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(
            f"runtime.cache_dir={settings.cache_dir}: cannot be made ({error.strerror})"
        ) from None
    count = gpus(settings.device)
    if settings.malloc and not count:
        keep_freed_memory()
    if count:
        torch.cuda.set_device(job % count)
    set_algorithms(settings.deterministic)
    device = torch.device("cuda" if count else "cpu")
    return Runtime(device, settings.precision, settings.channels_last and channels_last)


def gpus(device: str) -> int:
    """Return the number of GPUs that jobs use in turn, by `runtime.device`; 0 on the CPU."""
    return torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0


def set_algorithms(deterministic: bool) -> None:
    """Choose the algorithms of torch: equal results for equal inputs, or the fastest ones."""
    if torch.cuda.is_available():
        # fp32 means fp32: cuDNN and cuBLAS would round to TF32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not deterministic


@contextlib.contextmanager
def float32_as_such() -> Iterator[None]:
    """Have GPUs multiply float32 without rounding to TF32; the settings of the process are restored afterwards."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


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
    True if it took effect.
    """
    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4  # <malloc.h>
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        log.info("malloc: left as it is (no glibc here)")
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((m_mmap_max, 0), (m_trim_threshold, 2**31 - 1), (m_top_pad, 256 * 2**20))
    done = [mallopt(option, value) for option, value in settings] == [1, 1, 1]
    log.info("malloc: glibc %s freed memory (runtime.malloc)", "keeps" if done else "refused to keep")
    return done
