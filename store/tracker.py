"""The MLflow store: the one record of results, as it is written."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock
from mlflow.entities import Run as MlflowRun
from mlflow.entities.lifecycle_stage import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from store import format1
from store import tags as names
from store.checksum import checksum, is_intact
from store.client import client_of
from store.errors import StoreError
from store.failures import StoreUnavailable, opening_errors, writing_errors
from store.files import write_digests
from store.folders import check_writable, locked
from store.liveness import LOCKS, hold_sweep, is_abandoned, results_dir_of, results_dir_tag
from store.local import LOCK, artifacts_of, database_of, prepare
from store.models import finish_model, ready_model, start_model
from store.names_in_mlflow import storable
from store.pending import FOLDERS, Pending, load_pending, new_pending
from store.plan import Plan
from store.run import NAME_LENGTH, TAG_LENGTH, Run, cut, source_tags

log = logging.getLogger(__name__)

__all__ = ["Run", "StoreUnavailable", "Tracker"]


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
        self._database = database_of(uri)
        check_writable("results_dir", results_dir)
        with opening_errors(uri):
            if self._database is not None:
                self._database.parent.mkdir(parents=True, exist_ok=True)
            with self._lock():
                if self._database is not None:
                    prepare(self._database)
                self.client = client_of(uri)
                self.experiment_id = self._experiment_id()

    def _lock(self) -> FileLock:
        """Return the lock under which a store is created, and each sweep's parent run, of which there is one."""
        folder = self.results_dir if self._database is None else self._database.parent
        return FileLock(folder / LOCK)

    def _experiment_id(self) -> str:
        experiment = self.client.get_experiment_by_name(self.experiment)
        if experiment is None:
            artifacts = artifacts_of(self._database).as_uri() if self._database is not None else None
            return str(self.client.create_experiment(self.experiment, artifacts))
        if experiment.lifecycle_stage == LifecycleStage.DELETED:
            raise StoreError(
                f"tracking.experiment={self.experiment}: the experiment was deleted in MLflow; restore it with `mlflow "
                f"experiments restore -x {experiment.experiment_id}`, or choose another name"
            )
        return str(experiment.experiment_id)

    def sweep(self, name: str) -> Run:
        """Return the parent run of a sweep, creating it if it is new; a known one is marked as running again.

        Other sweeps that are still marked as running, but whose processes were killed, are marked as KILLED.
        """
        sweeps = f"tags.{names.KIND} = '{names.SWEEP_KIND}'"
        with self._errors(), self._lock():
            runs = self._search(f"{sweeps} and tags.{names.SWEEP} = '{name}'")
            if runs:
                run = self._run(runs[0].info.run_id)
                self.client.update_run(run.run_id, status="RUNNING")
            else:
                about = {names.KIND: names.SWEEP_KIND, names.SWEEP: name, names.FORMAT_TAG: names.FORMAT}
                run = self._create(name, about)
            hold_sweep(self.results_dir, run.run_id)
            for other in self._search(f"{sweeps} and attributes.status = 'RUNNING'"):
                if is_abandoned(self.results_dir, other.info.run_id):
                    self.client.set_terminated(other.info.run_id, "KILLED")
        return run

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
        folder = self.results_dir / LOCKS
        with contextlib.ExitStack() as held:
            try:
                folder.mkdir(exist_ok=True)
                held.enter_context(locked(folder / identity, f"running {name}"))
            except OSError as error:
                raise StoreError(f"{folder}: the lock of {name} cannot be used ({error})") from None
            self._mark_as_killed(identity)
            yield

    def _mark_as_killed(self, identity: str) -> None:
        with self._errors():
            for run in self._search(
                f"tags.{names.IDENTITY} = '{identity}' and attributes.status = 'RUNNING'"
            ):
                folder = results_dir_of(run.data.tags, self._database)
                if folder is not None and folder.resolve() == self.results_dir.resolve():
                    self.client.set_terminated(run.info.run_id, "KILLED")

    def finished(self, identity: str, with_model: bool = False) -> Run | None:
        """Return the latest finished run of a cell; results of it that wait for the store are sent first.

        Parameters
        ----------
        with_model
            Whether only a run with a logged model counts.
        """
        for name in FOLDERS:
            pending = load_pending(self.results_dir / name / identity)
            if pending is not None:
                self.send(pending)
        for run in self._finished_runs(identity):
            name, run_id = run.info.run_name, run.info.run_id
            if not is_intact(run.data.metrics, run.data.tags):
                log.warning("%s: the numbers of run %s are damaged; running it again", name, run_id)
            elif with_model and not self._has_model(run):
                log.info("%s: run %s has no logged model; measuring it again to make one", name, run_id)
            else:
                return self._run(run_id)
        return None

    def is_finished(self, identity: str, with_model: bool = False) -> bool:
        """Return whether the store has a finished run of a cell; nothing is sent, and no lock is needed."""
        return any(
            is_intact(run.data.metrics, run.data.tags) and (not with_model or self._has_model(run))
            for run in self._finished_runs(identity)
        )

    def _has_model(self, run: MlflowRun) -> bool:
        with self._errors():
            return ready_model(self.client, run.info.experiment_id, run.info.run_id) is not None

    def _finished_runs(self, identity: str) -> list[MlflowRun]:
        with self._errors():
            return self._search(f"tags.{names.IDENTITY} = '{identity}' and attributes.status = 'FINISHED'")

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
            model = start_model(run, self.experiment_id, pending.model) if pending.model_digests else None
            run.log_history(pending.metrics, model.model_id if model else None)
            run.set_tags(pending.tags)
            run.set_tags(self._checksum_of(run, pending))
            if pending.files.is_dir():
                run.log_files(pending.files)
            if pending.digests:
                with TemporaryDirectory() as folder:
                    write_digests(Path(folder), pending.digests)
                    run.log_files(Path(folder))
            if model:
                finish_model(run, model, pending.model)
            run.end("FINISHED")
        except StoreError as error:
            raise type(error)(
                f"{error}. The cell's results are kept in {pending.folder}: send them with `python -m store.sync`"
            ) from None
        pending.discard()

    def _run_of(self, pending: Pending) -> Run:
        with self._errors():
            try:
                run = self.client.get_run(pending.run["id"])
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            else:
                if run.info.lifecycle_stage == LifecycleStage.ACTIVE:
                    return self._run(run.info.run_id)
            return self._create(pending.run["name"], pending.run["tags"])

    def _checksum_of(self, run: Run, pending: Pending) -> dict[str, str]:
        """Return the tag with the checksum of the numbers of a cell, by their last steps."""
        last = {storable(name): history[max(history)] for name, history in pending.metrics.items() if history}
        with self._errors():
            value = checksum(last, self.client.get_run(run.run_id).data.tags)
        return {names.CHECKSUM: value} if len(value) <= TAG_LENGTH else {}

    def _cell_tags(self, parent: Run, cell_tags: Mapping[str, Any]) -> dict[str, Any]:
        folder = results_dir_tag(self.results_dir, self._database)
        own = {names.KIND: names.CELL_KIND, names.RESULTS_DIR: folder}
        return {**cell_tags, **own, names.FORMAT_TAG: names.FORMAT, MLFLOW_PARENT_RUN_ID: parent.run_id}

    def _create(self, name: str, run_tags: Mapping[str, Any]) -> Run:
        name = cut(name, NAME_LENGTH)
        own = {**source_tags(), **run_tags, MLFLOW_RUN_NAME: name}
        text = {key: cut(str(value), TAG_LENGTH) for key, value in own.items()}
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
        return writing_errors(self.uri)
