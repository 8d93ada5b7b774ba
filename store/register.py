"""The best cells of a sweep as versions of registered models of MLflow."""

import json
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from store import tags as names
from store.errors import StoreError
from store.failures import writing_errors
from store.models import ready_model
from store.names_in_mlflow import registrable
from store.run import TAG_LENGTH, cut
from store.table import labels, read_cells
from store.tracker import Tracker

OPTIMISTIC = "chosen by a measure of the test images: its value is optimistic"
"""What the tag `note` of a version says."""


def register_best(tracker: Tracker, sweep: str, measure: str) -> Iterator[str]:
    """Make the best finished cell of each dataset and category a version of the registered model of that name.

    A cell that is a version by this measure already does not become another one. Of equal cells the first counts.

    Parameters
    ----------
    measure
        Name of the measure; larger is better.

    Yields
    ------
    A sentence for each category.

    Raises
    ------
    StoreError
        If the store cannot be used, or the best cell has no logged model.
    """
    cells = read_cells(tracker.uri, [sweep])
    cells = cells.assign(label=labels(cells))
    finished = cells[cells["status"] == "FINISHED"]
    for (dataset, category), group in finished.groupby([names.DATASET, names.CATEGORY], sort=False):
        name = registrable(str(dataset), str(category))
        measured = group[(group["metric"] == measure) & group["value"].notna()]
        if measured.empty:
            yield f"{name}: nothing to register, as no cell has {measure}"
            continue
        best = max(measured.to_dict("records"), key=lambda cell: cell["value"])
        shown = f"{best['label']} seed {best[names.SEED]}, {measure} {best['value']:.4f}"
        with writing_errors(tracker.uri):
            version = _version_of(tracker.client, name, best["run_id"], measure)
            if version is not None:
                yield f"{name} version {version} is the best cell already: {shown}"
            else:
                yield f"{name} version {_register(tracker.client, name, best, measure)} registered: {shown}"


def _version_of(client: MlflowClient, name: str, run_id: str, measure: str) -> str | None:
    """Return the version of a registered model that a run became by a measure."""
    versions = client.search_model_versions(f"name = '{name}'")
    own = (item for item in versions if item.run_id == run_id and item.tags.get("measure") == measure)
    return next((str(item.version) for item in own), None)


def _register(client: MlflowClient, name: str, cell: Mapping[Hashable, Any], measure: str) -> str:
    run_id = cell["run_id"]
    model = ready_model(client, client.get_run(run_id).info.experiment_id, run_id)
    if model is None:
        raise StoreError(
            f"tracking.register={measure}: the best cell of {cell[names.CATEGORY]} has no logged model (run {run_id}); "
            "it was deleted, and jobs.force=true runs the cell again"
        )
    tags = {
        names.SWEEP: cell[names.SWEEP],
        names.METHOD: cell["label"],
        names.SEED: cell[names.SEED],
        "measure": measure,
        "value": cell["value"],
        "note": OPTIMISTIC,
    }
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    text = {key: cut(str(value), TAG_LENGTH) for key, value in tags.items()}
    created = client.create_model_version(
        name, model.artifact_location, run_id, text, model_id=model.model_id
    )
    _link(client, model, name, created.version)
    return str(created.version)


def _link(client: MlflowClient, model: LoggedModel, name: str, version: int | str) -> None:
    """Let the page of a logged model show its version, which only servers do by themselves."""
    linked = json.loads(client.get_logged_model(model.model_id).tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
    if not any(item["name"] == name and str(item["version"]) == str(version) for item in linked):
        content = json.dumps([*linked, {"name": name, "version": version}])
        client.set_logged_model_tags(model.model_id, {MLFLOW_MODEL_VERSIONS: content})
