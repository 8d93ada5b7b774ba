"""The sweep around the jobs: one store and one parent run, made before the first job starts."""

import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmark.error_messages import USER_ERRORS
from benchmark.errors import BenchmarkError
from benchmark.settings.sweep import Tracking
from benchmark.settings.values import typed
from store import tags
from store.passwords import PASSWORD, has_password

if TYPE_CHECKING:
    from store.tracker import Run, Tracker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sweep:
    """An open sweep: its name, store, parent run, settings, and the measures that its tables show."""

    name: str
    tracker: "Tracker"
    parent: "Run"
    tracking: Tracking
    tables: tuple[str, ...]

    def discard(self) -> None:
        """Delete the parent run of a sweep without cells."""
        _open.remove(self)
        self.parent.delete()

    def close(self, status: str, means: Mapping[str, float], summary: Mapping[str, str]) -> None:
        """Give the parent run its means, so that its charts show the sweep, its tags and its status."""
        _open.remove(self)
        self.parent.log_metrics(means)
        self.parent.set_tags(summary)
        self.parent.end(status)


_open: list[Sweep] = []


def current_sweep() -> Sweep | None:
    """Return the sweep that this process has opened, if any."""
    return _open[-1] if _open else None


class OpenSweep(Callback):
    """Hydra's hook before the first job: creates store and parent run, so that no two workers race for it."""

    def on_run_start(self, config: DictConfig, jobs: int = 1, **_: Any) -> None:
        """Open the sweep of a single job."""
        try:
            _open.append(open_sweep(config))
            _open[-1].parent.set_tags({tags.JOBS: jobs})
            _report_earlier_cells(_open[-1])
        except (*USER_ERRORS, OmegaConfBaseException) as error:
            # Hydra turns what a callback raises into a warning; a benchmark without a store must stop
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Open the sweep of several jobs."""
        params = config.hydra.sweeper.get("params") or {}
        arguments = [*(f"{name}={value}" for name, value in params.items()), *config.hydra.overrides.task]
        overrides = OverridesParser.create().parse_overrides(arguments)
        self.on_run_start(config, jobs=len(BasicSweeper.split_arguments(overrides, None)[0]))


def open_sweep(config: DictConfig) -> Sweep:
    """Open the store and the parent run that the configuration names.

    Raises
    ------
    BenchmarkError, StoreError
        If an option is wrong, or the store cannot be used.
    """
    from store.tracker import Tracker  # seconds, for which no mistake that Hydra finds should wait

    tracking = typed(Tracking, resolved(config, "tracking"), "tracking")
    if has_password(tracking.uri):
        raise BenchmarkError(
            f"tracking.uri holds a password, which would be written to files; expected the URI without it, and the "
            f"password in the environment variable {PASSWORD}"
        )
    name = str(config.sweep)
    if not re.fullmatch(r"[\w.:-]+", name):
        raise BenchmarkError(f"sweep={name}: expected letters, digits and . : - _, as it names a folder")
    tracker = Tracker(tracking.uri, tracking.experiment, Path(config.results_dir))
    return Sweep(name, tracker, tracker.sweep(name), tracking, tuple(config.tables))


def resolved(config: DictConfig, key: str) -> Any:
    """Return a part of the configuration as plain values."""
    value = config[key]
    return (
        OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
        if OmegaConf.is_config(value)
        else value
    )


def _report_earlier_cells(sweep: Sweep) -> None:
    if count := sweep.tracker.earlier_cells():
        log.info(
            "%s holds cells of an earlier version (%d): reports still read them, but they do not count as finished and "
            "run again if this sweep needs them",
            sweep.tracking.uri,
            count,
        )
