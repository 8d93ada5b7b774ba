"""A detector as one network: from pixels to anomaly map and image score, thresholds included."""

import copy
import json
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.functional import interpolate

from benchmark.data.teacher import normalise
from benchmark.detector import Detector
from benchmark.errors import BenchmarkError
from benchmark.runtime import M, Runtime
from benchmark.scoring import predict
from datasets.batch import Batch, Normalisation
from metrics import JUDGES_MAPS, THRESHOLD_POLICIES, is_oracle
from metrics.passes import round_up
from store.errors import first_line

FORMAT = 1
"""Of the metadata."""
CPU = Runtime(torch.device("cpu"), "fp32", channels_last=False)

PixelType = Literal["uint8", "float32"]


@dataclass(frozen=True)
class Form:
    """The form of an exported detector.

    Attributes
    ----------
    resize
        Whether it takes images of any height and width, and resizes them itself.
    input
        Type of the pixels: `uint8`, or `float32` from 0 to 1, which are rounded to 8 bits.
    """

    resize: bool = False
    input: PixelType = "uint8"


class ExportedDetector(nn.Module):
    """Normalisation, teacher, student, map and score of a detector, on the CPU in float32.

    A batch of B images gives `map` (B, H, W) float32 at the detector's image size and `score` (B,) float32; if the
    detector has thresholds, also those of its policy, `image_threshold` and `pixel_threshold`: the least float32
    numbers that count as anomalous.
    """

    def __init__(self, detector: Detector, form: Form) -> None:
        super().__init__()
        preprocessing = detector.about["preprocessing"]
        self.form, self.side = form, preprocessing["image_size"]
        self.normalisation = Normalisation(tuple(preprocessing["mean"]), tuple(preprocessing["std"]))
        self.runtime = replace(CPU, channels_last=detector.runtime.channels_last)
        self.method = _on_cpu(detector.method)
        layers = detector.method.teacher_layers
        self.teacher = _on_cpu(detector.backbone.teacher(layers)) if layers else None
        for name in outputs_of(detector)[2:]:
            threshold = detector.thresholds[str(detector.policy)][name.removesuffix("_threshold")]
            self.register_buffer(name, torch.tensor(round_up(np.array(threshold), np.float32)))

    def forward(
        self, image: Tensor | None = None, depth: Tensor | None = None, foreground: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Score a batch of the inputs that `inputs_of` names."""
        if image is not None:
            pixels = self._pixels(image).permute(0, 2, 3, 1)
            normalised = normalise(pixels, self.normalisation, self.runtime)
        else:  # the method looks at its size alone
            assert depth is not None
            normalised = depth.new_zeros(1).expand(depth.shape[0], 3, self.side, self.side)
        features = {} if self.teacher is None else self.teacher(normalised)
        label = torch.zeros(normalised.shape[0], dtype=torch.int64)
        batch = Batch(normalised, label, depth=depth, foreground=foreground, features=features)
        anomaly_map, score = predict(self.method, batch)
        return {"map": anomaly_map, "score": score.float(), **dict(self.named_buffers(recurse=False))}

    def _pixels(self, image: Tensor) -> Tensor:
        """Return the pixels (B, 3, side, side) uint8 of a batch."""
        pixels = image if self.form.input == "uint8" else (image * 255).round().clamp(0, 255).to(torch.uint8)
        if not self.form.resize:
            return pixels
        return interpolate(pixels, (self.side, self.side), mode="bilinear", antialias=True)


def _on_cpu(module: M) -> M:
    """Return a copy whose weights are contiguous, as .pt2 files need them; convolutions follow the images' format."""
    return CPU.move(copy.deepcopy(module)).eval().requires_grad_(False)


@dataclass(frozen=True)
class InputSpec:
    """An input: its shape, in which words stand for any positive number; type, and what it holds."""

    shape: tuple[int | str, ...]
    type: str
    content: str

    @property
    def free(self) -> dict[int, str]:
        """The sizes that are not fixed, {axis: word}."""
        return {axis: size for axis, size in enumerate(self.shape) if isinstance(size, str)}


def inputs_of(detector: Detector, form: Form) -> dict[str, InputSpec]:
    """Return the inputs of an exported detector, by name."""
    preprocessing, mode = detector.about["preprocessing"], detector.method.mode
    side, depth = preprocessing["image_size"], ("batch", 1, *[preprocessing["depth_size"]] * 2)
    size = ("height", "width") if form.resize else (side, side)
    inputs = {}
    if mode != "depth":
        scale = "0 to 255" if form.input == "uint8" else "0 to 1"
        how = (
            f"resized to {side} x {side} (bilinear, antialiased)" if form.resize else "of the detector's size"
        )
        inputs["image"] = InputSpec(("batch", 3, *size), form.input, f"red, green and blue, {scale}; {how}")
    if mode != "rgb":
        inputs["depth"] = InputSpec(depth, "float32", "centimetres, as prepared by datasets.depth")
        inputs["foreground"] = InputSpec(depth, "bool", "True: foreground, as prepared by datasets.depth")
    return inputs


def outputs_of(detector: Detector) -> list[str]:
    """Return the names of the outputs, in order; see `ExportedDetector`."""
    has_thresholds = bool(detector.policy and detector.policy in detector.thresholds)
    return ["map", "score", *(["image_threshold", "pixel_threshold"] if has_thresholds else [])]


def export(detector: Detector, form: Form) -> ExportedProgram:
    """Trace a detector for batches of any size.

    Raises
    ------
    BenchmarkError
        If the method cannot be traced, such as one whose code counts the images.
    """
    given, dynamic = {}, {}
    sizes = {"batch": 2, "height": 65, "width": 67}  # different, as equal ones would be taken for one
    for name, each in inputs_of(detector, form).items():
        shape = [size if isinstance(size, int) else sizes[size] for size in each.shape]
        given[name] = torch.zeros(shape, dtype=getattr(torch, each.type))
        dynamic[name] = {axis: Dim(size, min=1) for axis, size in each.free.items()}
    try:
        with torch.no_grad():
            module = ExportedDetector(detector, form)
            program = torch.export.export(module, (), given, dynamic_shapes=dynamic)
    except RuntimeError as error:  # of torch's tracer
        raise BenchmarkError(
            f"{detector.about['name']}: the method cannot be exported ({first_line(error)}); expected code "
            "that is the same for any number of images"
        ) from error
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # paths on this machine
    return program


def metadata(detector: Detector, form: Form) -> str:
    """Return what a user of the file should know, as JSON."""
    about, policy = detector.about, detector.policy
    kept = ("name", "method", "category", "seed", "preprocessing", "training_key", "versions")
    judged = "the largest value in its map" if policy == JUDGES_MAPS else "its score"
    content = {
        "format": FORMAT,
        **{name: about.get(name) for name in kept},
        "teacher": {name: about["backbone"].get(name) for name in ("name", "layers", "layers_sha256")},
        "classes": ["normal", "anomalous"],
        "policy": policy,
        "policy_is_oracle": policy in THRESHOLD_POLICIES and is_oracle(policy),
        "thresholds": detector.thresholds,
        "verdict": f"an image is anomalous if {judged} is at least the image threshold, a pixel if its value in the "
        "map is at least the pixel threshold",
        "inputs": {name: vars(each) for name, each in inputs_of(detector, form).items()},
    }
    return json.dumps(content, indent=1)
