"""The MLflow store: the one record of results, as it is written."""

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from sqlalchemy.exc import SQLAlchemyError

from store import format1
from store import tags as names
from store.errors import StoreError, first_line
from store.files import as_utf8, write_digests
from store.folders import check_writable, locked
from store.passwords import with_password, without_password
from store.pending import FOLDERS, Pending, load_pending, new_pending
from store.plan import Plan

log = logging.getLogger(__name__)

# MLflow's limits: metrics, parameters and tags per call, and characters of a value
METRICS, PARAMS, TAGS = 1000, 100, 100
PARAM_LENGTH, TAG_LENGTH = 6000, 5000
# MLflow's codes of errors that concern a record or its run, and not the whole store
_OF_A_RUN = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE")


class StoreUnavailable(StoreError):  # noqa: N818 (a state, as in the messages)
    """The store cannot be reached, read or written: nothing can be recorded. The message names its URI."""


@dataclass(frozen=True)
class Run:
    """One MLflow run that is being written.

    All methods raise `StoreUnavailable` if the store cannot be used, and another `StoreError` if MLflow refuses a
    record, such as a parameter with an invalid name.
    """

    client: MlflowClient
    run_id: str
    uri: str

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log numbers; NaN is left out, as an undefined measure has no number."""
        self.log_history({name: {0: value} for name, value in metrics.items() if not math.isnan(value)})

    def log_history(self, histories: Mapping[str, Mapping[int, float]]) -> None:
        """Log {metric: {step: value}}."""
        now = int(time.time() * 1000)
        metrics = [
            Metric(name, float(value), now, step)
            for name, history in histories.items()
            for step, value in history.items()
        ]
        with _store_errors(self.uri):
            for first in range(0, len(metrics), METRICS):
                self.client.log_batch(self.run_id, metrics=metrics[first : first + METRICS])

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log options by their dotted names; a longer value than MLflow takes ends with `...`."""
        items = [Param(name, _cut(str(value), PARAM_LENGTH)) for name, value in params.items()]
        with _store_errors(self.uri):
            for first in range(0, len(items), PARAMS):
                self.client.log_batch(self.run_id, params=items[first : first + PARAMS])

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; a value of over 5000 characters ends with `...`."""
        items = [RunTag(name, _cut(str(value), TAG_LENGTH)) for name, value in tags.items()]
        with _store_errors(self.uri):
            for first in range(0, len(items), TAGS):
                self.client.log_batch(self.run_id, tags=items[first : first + TAGS])

    def log_text(self, text: str, name: str) -> None:
        """Log a text file under a name or path."""
        with _store_errors(self.uri):
            self.client.log_text(self.run_id, as_utf8(text), name)

    def log_files(self, folder: Path, target: str | None = None) -> None:
        """Log all files of a folder, in a folder of that name if a `target` is given."""
        with _store_errors(self.uri):
            self.client.log_artifacts(self.run_id, str(folder), target)

    def end(self, status: str) -> None:
        """Set the run's final status: FINISHED, FAILED or KILLED."""
        with _store_errors(self.uri):
            self.client.set_terminated(self.run_id, status)

    def fail(self, error: BaseException, traceback_text: str) -> None:
        """End the run as FAILED, with the error as the reason and the traceback as a file."""
        self.set_tags({names.REASON: f"{type(error).__name__}: {error}"})
        self.end("FAILED")
        self.log_text(traceback_text, names.TRACEBACK)

    def kill(self) -> None:
        """End the run as KILLED, unless it has ended.

        Trouble with the store is only logged, as an interruption is under way that must not be replaced.
        """
        try:
            with _store_errors(self.uri):
                if self.client.get_run(self.run_id).info.status == "RUNNING":
                    self.client.set_terminated(self.run_id, "KILLED")
        except StoreError as error:
            log.warning("run %s stays marked as running: %s", self.run_id, error)

    def delete(self) -> None:
        """Delete the run."""
        with _store_errors(self.uri):
            self.client.delete_run(self.run_id)


