"""The sweep around the jobs: all are checked, then store and parent run are made, before the first job starts."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from benchmark.configuration import compose_jobs, read_with_hydra
from benchmark.cores import usable_cores
from benchmark.errors import BenchmarkError
from benchmark.job_values import JobValues, read_values
from benchmark.pace import Pace
from benchmark.settings.sweep import Tracking
from benchmark.settings.values import convert
from store import tags
from store.data_facts import DataFacts, data_facts_file, data_facts_to_json
from store.passwords import PASSWORD, has_password

if TYPE_CHECKING:
    from store.tracker import Run, Tracker

log = logging.getLogger(__name__)


class Stop(BaseException):
    """Ends the command for an error; Hydra turns other exceptions of its hooks into warnings and runs further jobs.

    Attributes
    ----------
    error
        The error to report.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class SweepSettings:
    """What the jobs of a sweep have in common: name, store, results folder, and the measures of its tables."""

    name: str
    tracking: Tracking
    results_dir: Path
    tables: tuple[str, ...]


@dataclass(frozen=True)
class Sweep:
    """An open sweep: its settings, store and parent run, and how far this process is with it."""

    settings: SweepSettings
    tracker: "Tracker"
    parent: "Run"
    pace: Pace

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name

    def close(self, status: str, means: Mapping[str, float], summary: Mapping[str, str]) -> None:
        """Give the parent run its status, then its tags and its means, so that its charts show the sweep."""
        _open.remove(self)
        self.parent.end(status)
        self.parent.log_metrics(means)
        self.parent.set_tags(summary)


_open: list[Sweep] = []


def current_sweep() -> Sweep | None:
    """Return the sweep that this process has opened, if any."""
    return _open[-1] if _open else None


OPEN_SWEEP = "benchmark.sweep.OpenSweep"


class OpenSweep(Callback):
    """Hydra's hook before the first job: checks all jobs, and opens the sweep so that no two workers race for it."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Open the sweep of a single job."""
        self._open(config, multirun=False)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Open the sweep of several jobs."""
        self._open(config, multirun=True)

    def _open(self, config: DictConfig, multirun: bool) -> None:
        try:
            _check_folders(config.hydra)
            jobs = compose_jobs(config) if multirun else [config]
            values = [read_values(*read_with_hydra(job)) for job in jobs]
            settings = read_sweep(values[0])
            data = _check(values)
            if multirun:
                choose_processes(config.hydra.launcher, len(jobs), values[0].runtime.device)
            cells = {number: len(facts.categories) for number, facts in enumerate(data)}
            sweep = open_sweep(settings, Pace(cells))
            _open.append(sweep)
            sweep.parent.set_tags({tags.JOBS: len(jobs)})
            for number, facts in enumerate(data):
                sweep.parent.log_text(data_facts_to_json(facts), data_facts_file(number))
            log.info("log: %s", config.hydra.sweep.dir if multirun else config.hydra.run.dir)
            _report_earlier_cells(sweep)
        except Exception as error:
            raise Stop(error) from error


JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"


def choose_processes(launcher: DictConfig, jobs: int, device: str) -> None:
    """Replace joblib's "all cores" (`n_jobs=-1`, its default) by a process per GPU, or core, but no more than jobs.

    Each process then gets its share of the cores for its threads; joblib divides them by `n_jobs`.
    """
    if launcher.get("_target_") != JOBLIB or launcher.n_jobs != -1:
        return
    from benchmark.runtime import gpus

    launcher.n_jobs = min(jobs, gpus(device) or usable_cores())


def _check_folders(hydra: DictConfig) -> None:
    """Refuse folders of Hydra's from which paths lead elsewhere, or that are the command's own."""
    if hydra.job.chdir:
        raise BenchmarkError(
            "hydra.job.chdir=true: jobs would change their folder, and relative paths in the configuration would lead "
            "elsewhere; expected false"
        )
    for name in ("run", "sweep"):
        if not hydra[name].dir:
            raise BenchmarkError(
                f"hydra.{name}.dir={hydra[name].dir}: expected the path of a folder for logs"
            )


def _check(jobs: Sequence[JobValues]) -> list[DataFacts]:
    """Look at the data of all jobs, then at their networks: no mistake waits for what takes longer to check."""
    from benchmark.inspection import inspect_data

    data = inspect_data(jobs)
    from benchmark.checks import check_networks  # imports torch

    check_networks(jobs)
    return data


def read_sweep(values: JobValues) -> SweepSettings:
    """Return what the jobs of a sweep have in common, from the values of any of them.

    Raises
    ------
    BenchmarkError
        If the tracking URI holds a password, or the results folder cannot be written.
    """
    if has_password(values.tracking.uri):
        raise BenchmarkError(
            f"tracking.uri holds a password, which would be written to files; expected the URI without it, and the "
            f"password in the environment variable {PASSWORD}"
        )
    results_dir = convert(values.plain["results_dir"], Path, "results_dir")
    _check_writable(results_dir)
    return SweepSettings(str(values.plain["sweep"]), values.tracking, results_dir, values.tables)


def _check_writable(folder: Path) -> None:
    """Refuse a results folder that cannot be made or written, without making it."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        found = "a read-only folder" if nearest.is_dir() else "a file"
        raise BenchmarkError(
            f"results_dir={folder}: cannot be written (found {found}, {nearest}); expected a folder that you may "
            "write to"
        )


def open_sweep(settings: SweepSettings, pace: Pace) -> Sweep:
    """Open the store and the parent run of a sweep.

    Parameters
    ----------
    pace
        The pace of the cells that this process runs.

    Raises
    ------
    StoreError
        If the store cannot be used.
    """
    from store.tracker import Tracker  # seconds, for which no mistake in an option should wait

    tracker = Tracker(settings.tracking.uri, settings.tracking.experiment, settings.results_dir)
    return Sweep(settings, tracker, tracker.sweep(settings.name), pace)


def _report_earlier_cells(sweep: Sweep) -> None:
    if count := sweep.tracker.earlier_cells():
        log.info(
            "%s holds cells of an earlier version (%d): reports still read them, but they do not count as finished and "
            "run again if this sweep needs them",
            sweep.settings.tracking.uri,
            count,
        )
