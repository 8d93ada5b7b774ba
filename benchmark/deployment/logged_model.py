"""The detector of a cell as a logged model of MLflow, written to the cell's pending record."""

import copy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmark.cell import Cell
from benchmark.data.images import StoredImages
from benchmark.deployment.export_check import LIMIT, as_inputs, compare_at_size, images_for
from benchmark.deployment.export_examples import Example
from benchmark.deployment.exported import Form
from benchmark.deployment.onnx_file import OnnxModel, write_onnx
from benchmark.detector import Detector
from benchmark.errors import BenchmarkError
from benchmark.prediction import DecodedInput
from benchmark.runtime import Runtime
from store import tags
from store.models import write_model
from store.pending import Pending

ABOUT = (
    *(tags.METHOD, tags.MODE, tags.DATASET, tags.CATEGORY, tags.SEED, tags.PROTOCOL),
    *(tags.TRAINING_KEY, tags.IDENTITY),
)
"""Tags of the cell that are metadata of its model."""
BATCH_SIZE = 2
"""Of the comparison with the detector."""


def write_logged_model(cell: Cell, detector: Detector, pending: Pending) -> None:
    """Write a cell's detector, with its thresholds, as a model whose input example is the first test image.

    Raises
    ------
    BenchmarkError
        If the detector cannot be exported, or its file scores other than the detector does in float32 on the CPU.
    """
    images, form = cell.open_images(), Form()
    examples = _examples(images.test or images.train, images_for(BATCH_SIZE))
    runtime = Runtime(torch.device("cpu"), "fp32", detector.runtime.channels_last)
    own = replace(detector, method=runtime.move(copy.deepcopy(detector.method)), runtime=runtime)
    about = {
        **{name: pending.run["tags"][name] for name in ABOUT},
        tags.THRESHOLD_POLICY: detector.policy or "",
        "thresholds": {policy: dict(values) for policy, values in detector.thresholds.items()},
    }
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        write_onnx(own, file)
        found = compare_at_size(own, OnnxModel(file), form, examples, BATCH_SIZE)
        if not found.is_close:
            raise BenchmarkError(
                f"tracking.model=true: the exported detector differs from the detector: {found}; expected relative "
                f"differences of at most {LIMIT:g}"
            )
        write_model(pending.model, file, as_inputs(own, form, [examples[0].decoded]), about)


def _examples(stored: StoredImages, count: int) -> list[Example]:
    """Return the first stored images."""
    names = ("images", "depth", "foreground")
    arrays = {name: array for name in names if (array := getattr(stored, name)) is not None}
    return [
        Example(
            np.array(stored.images[i]),
            DecodedInput(str(sample.image), {name: np.array(array[i]) for name, array in arrays.items()}),
        )
        for i, sample in enumerate(stored.samples[:count])
    ]