class Tracker:
    """An experiment of a store, as cells and sweeps write it.

    Parameters
    ----------
    uri
        Tracking URI without a password; see `store.passwords`.
    experiment
        Name of the experiment; created if the store has none of that name.
    results_dir
        Folder of the locks, of results that wait for the store, and of the artifacts of a local store.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    StoreUnavailable
        If the store cannot be opened.
    """

    def __init__(self, uri: str, experiment: str, results_dir: Path) -> None:
        self.uri, self.experiment, self.results_dir = uri, experiment, results_dir
        check_writable("results_dir", results_dir)
        # the first use of a store creates its tables, which two processes must not do at once
        with FileLock(results_dir / "store.lock"), _store_errors(uri, of_a_run=()):
            self.client = MlflowClient(tracking_uri=with_password(uri))
            self.experiment_id = self._experiment_id()

    def _experiment_id(self) -> str:
        experiment = self.client.get_experiment_by_name(self.experiment)
        if experiment is not None:
            return str(experiment.experiment_id)
        local = self.uri.startswith("sqlite:")
        artifacts = (self.results_dir / "artifacts").resolve().as_uri() if local else None
        return str(self.client.create_experiment(self.experiment, artifacts))

    def sweep(self, name: str) -> Run:
        """Return the parent run of a sweep, creating it if it is new; a known one is marked as running again."""
        with FileLock(self.results_dir / "store.lock"), self._errors():
            runs = self._search(f"tags.{names.KIND} = '{names.SWEEP_KIND}' and tags.{names.SWEEP} = '{name}'")
            if not runs:
                about = {names.KIND: names.SWEEP_KIND, names.SWEEP: name, names.FORMAT_TAG: names.FORMAT}
                return self._create(name, about)
            self.client.update_run(runs[0].info.run_id, status="RUNNING")
            return self._run(runs[0].info.run_id)

    def announce_job(self, parent: Run, number: int, plan: Plan) -> None:
        """Write the plan of a job of a sweep to the parent run, which shows how far the sweep is."""
        parent.log_text(plan.to_json(), f"{names.PLANS}/{number}.json")

    def earlier_cells(self) -> int:
        """Return the number of finished cells of the first format, which are not taken as finished."""
        with self._errors():
            return len(self._search(f"tags.{format1.FINGERPRINT} LIKE '%'"))

    @contextlib.contextmanager
    def lock_cell(self, identity: str, name: str) -> Iterator[None]:
        """Hold the lock of a cell: of several processes that need it, one runs it and the others wait.

        Runs of the cell that are still marked as running were killed, as their processes held the lock; they are
        marked as KILLED.
        """
        folder = self.results_dir / "locks"
        folder.mkdir(exist_ok=True)
        with locked(folder / identity, f"running {name}"):
            with self._errors():
                for run in self._search(
                    f"tags.{names.IDENTITY} = '{identity}' and attributes.status = 'RUNNING'"
                ):
                    if run.data.tags.get(names.RESULTS_DIR) == str(self.results_dir.resolve()):
                        self.client.set_terminated(run.info.run_id, "KILLED")
            yield

    def finished(self, identity: str) -> Run | None:
        """Return the latest finished run of a cell; results of it that wait for the store are sent first."""
        for name in FOLDERS:
            pending = load_pending(self.results_dir / name / identity)
            if pending is not None:
                self.send(pending)
        with self._errors():
            runs = self._search(f"tags.{names.IDENTITY} = '{identity}' and attributes.status = 'FINISHED'")
        return self._run(runs[0].info.run_id) if runs else None

    def start_cell(self, parent: Run, name: str, tags: Mapping[str, Any]) -> Run:
        """Return a new run of a cell, a child of its sweep's."""
        with self._errors():
            return self._create(name, self._cell_tags(parent, tags))

    def new_pending(
        self, run: Run, parent: Run, name: str, identity: str, tags: Mapping[str, Any]
    ) -> Pending:
        """Return the record in which the results of a cell are written to disk before the store gets them."""
        about = {
            "id": run.run_id,
            "name": name,
            "uri": self.uri,
            "experiment": self.experiment,
            "tags": {key: str(value) for key, value in self._cell_tags(parent, tags).items()},
        }
        return new_pending(self.results_dir / FOLDERS[0] / identity, about)

    def send(self, pending: Pending) -> None:
        """Write the results of a cell to the store, mark its run as FINISHED, and delete the record.

        Raises
        ------
        StoreError
            If the store cannot be used or refuses them. The record stays, and `python -m store.sync` sends it later.
        """
        try:
            run = self._run_of(pending)
            run.log_history(pending.metrics)
            run.set_tags(pending.tags)
            run.log_files(pending.files)
            if pending.digests:
                with TemporaryDirectory() as folder:
                    write_digests(Path(folder), pending.digests)
                    run.log_files(Path(folder))
            run.end("FINISHED")
        except StoreError as error:
            raise type(error)(
                f"{error}. The cell's results are kept in {pending.folder}: send them with `python -m store.sync`"
            ) from None
        pending.discard()

    def _run_of(self, pending: Pending) -> Run:
        with self._errors():
            try:
                return self._run(self.client.get_run(pending.run["id"]).info.run_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            return self._create(pending.run["name"], pending.run["tags"])

    def _cell_tags(self, parent: Run, cell_tags: Mapping[str, Any]) -> dict[str, Any]:
        own = {names.KIND: names.CELL_KIND, names.RESULTS_DIR: self.results_dir.resolve()}
        return {**cell_tags, **own, names.FORMAT_TAG: names.FORMAT, MLFLOW_PARENT_RUN_ID: parent.run_id}

    def _create(self, name: str, run_tags: Mapping[str, Any]) -> Run:
        text = {
            key: _cut(str(value), TAG_LENGTH) for key, value in {**run_tags, MLFLOW_RUN_NAME: name}.items()
        }
        run = self.client.create_run(self.experiment_id, tags=text, run_name=name)
        return self._run(run.info.run_id)

    def _run(self, run_id: str) -> Run:
        return Run(self.client, run_id, self.uri)

    def _search(self, condition: str) -> list[MlflowRun]:
        """Return all runs of the experiment that meet a condition, the latest first."""
        runs: list[MlflowRun] = []
        token: str | None = None
        while token is None or token:
            page = self.client.search_runs(
                [self.experiment_id], condition, order_by=["attributes.start_time DESC"], page_token=token
            )
            runs, token = [*runs, *page], page.token or ""
        return runs

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return _store_errors(self.uri)


@contextlib.contextmanager
def _store_errors(uri: str, of_a_run: tuple[str, ...] = _OF_A_RUN) -> Iterator[None]:
    """Turn MLflow's errors into those of this package; `of_a_run`: codes that do not mean the whole store."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        reason = without_password(first_line(error))
        if isinstance(error, MlflowException) and error.error_code in of_a_run:
            raise StoreError(f"the store refuses a record: {reason}") from None
        raise StoreUnavailable(
            f"tracking.uri={without_password(uri)}: the store cannot be used ({reason})"
        ) from None


def _cut(text: str, length: int) -> str:
    """Return text that MLflow takes, at most so long."""
    text = as_utf8(text)
    return text if len(text) <= length else text[: length - 3] + "..."
