"""One MLflow run, as it is written."""

import getpass
import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag
from mlflow.utils.mlflow_tags import (
    MLFLOW_GIT_COMMIT,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)

from store import tags as names
from store.errors import StoreError
from store.failures import writing_errors
from store.files import as_utf8
from store.names_in_mlflow import storable

log = logging.getLogger(__name__)

# MLflow's limits: metrics, parameters and tags per call, and characters of a value
METRICS, PARAMS, TAGS = 1000, 100, 100
PARAM_LENGTH, TAG_LENGTH = 6000, 5000
NAME_LENGTH = 250  # of a run, in a PostgreSQL store
DATASET_NAME_LENGTH, DIGEST_LENGTH = 500, 36


@dataclass(frozen=True)
class Run:
    """One MLflow run that is being written.

    All methods raise `StoreUnavailable` if the store cannot be used, and another `StoreError` if it refuses a record.
    """

    client: MlflowClient
    run_id: str
    uri: str

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log numbers; NaN is left out, as an undefined measure has no number."""
        self.log_history({name: {0: value} for name, value in metrics.items() if not math.isnan(value)})

    def log_history(self, histories: Mapping[str, Mapping[int, float]], model_id: str | None = None) -> None:
        """Log {metric: {step: value}}; names are escaped where MLflow takes no such name.

        What has a value for step 0 alone, and so is no curve, is logged to the run's model, too, if there is one.
        """
        now = int(time.time() * 1000)
        metrics = [
            Metric(storable(name), float(value), now, step, model_id if {*history} == {0} else None)
            for name, history in histories.items()
            for step, value in history.items()
        ]
        with writing_errors(self.uri):
            for first in range(0, len(metrics), METRICS):
                self.client.log_batch(self.run_id, metrics=metrics[first : first + METRICS])

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log options by their dotted names, escaped where MLflow takes no such name.

        A longer value than MLflow takes ends with `...`.
        """
        items = [Param(storable(name), cut(str(value), PARAM_LENGTH)) for name, value in params.items()]
        with writing_errors(self.uri):
            for first in range(0, len(items), PARAMS):
                self.client.log_batch(self.run_id, params=items[first : first + PARAMS])

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; a value of over 5000 characters ends with `...`."""
        items = [RunTag(name, cut(str(value), TAG_LENGTH)) for name, value in tags.items()]
        with writing_errors(self.uri):
            for first in range(0, len(items), TAGS):
                self.client.log_batch(self.run_id, tags=items[first : first + TAGS])

    def describe(self, command: str, facts: Mapping[str, str], commit: str) -> None:
        """Write how the run is made, in the fields that MLflow's pages show.

        Parameters
        ----------
        command
            The command for exactly this run. One that is too long for a tag becomes the file `command.txt`.
        facts
            {name: value} for the description, such as method, dataset and seed.
        commit
            The commit of the code; empty if it is not known.
        """
        shown = command
        if len(command) > TAG_LENGTH // 2:  # the description holds it, too
            self.log_text(command + "\n", names.COMMAND_FILE)
            shown = f"see the file {names.COMMAND_FILE}"
        lines = [f"- {name}: {value}" for name, value in facts.items()]
        note = "\n".join([*lines, "", f"```\n{shown}\n```"])
        git = {MLFLOW_GIT_COMMIT: commit} if commit else {}
        self.set_tags({names.COMMAND: shown, MLFLOW_RUN_NOTE: note, **git})

    def log_dataset(self, name: str, digest: str, source: str) -> None:
        """Log the dataset of the run, shown with its digest.

        Parameters
        ----------
        name
            Name of the dataset, with the category.
        digest
            Digest of its content; MLflow keeps the first 36 characters.
        source
            Where it lies: a path or an address.
        """
        where = json.dumps({"uri": as_utf8(source)})
        dataset = Dataset(cut(name, DATASET_NAME_LENGTH), digest[:DIGEST_LENGTH], "local", where)
        with writing_errors(self.uri):
            self.client.log_inputs(self.run_id, [DatasetInput(dataset)])

    def log_text(self, text: str, name: str) -> None:
        """Log a text file under a name or path."""
        with writing_errors(self.uri):
            self.client.log_text(self.run_id, as_utf8(text), name)

    def log_files(self, folder: Path, target: str | None = None) -> None:
        """Log all files of a folder, in a folder of that name if a `target` is given."""
        with writing_errors(self.uri):
            self.client.log_artifacts(self.run_id, str(folder), target)

    def end(self, status: str) -> None:
        """Set the run's final status: FINISHED, FAILED or KILLED."""
        with writing_errors(self.uri):
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
            with writing_errors(self.uri):
                if self.client.get_run(self.run_id).info.status == "RUNNING":
                    self.client.set_terminated(self.run_id, "KILLED")
        except StoreError as error:
            log.warning("run %s stays marked as running: %s", self.run_id, error)

    def delete(self) -> None:
        """Delete the run."""
        with writing_errors(self.uri):
            self.client.delete_run(self.run_id)


def source_tags() -> dict[str, str]:
    """Return MLflow's own tags of the program and the user that make a run."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        user = "unknown"
    return {MLFLOW_SOURCE_NAME: "run_benchmark.py", MLFLOW_SOURCE_TYPE: "LOCAL", MLFLOW_USER: user}


def cut(text: str, length: int) -> str:
    """Return text that a store takes, at most so long."""
    text = as_utf8(text).replace("\x00", "\\x00")  # PostgreSQL takes no zero bytes
    return text if len(text) <= length else text[: length - 3] + "..."
