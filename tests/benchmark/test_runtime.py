"""How tensors are computed: device, memory format, seeds, allocator."""

import platform
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.errors import BenchmarkError
from benchmark.runtime import seed_everything, start
from tests.benchmark.conftest import make_settings
from tests.conftest import PROJECT_ROOT


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"runtime\.device=cuda.*expected auto or cpu"):
        start(replace(make_settings(tmp_path), device="cuda"), channels_last=True)


def test_a_folder_of_caches_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        BenchmarkError, match=r"runtime\.cache_dir=.*/file/x: cannot be made \(Not a directory\)"
    ):
        start(make_settings(tmp_path / "file" / "x"), channels_last=True)


def test_channels_last_needs_settings_and_method(tmp_path: Path) -> None:
    assert start(make_settings(tmp_path), channels_last=True).memory_format is torch.channels_last
    assert start(make_settings(tmp_path), channels_last=False).memory_format is torch.contiguous_format
    contiguous = replace(make_settings(tmp_path), channels_last=False)
    assert start(contiguous, channels_last=True).memory_format is torch.contiguous_format


def test_seeds_repeat_random_numbers() -> None:
    drawn = []
    for _ in range(2):
        seed_everything(3)
        drawn.append((torch.rand(()).item(), random.random(), np.random.random()))  # noqa: NPY002
    assert drawn[0] == drawn[1]


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="only glibc has the setting"
)
@pytest.mark.slow
def test_glibc_keeps_freed_memory() -> None:
    """In a process of its own: after the setting, a freed buffer is not returned to the kernel."""
    code = (
        "import sys, resource, torch; from benchmark.runtime import keep_freed_memory\n"
        "if sys.argv[1] == 'on': assert keep_freed_memory()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        # larger than what glibc learns to keep by itself (32 MB); the first ones settle in the heap
        "for _ in range(20): torch.ones(16_000_000).sum()\n"
        "before = faults()\n"
        "for _ in range(10): torch.ones(16_000_000).sum()\n"
        "print(faults() - before)"
    )
    faults = {
        mode: int(
            subprocess.run(
                [sys.executable, "-c", code, mode],
                cwd=PROJECT_ROOT,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for mode in ("on", "off")
    }
    assert faults["on"] < 100
    assert faults["off"] > 10 * faults["on"]  # few more where the kernel hands out huge pages
