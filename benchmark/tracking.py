"""The MLflow store: the one record of results."""

import contextlib
import logging
import math
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock

from benchmark.errors import USER_ERRORS, BenchmarkError
from benchmark.settings import Tracking

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger(__name__)

BATCH = 1000  # metrics per call that MLflow accepts
PARAM_LENGTH = 6000


@dataclass
class Run:
    """One MLflow run that is being written."""

    client: MlflowClient
    run_id: str

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers; NaN is left out, as an undefined measure has no number."""
        self.log_history({name: {step: value} for name, value in metrics.items() if not math.isnan(value)})

    def log_history(self, histories: Mapping[str, Mapping[int, float]]) -> None:
        """Log {metric: {step: value}}, all in one call where the store takes it."""
        now = _milliseconds()
        metrics = [
            Metric(name, float(value), now, step)
            for name, history in histories.items()
            for step, value in history.items()
        ]
        for first in range(0, len(metrics), BATCH):
            self.client.log_batch(self.run_id, metrics=metrics[first : first + BATCH])

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters by their dotted names."""
        items = [Param(name, str(value)[:PARAM_LENGTH]) for name, value in params.items()]
        for first in range(0, len(items), 100):
            self.client.log_batch(self.run_id, params=items[first : first + 100])

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags."""
        self.client.log_batch(self.run_id, tags=[RunTag(name, str(value)) for name, value in tags.items()])

    @contextlib.contextmanager
    def artifacts(self) -> Iterator[Path]:
        """Yield a temporary folder whose content becomes artifacts of the run."""
        with TemporaryDirectory() as folder:
            yield Path(folder)
            self.client.log_artifacts(self.run_id, folder)

    def log_text(self, text: str, name: str) -> None:
        """Log a text artifact."""
        with self.artifacts() as folder:
            (folder / name).write_text(text)


class Tracker:
    """The store of one configuration.

    Parameters
    ----------
    settings
        conf/tracking.
    results_dir
        Where artifacts and locks of a local store lie.

    Raises
    ------
    BenchmarkError
        If the store cannot be opened or written.
    """

    def __init__(self, settings: Tracking, results_dir: Path) -> None:
        self.settings, self.results_dir = settings, results_dir
        # a first use of the store creates its tables, which two processes must not do at once
        with _writable(results_dir), FileLock(results_dir / "store.lock"), _reachable(settings.uri):
            self.client = MlflowClient(tracking_uri=settings.uri)
            self.experiment_id = self._experiment()

    def _experiment(self) -> str:
        experiment = self.client.get_experiment_by_name(self.settings.experiment)
        if experiment is not None:
            return str(experiment.experiment_id)
        local = self.settings.uri.startswith("sqlite:")
        artifacts = (self.results_dir / "artifacts").resolve().as_uri() if local else None
        return str(self.client.create_experiment(self.settings.experiment, artifacts))

    def sweep(self, name: str) -> Run:
        """Return the parent run of a sweep, creating it if it is new; reopened, it runs again."""
        with FileLock(self.results_dir / "store.lock"):
            found = self.client.search_runs(
                [self.experiment_id], f"tags.kind = 'sweep' and tags.sweep = '{name}'", max_results=1
            )
            if found:
                self.client.update_run(found[0].info.run_id, status="RUNNING")
                return Run(self.client, found[0].info.run_id)
            return self._create(name, {"kind": "sweep", "sweep": name})

    @contextlib.contextmanager
    def cell(self, parent: Run, name: str, tags: Mapping[str, Any]) -> Iterator[Run]:
        """Yield the run of one cell; whatever ends the block is written down as the run's status.

        A user's error and a fault of the code make a FAILED run with its reason, and the sweep goes on;
        an interruption makes a KILLED one and goes through.
        """
        run = self._create(name, {**tags, "kind": "cell", MLFLOW_PARENT_RUN_ID: parent.run_id})
        try:
            yield run
        except Exception as error:
            log.error("%s failed: %s", name, error, exc_info=not isinstance(error, USER_ERRORS))
            trace = traceback.format_exc()
            with _reachable(self.settings.uri):
                run.set_tags({"reason": f"{type(error).__name__}: {error}"[:5000]})
                self.client.set_terminated(run.run_id, "FAILED")
                run.log_text(trace, "traceback.txt")
        except BaseException:
            self.client.set_terminated(run.run_id, "KILLED")
            raise
        else:
            self.client.set_terminated(run.run_id, "FINISHED")

    def _create(self, name: str, tags: Mapping[str, Any]) -> Run:
        text = {key: str(value) for key, value in {**tags, MLFLOW_RUN_NAME: name}.items()}
        run = self.client.create_run(self.experiment_id, tags=text, run_name=name)
        return Run(self.client, run.info.run_id)


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder):
            pass
    except OSError as error:
        raise BenchmarkError(
            f"results_dir={folder}: cannot be written ({error.strerror}); accepted: a folder that you may write to"
        ) from None
    yield


@contextlib.contextmanager
def _reachable(uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BenchmarkError(f"tracking.uri={uri}: the store cannot be used ({reason})") from None


def _milliseconds() -> int:

    return int(time.time() * 1000)
