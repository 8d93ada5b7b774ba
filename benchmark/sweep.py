"""The sweep around the jobs: one store and one parent run, made before the first job starts."""

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

from benchmark.errors import USER_ERRORS, BenchmarkError
from benchmark.passwords import PASSWORD, has_password
from benchmark.settings import Tracking, typed

if TYPE_CHECKING:
    from benchmark.tracking import Run, Tracker


@dataclass(frozen=True)
class Sweep:
    """An open sweep: its name, store and parent run, and the measures that its tables show."""

    name: str
    tracker: "Tracker"
    parent: "Run"
    tables: tuple[str, ...]

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return self.tracker.settings.uri

    def discard(self) -> None:
        """Delete the parent run of a sweep without cells."""
        _opened.remove(self)
        self.tracker.client.delete_run(self.parent.run_id)

    def close(self, status: str, means: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Give the parent run its means, so that its charts show the sweep, its tags and its status."""
        _opened.remove(self)
        self.parent.log_metrics(means)
        self.parent.set_tags(tags)
        self.tracker.client.set_terminated(self.parent.run_id, status)


_opened: list[Sweep] = []


def opened() -> Sweep | None:
    """Return the sweep that this process has opened, if any."""
    return _opened[-1] if _opened else None


class OpenSweep(Callback):
    """Hydra's hook before the first job: creates store and parent run, so that no two workers race for it."""

    def on_run_start(self, config: DictConfig, jobs: int = 1, **_: Any) -> None:
        """Open the sweep of a single job."""
        try:
            _opened.append(open_sweep(config))
            _opened[-1].parent.set_tags({"jobs": jobs})
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
    """Open the store and the parent run that the configuration names."""
    from benchmark.tracking import Tracker  # seconds, for which no mistake that Hydra finds should wait

    tracking = typed(Tracking, resolved(config, "tracking"), "tracking")
    if has_password(tracking.uri):
        raise BenchmarkError(
            f"tracking.uri holds a password, which would be written to files; accepted: the URI without it, and the "
            f"password in the environment variable {PASSWORD}"
        )
    tracker = Tracker(tracking, Path(config.results_dir))
    name = str(config.sweep)
    if not re.fullmatch(r"[\w.:-]+", name):
        raise BenchmarkError(f"sweep={name}: accepted: letters, digits and . : - _, as it names a folder")
    return Sweep(name, tracker, tracker.sweep(name), tuple(config.evaluation.tables))


def resolved(config: DictConfig, key: str) -> Any:
    """Return a part of the configuration as plain values."""
    value = config[key]
    return (
        OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
        if OmegaConf.is_config(value)
        else value
    )
