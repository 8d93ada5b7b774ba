"""The record of machine and software."""

import subprocess
import sys

import pytest
import torch

from benchmark.environment import environment
from tests.conftest import PROJECT_ROOT

PEAK = """
import torch
from benchmark.environment import peak_memory, restart_peak_memory

large = torch.ones(200_000_000)  # 0.8 GB, the peak before the restart
del large
restart_peak_memory()
before = peak_memory()
array = torch.ones(100_000_000)  # 0.4 GB
print(peak_memory() - before)
"""


def test_the_peak_of_memory_is_that_of_the_largest_array_since_the_restart() -> None:
    """In a new process, as one that keeps freed memory takes the array from what it has."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(0.4, abs=0.1)


def test_the_environment_names_versions_hardware_and_code() -> None:
    record = environment()
    assert record["torch"] == torch.__version__
    assert record["git_dirty"] in ("true", "false", "unknown")
    assert {"python", "cpu", "cpu_threads", "git_commit", "timm", "mlflow"} <= set(record)
