"""The record of machine and software."""

import pytest
import torch

from benchmark.environment import environment, peak_memory, restart_peak_memory


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
