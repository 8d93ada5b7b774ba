"""The detector of a cell as a logged model of MLflow: written to a folder, then sent to the store.

The folder holds an ONNX file, its signature, an input example and the packages that run it: no code and no pickle.
"""

import importlib.metadata
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from numpy.typing import NDArray

from store.failures import writing_errors
from store.run import TAG_LENGTH, Run, cut
from store.tags import MODEL

REQUIREMENTS = ("onnx", "onnxruntime", "numpy")
"""Packages that run a model; MLflow adds itself."""
_SERVING_EXAMPLE = "serving_input_example.json"  # MLflow's name of it


def write_model(
    folder: Path, file: Path, example: Mapping[str, NDArray[Any]], about: Mapping[str, Any]
) -> None:
    """Write the folder of a logged model, by MLflow's flavour `onnx`.

    Parameters
    ----------
    folder
        The folder, which must not exist.
    file
        The ONNX file.
    example
        An input, {name: array}.
    about
        The metadata of the model; MLflow shows the text among it as tags.
    """
    import mlflow.onnx
    import onnx  # an optional package

    content = onnx.load(file)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Any type hint")  # of a type of MLflow's own
        mlflow.onnx.save_model(
            content,
            folder,
            signature=ModelSignature(_schema(content.graph.input), _schema(content.graph.output)),
            input_example=dict(example),
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS],
            onnx_execution_providers=["CPUExecutionProvider"],  # those of the package required
            metadata=dict(about),
            save_as_external_data=False,
        )
    serving = folder / _SERVING_EXAMPLE  # MLflow gives each pixel a line of its own
    serving.write_text(json.dumps(json.loads(serving.read_text())))


def _schema(values: Any) -> Schema:
    """Return the signature of inputs or outputs of an ONNX graph."""
    from onnx.helper import tensor_dtype_to_np_dtype

    specs = []
    for value in values:
        tensor = value.type.tensor_type
        shape = [size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim]
        dtype = np.dtype(tensor_dtype_to_np_dtype(tensor.elem_type))
        specs.append(TensorSpec(dtype, tuple(shape), value.name))
    return Schema(specs)


def ready_model(client: MlflowClient, experiment_id: str, run_id: str) -> LoggedModel | None:
    """Return the logged model of a run, if it is complete."""
    models = _models_of(client, experiment_id, run_id)
    return next((model for model in models if model.status == LoggedModelStatus.READY), None)


def start_model(run: Run, experiment_id: str, folder: Path) -> LoggedModel:
    """Return the logged model of a run: that which an interrupted sending has left, or a new one, not yet complete."""
    with writing_errors(run.uri):
        models = _models_of(run.client, experiment_id, run.run_id)
        if models:
            return models[0]
        about = Model.load(str(folder)).metadata
        tags = {name: cut(value, TAG_LENGTH) for name, value in about.items() if isinstance(value, str)}
        return run.client.create_logged_model(experiment_id, MODEL, run.run_id, tags)


def finish_model(run: Run, model: LoggedModel, folder: Path) -> None:
    """Send the files of a logged model; once all of them are in the store it is complete."""
    if model.status == LoggedModelStatus.READY:
        return
    with TemporaryDirectory() as temporary, writing_errors(run.uri):
        run.client.log_model_artifacts(model.model_id, str(folder))
        index = Model.load(str(folder))
        index.model_id = index.model_uuid = model.model_id
        index.run_id = run.run_id
        path = Path(temporary) / "MLmodel"
        index.save(path)
        run.client.log_model_artifact(model.model_id, str(path))
        outputs = run.client.get_run(run.run_id).outputs
        if model.model_id not in [output.model_id for output in (outputs.model_outputs if outputs else ())]:
            run.client.log_outputs(run.run_id, [LoggedModelOutput(model.model_id, step=0)])
        run.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def _models_of(client: MlflowClient, experiment_id: str, run_id: str) -> list[LoggedModel]:
    condition = f"source_run_id = '{run_id}' AND name = '{MODEL}'"
    return list(client.search_logged_models([experiment_id], condition))
