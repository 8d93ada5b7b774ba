"""A detector as a .pt2 file, for torch without this project.

Inputs, outputs and dynamic sizes are those of `benchmark.deployment.exported`; the file carries its description as the
extra file `detector.json`.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from numpy.typing import NDArray

from benchmark.deployment.exported import Form, PixelType, export, metadata
from benchmark.detector import Detector

METADATA = "detector.json"


def write_pt2(detector: Detector, path: Path, *, resize: bool = False, input: PixelType = "uint8") -> None:
    """Write a detector to a file for `torch.export.load`; see `benchmark.deployment.onnx_file.write_onnx`."""
    form = Form(resize, input)
    torch.export.save(export(detector, form), path, extra_files={METADATA: metadata(detector, form)})


class Pt2Model:
    """A .pt2 file in torch on the CPU."""

    def __init__(self, path: Path) -> None:
        self.module = torch.export.load(path).module()

    def __call__(self, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Return the outputs of a batch, by name."""
        with torch.inference_mode():
            outputs = self.module(**{name: torch.from_numpy(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}
