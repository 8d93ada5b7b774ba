"""A detector as an ONNX file, for any runtime of the format.

Inputs, outputs and dynamic sizes are those of `benchmark.deployment.exported`; the file carries its description as the
metadata property `detector`, JSON. onnx, onnxscript and onnxruntime are an extra: `pip install ".[export]"`.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from numpy.typing import NDArray

from benchmark.deployment.exported import Form, PixelType, export, inputs_of, metadata, outputs_of
from benchmark.detector import Detector
from benchmark.errors import BenchmarkError
from benchmark.packages import check_packages

METADATA = "detector"
MAX_BYTES = 2**31
"""Size of an ONNX file whose weights are in it."""


def write_onnx(detector: Detector, path: Path, *, resize: bool = False, input: PixelType = "uint8") -> None:
    """Write a detector to one ONNX file.

    Parameters
    ----------
    detector
        The detector; it is written for the CPU in float32, wherever and in whatever precision it runs here.
    path
        The file.
    resize, input
        See `benchmark.deployment.exported.Form`.

    Raises
    ------
    BenchmarkError
        If a package is missing, the method cannot be exported, or the weights do not fit into one file.
    """
    check_packages()
    form = Form(resize, input)
    program = export(detector, form)
    size = sum(value.nbytes for value in program.state_dict.values())
    if size >= MAX_BYTES:
        raise BenchmarkError(
            f"{path}: the weights take {size / 1e9:.1f} GB; expected less than 2 GB, or a .pt2 file"
        )
    first, *_ = inputs = inputs_of(detector, form)
    logging.getLogger("onnx_ir.passes").setLevel(logging.ERROR)  # it warns of constants among the outputs
    model = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        input_names=list(inputs),
        output_names=outputs_of(detector),
        # each name is given once: inputs that come with the images share their number
        dynamic_shapes={
            name: each.free if name == first else dict.fromkeys(each.free) for name, each in inputs.items()
        },
    )
    assert model is not None
    model.model.metadata_props[METADATA] = metadata(detector, form)
    model.save(path)


class OnnxModel:
    """An ONNX file in onnxruntime on the CPU, with torch's number of threads."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Return the outputs of a batch, by name."""
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, dict(inputs)), strict=True))
