"""The machine as a run sees it."""

import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark.errors import BenchmarkError
from benchmark.runtime import environment, peak_memory, restart_peak_memory, seed_everything, start
from tests.benchmark.conftest import make_trainer
from tests.conftest import PROJECT_ROOT


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"trainer\.device=cuda.*accepted: auto, cpu"):
        start(replace(make_trainer(tmp_path), device="cuda"), channels_last=True)


def test_channels_last_needs_trainer_and_method(tmp_path: Path) -> None:
    assert start(make_trainer(tmp_path), channels_last=True).memory_format is torch.channels_last
    assert start(make_trainer(tmp_path), channels_last=False).memory_format is torch.contiguous_format


def test_seeds_repeat_random_numbers() -> None:
    seed_everything(3)
    first = torch.rand(4)
    seed_everything(3)
    assert torch.equal(first, torch.rand(4))


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="the setting exists in glibc alone"
)
def test_glibc_keeps_freed_memory() -> None:
    """In a process of its own: after the setting, a freed buffer is not handed back to the kernel."""
    code = (
        "import sys, resource, torch; from benchmark.runtime import keep_freed_memory\n"
        "if sys.argv[1] == 'on': assert keep_freed_memory()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        # larger than what glibc learns to keep by itself (32 MB); the first ones find their place in the heap
        "for _ in range(3): torch.ones(16_000_000).sum()\n"
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


def test_the_peak_of_memory_is_that_of_the_largest_array_since_the_restart() -> None:
    restart_peak_memory()
    before = peak_memory()
    array = torch.ones(100_000_000)  # 0.4 GB
    assert peak_memory() - before == pytest.approx(0.4, abs=0.1)
    del array


def test_the_environment_names_versions_hardware_and_code() -> None:
    record = environment()
    assert record["torch"] == torch.__version__
    assert record["git_dirty"] in ("true", "false", "unknown")
    assert {"python", "cpu", "cpu_threads", "git_commit", "timm", "mlflow"} <= set(record)
