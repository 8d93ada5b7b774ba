"""A sweep with logged models: they score as its cells did without this project, and the best one is registered."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import LoggedModel, Run

from benchmark.deployment import logged_model
from store.files import read_scores
from tests.cluster.processes import free_port, running, wait_for
from tests.end_to_end.command import QUICK, TAKEN, Outcome, run_here

COMMAND = (
    *("method=stfpm", "dataset.categories=[washer]", *QUICK, "tracking.model=true"),
    *("backbone=resnet18", "backbone.name=test_resnet", "backbone.weights=random"),
)
REGISTER = ("tracking.register=image_auroc", "sweep=first")
LOAD = """
import sys
import mlflow.pyfunc
for place in sys.argv[1:]:
    model = mlflow.pyfunc.load_model(place)
    print(repr(float(model.predict(model.input_example)["score"][0])))
ours = [name for name in sys.modules if name.partition(".")[0] in ("benchmark", "methods", "store", "torch")]
print(ours)
"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def outcome(results: Path, capfd: pytest.CaptureFixture[str]) -> Outcome:
    """Return the sweep of one cell, which the first test that needs it runs."""
    if not (results / "mlflow.db").exists():
        done = run_here(results, capfd, *COMMAND, *REGISTER)
        assert done.code == 0, done.stderr
        assert "synthetic.washer version 1 registered: stfpm seed 0, image_auroc" in done.stdout
        assert "constant folding" not in done.stdout  # libraries that export are silent
    return Outcome(0, "", "", results)


def models_of(outcome: Outcome) -> dict[str, LoggedModel]:
    """Return the logged models by their runs."""
    experiments = [experiment.experiment_id for experiment in outcome.client.search_experiments()]
    return {model.source_run_id: model for model in outcome.client.search_logged_models(experiments)}


def folder_of(model: LoggedModel) -> Path:
    return Path(model.artifact_location.removeprefix("file://"))


def first_score(outcome: Outcome, run: Run) -> float:
    """Return the score of the first test image, which is the input example of the cell's model."""
    return float(read_scores(outcome.artifact(run, "scores.csv"))["score"][0])


def test_a_model_scores_as_its_cell_where_nothing_of_this_project_is(
    outcome: Outcome, tmp_path: Path
) -> None:
    (run,) = outcome.runs("cell")
    (logged,) = models_of(outcome).values()
    places = [f"runs:/{run.info.run_id}/model", f"models:/{logged.model_id}", "models:/synthetic.washer/1"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOAD, *places],
        cwd=tmp_path,
        env={**environment, "MLFLOW_TRACKING_URI": outcome.uri},
        capture_output=True,
        text=True,
        check=True,
    )
    *scores, ours = done.stdout.splitlines()
    assert [float(score) for score in scores] == pytest.approx([first_score(outcome, run)] * 3, rel=1e-6)
    assert ours == "[]"


def test_a_model_has_the_numbers_of_its_cell(outcome: Outcome) -> None:
    (run,) = outcome.runs("cell")
    (logged,) = models_of(outcome).values()
    numbers = {metric.key: metric.value for metric in logged.metrics}
    assert numbers == {name: run.data.metrics[name] for name in numbers}
    assert {"image_auroc", "pro", "inference_seconds_single"} <= numbers.keys()
    assert logged.tags["training_key"] == run.data.tags["training_key"]


def test_an_unchanged_sweep_registers_nothing_again(
    outcome: Outcome, capfd: pytest.CaptureFixture[str]
) -> None:
    again = run_here(outcome.results, capfd, *COMMAND, *REGISTER)
    assert again.code == 0
    assert TAKEN in again.stdout
    assert "synthetic.washer version 1 is the best cell already" in again.stdout
    assert len(outcome.client.search_model_versions()) == len(models_of(outcome)) == 1


def test_a_file_that_scores_otherwise_becomes_no_model(
    outcome: Outcome, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(logged_model.OnnxModel):
        def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
            return {name: 1.001 * value for name, value in super().__call__(inputs).items()}

    file = folder_of(models_of(outcome).popitem()[1]) / "model.onnx"
    monkeypatch.setattr(logged_model, "write_onnx", lambda _, path: shutil.copy(file, path))
    monkeypatch.setattr(logged_model, "OnnxModel", Wrong)
    wrong = run_here(outcome.results, capfd, *COMMAND, "jobs.force=true", "sweep=wrong")
    assert wrong.code == 1
    message = "tracking.model=true: the exported detector differs from the detector: maps"
    assert message in wrong.stdout
    (failed,) = (run for run in outcome.runs("cell") if run.info.status == "FAILED")
    assert message in failed.data.tags["reason"]
    assert failed.info.run_id not in models_of(outcome)


def test_a_served_model_scores_an_image_sent_by_http(outcome: Outcome, tmp_path: Path) -> None:
    (logged,) = models_of(outcome).values()
    run, port = outcome.client.get_run(logged.source_run_id), free_port()
    place = f"runs:/{run.info.run_id}/model"
    words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", place, "--env-manager", "local"]
    body = (folder_of(logged) / "serving_input_example.json").read_bytes()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
    )
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # of uvicorn
    environment, log = {**os.environ, "MLFLOW_TRACKING_URI": outcome.uri, "PATH": programs}, tmp_path / "log"
    with running([*words, "-p", str(port)], log, environment) as process:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/ping"), process, log)
        answer = json.load(urllib.request.urlopen(request, timeout=60))["predictions"]
    assert answer["score"] == pytest.approx([first_score(outcome, run)], rel=1e-6)
    assert np.shape(answer["map"]) == (1, 32, 32)
    assert answer["image_threshold"] == pytest.approx(run.data.metrics["image_threshold"], rel=1e-6)


def answers(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as reply:
        return bool(reply.status == 200)
    return False


@pytest.mark.parametrize("mode", ["depth", "rgbd"])
def test_models_of_methods_that_see_depth_have_it_as_inputs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], mode: str
) -> None:
    sizes = ("dataset.train=4", "dataset.test_good=1", "dataset.test_defective=1", "method.training.epochs=1")
    data = ("dataset=synthetic_3d", "dataset.categories=[rod]", *sizes)
    done = run_here(tmp_path, capfd, "method=ast", f"method.mode={mode}", *data, "tracking.model=true")
    assert done.code == 0, done.stdout
    ((run_id, logged),) = models_of(done).items()
    loaded = mlflow.pyfunc.load_model(str(folder_of(logged)))
    images = ["image"] if mode == "rgbd" else []
    assert loaded.metadata.signature.inputs.input_names() == [*images, "depth", "foreground"]
    score = loaded.predict(loaded.input_example)["score"]
    assert score.tolist() == pytest.approx([first_score(done, done.client.get_run(run_id))], rel=1e-5)
