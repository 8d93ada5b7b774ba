"""The number of processes of joblib's launcher: one per job, as far as there are cores, or as the user says."""

import pytest
from omegaconf import DictConfig, OmegaConf

from benchmark import runtime, sweep
from benchmark.sweep import JOBLIB, choose_processes


def launcher(target: str, **options: int) -> DictConfig:
    return OmegaConf.create({"_target_": target, **options})


@pytest.mark.parametrize(
    ("asked", "jobs", "gpus", "expected"),
    [(-1, 6, 0, 4), (-1, 3, 0, 3), (2, 6, 0, 2), (-1, 6, 2, 2), (-1, 1, 2, 1)],
)
def test_joblib_takes_a_process_per_gpu_or_core_but_no_more_than_jobs(
    asked: int, jobs: int, gpus: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "usable_cores", lambda: 4)
    monkeypatch.setattr(runtime, "gpus", lambda device: gpus)
    config = launcher(JOBLIB, n_jobs=asked)
    choose_processes(config, jobs, "auto")
    assert config.n_jobs == expected


def test_other_launchers_are_left_alone() -> None:
    config = launcher("hydra._internal.core_plugins.basic_launcher.BasicLauncher")
    choose_processes(config, 6, "auto")
    assert "n_jobs" not in config
