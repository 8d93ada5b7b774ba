"""Logged models: what they hold, when they are complete, where they are found, and which of them are registered."""

import json
import shutil
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException

from store.errors import StoreError
from store.failures import StoreUnavailable
from store.local import follow
from store.models import ready_model, write_model
from store.pending import Pending, load_pending
from store.plan import MEMBER, Member
from store.register import OPTIMISTIC, register_best
from store.sync import main as sync
from store.tracker import Tracker
from tests.cluster.postgres import mlflow_server
from tests.store.made import open_tracker
from tests.store.onnx_stand_in import SIDE, THRESHOLD, example, score_of, write_stand_in

ABOUT = {"method": "stfpm", "category": "bottle", "thresholds": {"f1_image": {"image": 0.5, "pixel": 0.25}}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a logged model."""
    folder = tmp_path_factory.mktemp("made")
    write_stand_in(folder / "model.onnx")
    write_model(folder / "model", folder / "model.onnx", example(), ABOUT)
    return folder / "model"


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    (tmp_path / "results").mkdir()
    return open_tracker(tmp_path / "results")


def waiting(tracker: Tracker, model: Path | None, identity: str = "one", **tags: str) -> Pending:
    """Return the results of a finished cell that wait for the store."""
    shown = {
        "identity": identity,
        "method": "stfpm",
        "dataset": "toy",
        "category": "bottle",
        "seed": "0",
        **tags,
    }
    parent = tracker.sweep("a")
    run = tracker.start_cell(parent, "stfpm bottle", {**shown, f"{MEMBER}a": str(Member(0, 0, identity))})
    pending = tracker.new_pending(run, parent, "stfpm bottle", identity, shown)
    pending.add_metrics({"image_auroc": 0.75, "pro": 0.5})
    pending.metrics["student/loss"] = {1: 2.0, 2: 1.0}
    if model is not None:
        shutil.copytree(model, pending.model)
    return pending


def finish(
    tracker: Tracker, model: Path | None, identity: str = "one", auroc: float = 0.75, **tags: str
) -> str:
    """Return the run of a finished cell."""
    pending = waiting(tracker, model, identity, **tags)
    pending.add_metrics({"image_auroc": auroc})
    pending.save()
    tracker.send(pending)
    return str(pending.run["id"])


def models_of(tracker: Tracker) -> list[LoggedModel]:
    return list(tracker.client.search_logged_models([tracker.experiment_id]))


def away(*arguments: object, **named: object) -> None:
    raise MlflowException("the server is away")


# the folder


def test_a_model_is_one_onnx_file_with_its_signature_and_the_packages_that_run_it(model: Path) -> None:
    assert {path.suffix for path in model.rglob("*") if path.is_file()} == {
        "",
        ".json",
        ".onnx",
        ".txt",
        ".yaml",
    }
    required = (model / "requirements.txt").read_text().split()
    assert required == [f"{name}=={version(name)}" for name in ("mlflow", "onnx", "onnxruntime", "numpy")]
    loaded = load(model)
    assert loaded.metadata.metadata == ABOUT
    inputs, outputs = (
        part.to_dict() for part in (loaded.metadata.signature.inputs, loaded.metadata.signature.outputs)
    )
    assert [spec["tensor-spec"] for spec in inputs] == [{"dtype": "uint8", "shape": (-1, 3, SIDE, SIDE)}]
    shapes = {spec["name"]: spec["tensor-spec"]["shape"] for spec in outputs}
    assert shapes == {"map": (-1, SIDE, SIDE), "score": (-1,), "image_threshold": ()}


def test_a_loaded_model_scores_as_the_file(model: Path) -> None:
    loaded = load(model)
    images = np.random.default_rng(0).integers(0, 256, (5, 3, SIDE, SIDE)).astype(np.uint8)
    answer = loaded.predict({"image": images})
    assert answer["score"].tolist() == pytest.approx(score_of(images))
    assert answer["image_threshold"] == THRESHOLD
    assert json.loads((model / "serving_input_example.json").read_text())["inputs"]["image"] == (
        loaded.input_example["image"].tolist()
    )
    with pytest.raises(MlflowException, match="shape"):
        loaded.predict({"image": images[:, :, 1:]})


def load(model: Path) -> Any:
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(model))


# sending


def test_a_cell_is_sent_with_its_model(tracker: Tracker, model: Path) -> None:
    run_id = finish(tracker, model)
    (logged,) = models_of(tracker)
    assert (logged.name, logged.status, logged.source_run_id) == ("model", "READY", run_id)
    assert logged.tags == {"method": "stfpm", "category": "bottle"}
    assert {metric.key: metric.value for metric in logged.metrics} == {"image_auroc": 0.75, "pro": 0.5}
    (output,) = tracker.client.get_run(run_id).outputs.model_outputs
    assert output.model_id == logged.model_id
    assert [value.value for value in tracker.client.get_metric_history(run_id, "image_auroc")] == [0.75]
    (kept,) = (tracker.results_dir / "artifacts/models").iterdir()
    loaded = load(kept / "artifacts")
    assert (loaded.metadata.model_id, loaded.metadata.run_id) == (logged.model_id, run_id)
    assert "model" not in [file.path for file in tracker.client.list_artifacts(run_id)]


def test_a_cell_without_a_model_is_found_only_by_those_who_ask_for_none(
    tracker: Tracker, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = finish(tracker, None)
    assert tracker.is_finished("one")
    assert not tracker.is_finished("one", with_model=True)
    with caplog.at_level("INFO"):
        assert tracker.finished("one", with_model=True) is None
    assert f"run {run_id} has no logged model; measuring it again to make one" in caplog.text
    later = finish(tracker, model)
    found = tracker.finished("one", with_model=True)
    assert found is not None
    assert found.run_id == later
    tracker.client.delete_logged_model(models_of(tracker)[0].model_id)
    assert not tracker.is_finished("one", with_model=True)


@pytest.mark.parametrize(
    "broken", ["log_model_artifacts", "log_model_artifact", "log_outputs", "set_terminated"]
)
def test_an_interrupted_sending_leaves_no_half_made_model_and_is_continued(
    tracker: Tracker, model: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    pending = waiting(tracker, model)
    pending.save()
    with monkeypatch.context() as patch:
        patch.setattr(tracker.client, broken, away)
        with pytest.raises(StoreUnavailable, match=r"kept in .*pending/one: send them with"):
            tracker.send(pending)
    complete = ready_model(tracker.client, tracker.experiment_id, pending.run["id"]) is not None
    assert complete == (broken == "set_terminated")
    assert not tracker.is_finished("one", with_model=True)
    (first,) = models_of(tracker)
    monkeypatch.setattr("sys.argv", ["sync", "--results", str(tracker.results_dir)])
    assert sync() == 0
    assert tracker.is_finished("one", with_model=True)
    (second,) = models_of(tracker)
    assert (second.model_id, second.status) == (first.model_id, "READY")
    assert len(tracker.client.get_run(pending.run["id"]).outputs.model_outputs) == 1


def test_a_model_that_has_changed_on_disk_is_named(tracker: Tracker, model: Path) -> None:
    pending = waiting(tracker, model)
    pending.save()
    assert load_pending(pending.folder) == pending
    (pending.model / "model.onnx").write_bytes(b"other")
    with pytest.raises(
        StoreError, match=r"pending/one/model/model\.onnx: damaged \(its content has changed\)"
    ):
        load_pending(pending.folder)


# moved folders


def locations(database: Path) -> set[str]:
    """Return what MLflow has recorded of where the files of runs and models lie."""
    columns = ["runs.artifact_uri", "logged_models.artifact_location"]
    columns += ["model_versions.source", "model_versions.storage_location"]
    found: set[str] = set()
    with closing(sqlite3.connect(database)) as connection:
        for table, _, column in (name.partition(".") for name in columns):
            found |= {place for (place,) in connection.execute(f"SELECT {column} FROM {table}")}
    return found


@pytest.mark.parametrize("copied", [False, True], ids=["moved", "copied"])
def test_models_of_a_moved_folder_are_found(tracker: Tracker, model: Path, copied: bool) -> None:
    finish(tracker, model)
    assert [*register_best(tracker, "a", "image_auroc")]
    old, new = tracker.results_dir, tracker.results_dir.with_name("elsewhere")
    if copied:
        shutil.copytree(old, new)
    else:
        old.rename(new)
    before = locations(new / "mlflow.db")
    follow(new / "mlflow.db")
    found = locations(new / "mlflow.db")
    assert found == {place.replace(old.as_uri(), new.as_uri()) for place in before} != before
    (place,) = (Path(place.removeprefix("file://")) for place in found if "/models/" in place)
    assert load(place).predict(example())["score"] == score_of(**example())
    if copied:
        assert locations(old / "mlflow.db") == before


# registered models


def versions_of(client: MlflowClient) -> list[tuple[str, str, str]]:
    """Return name, number and run of each version, the oldest first."""
    found = client.search_model_versions()
    return sorted((item.name, str(item.version), item.run_id) for item in found)


def test_the_best_cell_of_each_category_becomes_a_version_once(tracker: Tracker, model: Path) -> None:
    finish(tracker, model, "one", 0.5)
    best = finish(tracker, model, "two", 0.875, seed="1")
    finish(tracker, model, "three", 0.75, seed="2")
    cable = finish(tracker, model, "four", 0.25, category="cable")
    lines = [*register_best(tracker, "a", "image_auroc")]
    assert lines == [
        "toy.bottle version 1 registered: stfpm seed 1, image_auroc 0.8750",
        "toy.cable version 1 registered: stfpm seed 0, image_auroc 0.2500",
    ]
    first = [("toy.bottle", "1", best), ("toy.cable", "1", cable)]
    assert versions_of(tracker.client) == first
    tags = tracker.client.get_model_version("toy.bottle", "1").tags
    assert tags == {
        **{"sweep": "a", "method": "stfpm", "seed": "1", "measure": "image_auroc", "value": "0.875"},
        "note": OPTIMISTIC,
    }
    assert "version 1 is the best cell already" in next(register_best(tracker, "a", "image_auroc"))
    assert versions_of(tracker.client) == first
    better = finish(tracker, model, "five", 1.0, seed="3")
    assert [*register_best(tracker, "a", "image_auroc")]
    assert versions_of(tracker.client) == [first[0], ("toy.bottle", "2", better), first[1]]
    (logged,) = (item for item in models_of(tracker) if item.source_run_id == better)
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": "toy.bottle", "version": 2}]


def test_names_of_any_spelling_are_registered_apart(tracker: Tracker, model: Path) -> None:
    parts = [("a.b", "c"), ("a", "b.c"), ("größe", "x/y:z"), ("..", "'quoted' 50 %"), ("\udcff", "n" * 300)]
    for number, (dataset, category) in enumerate(parts):
        finish(tracker, model, str(number), dataset=dataset, category=category)
    for _ in range(2):
        assert len([*register_best(tracker, "a", "pro")]) == len(parts)
    found = versions_of(tracker.client)
    assert len({name for name, _, _ in found}) == len(found) == len(parts)
    assert found[0][0] == "%2E%2E.%27quoted%27%2050%20%25"


def test_a_best_cell_without_a_model_is_named(tracker: Tracker, model: Path) -> None:
    finish(tracker, model, "one", 0.5)
    best = finish(tracker, None, "two", 0.75, seed="1")
    with pytest.raises(StoreError, match=rf"the best cell of bottle has no logged model \(run {best}\)"):
        [*register_best(tracker, "a", "image_auroc")]


@pytest.mark.slow
def test_a_server_keeps_models_and_versions(tmp_path: Path, model: Path) -> None:
    (tmp_path / "results").mkdir()
    with mlflow_server(f"sqlite:///{tmp_path / 'server.db'}", tmp_path / "artifacts", workers=1) as address:
        tracker = open_tracker(tmp_path / "results", address)
        run_id = finish(tracker, model)
        for _ in range(2):
            assert [*register_best(tracker, "a", "image_auroc")]
        assert versions_of(tracker.client) == [("toy.bottle", "1", run_id)]
        (logged,) = models_of(tracker)
        assert json.loads(logged.tags["mlflow.modelVersions"])[0]["name"] == "toy.bottle"
        for place in (f"models:/{logged.model_id}", f"runs:/{run_id}/model", "models:/toy.bottle/1"):
            assert scores_from(place, address) == score_of(**example())


def scores_from(place: str, address: str) -> list[float]:
    import mlflow

    mlflow.set_tracking_uri(address)
    try:
        return list(mlflow.pyfunc.load_model(place).predict(example())["score"])
    finally:
        mlflow.set_tracking_uri(None)
