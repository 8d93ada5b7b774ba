"""The MLflow store: the one record of results."""

import contextlib
import json
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

from benchmark.drafts import Draft, load_draft, new_draft
from benchmark.errors import USER_ERRORS, BenchmarkError
from benchmark.passwords import with_password, without_password
from benchmark.settings import Tracking
from datasets.atomic import locked

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger(__name__)

BATCH = 1000  # metrics per call that MLflow accepts
PARAM_LENGTH = 6000
MEMBER = "sweep."
"""Beginning of the tags of a cell that name the sweeps that it belongs to, and say how it was asked for there."""


JOB = "job."
"""Beginning of the tags of a sweep's parent run that say what each job runs."""


class StoreError(BenchmarkError):
    """The tracking store cannot be used; what is running ends, as nothing can be recorded."""


@dataclass
class Run:
    """One MLflow run that is being written."""

    client: MlflowClient
    run_id: str

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log numbers; NaN is left out, as an undefined measure has no number."""
        self.log_history({name: {0: value} for name, value in metrics.items() if not math.isnan(value)})

    def log_history(self, histories: Mapping[str, Mapping[int, float]]) -> None:
        """Log {metric: {step: value}}, in as few calls as the store takes."""
        now = int(time.time() * 1000)
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

    def log_text(self, text: str, name: str) -> None:
        """Log a text artifact."""
        with TemporaryDirectory() as folder:
            Path(folder, name).write_text(text)
            self.client.log_artifacts(self.run_id, folder)

    def end(self, status: str) -> None:
        """Set the run's status for good."""
        self.client.set_terminated(self.run_id, status)


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
            self.client = MlflowClient(tracking_uri=with_password(settings.uri))
            self.experiment_id = self._experiment()

    def _experiment(self) -> str:
        experiment = self.client.get_experiment_by_name(self.settings.experiment)
        if experiment is not None:
            return str(experiment.experiment_id)
        local = self.settings.uri.startswith("sqlite:")
        artifacts = (self.results_dir / "artifacts").resolve().as_uri() if local else None
        return str(self.client.create_experiment(self.settings.experiment, artifacts))

    def announce(self, parent: Run, number: int, job: Mapping[str, Any]) -> None:
        """Write down what a job of a sweep is going to run, for who asks how far the sweep is."""
        with self.reachable():
            parent.set_tags({f"{JOB}{number}": json.dumps(job)})

    def sweep(self, name: str) -> Run:
        """Return the parent run of a sweep, creating it if it is new; reopened, it runs again."""
        with FileLock(self.results_dir / "store.lock"), self.reachable():
            found = self._search(f"tags.kind = 'sweep' and tags.sweep = '{name}'")
            if found:
                self.client.update_run(found[0].info.run_id, status="RUNNING")
                return Run(self.client, found[0].info.run_id)
            return self._create(name, {"kind": "sweep", "sweep": name})

    @contextlib.contextmanager
    def claim(self, identity: str, name: str) -> Iterator[None]:
        """Hold a cell, so that of all who ask for it at once one runs it and the others wait.

        Runs of the cell that are still marked as running were killed: whoever ran them held the lock.
        """
        folder = self.results_dir / "locks"
        folder.mkdir(exist_ok=True)
        with locked(folder / identity, f"running {name}"):
            with self.reachable():
                for run in self._search(f"tags.identity = '{identity}' and attributes.status = 'RUNNING'"):
                    if run.data.tags.get("results_dir") == str(self.results_dir.resolve()):
                        Run(self.client, run.info.run_id).end("KILLED")
            yield

    def finished(self, identity: str) -> Run | None:
        """Return the latest finished run of a cell; a draft of it that the store lacks is sent first."""
        draft = load_draft(self.drafts / identity)
        if draft is not None:
            self.send(draft)
        with self.reachable():
            found = self._search(f"tags.identity = '{identity}' and attributes.status = 'FINISHED'")
        return Run(self.client, found[0].info.run_id) if found else None

    @property
    def drafts(self) -> Path:
        """Where finished cells are kept that the store does not have yet."""
        return self.results_dir / "unsent"

    @contextlib.contextmanager
    def cell(self, parent: Run, name: str, tags: Mapping[str, Any]) -> Iterator[Run]:
        """Yield the run of one cell; whatever ends the block before the run has ended becomes its status.

        A user's error and a fault of the code make a FAILED run with its reason, and the sweep goes on;
        an interruption makes a KILLED one and goes through, and so does a store that cannot be used.
        """
        with self.reachable():
            run = self._create(name, self._cell_tags(parent, tags))
        try:
            yield run
        except StoreError:
            raise
        except (MlflowException, SQLAlchemyError) as error:
            with self.reachable():
                raise error
        except Exception as error:
            log.error("%s failed: %s", name, error, exc_info=not isinstance(error, USER_ERRORS))
            trace = traceback.format_exc()
            with self.reachable():
                run.set_tags({"reason": f"{type(error).__name__}: {error}"[:5000]})
                run.end("FAILED")
                run.log_text(trace, "traceback.txt")
        except BaseException:
            with contextlib.suppress(BenchmarkError), self.reachable():
                run.end("KILLED")
            raise

    def draft(self, run: Run, parent: Run, name: str, identity: str, tags: Mapping[str, Any]) -> Draft:
        """Return the draft in which a cell is written down before the store is told."""
        about = {
            "id": run.run_id,
            "name": name,
            "uri": self.settings.uri,
            "experiment": self.settings.experiment,
            "tags": {key: str(value) for key, value in self._cell_tags(parent, tags).items()},
        }
        return new_draft(self.drafts / identity, about)

    def send(self, draft: Draft) -> None:
        """Write a draft to the store, end its run, and delete it.

        Raises
        ------
        StoreError
            If the store cannot be used; the draft stays, and `python -m benchmark.send` sends it later.
        """
        try:
            with self.reachable():
                run = self._run_of(draft)
                run.log_history(draft.metrics)
                run.set_tags(draft.tags)
                self.client.log_artifacts(run.run_id, str(draft.files))
                run.end("FINISHED")
        except StoreError as error:
            raise StoreError(
                f"{error}. The cell's numbers are kept in {draft.folder}: send them with `python -m benchmark.send`"
            ) from None
        draft.discard()

    def _run_of(self, draft: Draft) -> Run:
        try:
            return Run(self.client, self.client.get_run(draft.run["id"]).info.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        return self._create(draft.run["name"], draft.run["tags"])

    def _cell_tags(self, parent: Run, tags: Mapping[str, Any]) -> dict[str, Any]:
        about = {"kind": "cell", "results_dir": str(self.results_dir.resolve())}
        return {**tags, **about, MLFLOW_PARENT_RUN_ID: parent.run_id}

    def _create(self, name: str, tags: Mapping[str, Any]) -> Run:
        text = {key: str(value) for key, value in {**tags, MLFLOW_RUN_NAME: name}.items()}
        run = self.client.create_run(self.experiment_id, tags=text, run_name=name)
        return Run(self.client, run.info.run_id)

    def _search(self, condition: str) -> list[MlflowRun]:
        """Return runs of the experiment that meet a condition, the latest first."""
        order = ["attributes.start_time DESC"]
        return list(self.client.search_runs([self.experiment_id], condition, order_by=order))

    def reachable(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which trouble with the store becomes a StoreError."""
        return _reachable(self.settings.uri)


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
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        reason = without_password(str(error).splitlines()[0])
        raise StoreError(f"tracking.uri={uri}: the store cannot be used ({reason})") from None
