"""A small ONNX file with the inputs and outputs of an exported detector, and its answers."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

SIDE, THRESHOLD = 4, 0.625


def write_stand_in(file: Path) -> None:
    """Write a detector whose map is the mean of the colours and whose score is the map's largest value."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 3, SIDE, SIDE])
    shapes: dict[str, list[str | int]] = {
        "map": ["batch", SIDE, SIDE],
        "score": ["batch"],
        "image_threshold": [],
    }
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()
    ]
    axes = {"colours": [1], "pixels": [1, 2]}
    threshold = helper.make_tensor("value", TensorProto.FLOAT, [], [THRESHOLD])
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "colours"], ["map"], keepdims=0),
        helper.make_node("ReduceMax", ["map", "pixels"], ["score"], keepdims=0),
        helper.make_node("Constant", [], ["image_threshold"], value=threshold),
    ]
    constants = [
        helper.make_tensor(name, TensorProto.INT64, [len(value)], value) for name, value in axes.items()
    ]
    graph = helper.make_graph(nodes, "detector", [image], outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), file)


def example() -> dict[str, NDArray[Any]]:
    """Return one image by the name of the input."""
    image = np.arange(3 * SIDE * SIDE, dtype=np.uint8).reshape(1, 3, SIDE, SIDE)
    return {"image": image}


def score_of(image: NDArray[Any]) -> list[float]:
    """Return the scores that the file gives."""
    maps = image.astype(np.float32).mean(1)
    return [float(score) for score in maps.max((1, 2))]
