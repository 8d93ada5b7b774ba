"""The files of a detector, written and read: weights as safetensors, everything else as JSON.

They may come from anywhere: nothing in them is run as code, and no number in them reserves memory that the weights do
not fill.
"""

import json
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmark.errors import BenchmarkError
from benchmark.settings.ranges import BatchSize, Seed, Side
from benchmark.settings.runtime import Precision
from benchmark.settings.values import convert, typed
from benchmark.training.records import StageRecord
from datasets.options import BIT_DEPTHS
from methods.method import Method
from methods.ranges import Range
from store.errors import StoreError, first_line
from store.folders import verify

ABOUT, WEIGHTS, THRESHOLDS = "detector.json", "weights.safetensors", "thresholds.json"
FORMAT = 1

Thresholds = Mapping[str, Mapping[str, float]]

_Deviation = Annotated[float, Range(above=0)]


@dataclass(frozen=True)
class _Teacher:
    name: str
    weights: str
    seed: Seed
    layers: list[str]
    layers_sha256: str | None
    padding_side: Side | None = None


@dataclass(frozen=True)
class _Preprocessing:
    image_size: Side
    depth_size: Side
    mean: tuple[float, float, float]
    std: tuple[_Deviation, _Deviation, _Deviation]
    bit_depth: Annotated[int, Range(at_least=BIT_DEPTHS[0], at_most=BIT_DEPTHS[-1])] | None = None


@dataclass(frozen=True)
class _Runtime:
    precision: Precision
    channels_last: bool


@dataclass(frozen=True)
class _Method:
    options: Mapping[str, Any]


@dataclass(frozen=True)
class _Thresholds:
    policy: str | None
    thresholds: Mapping[str, Any]
    batch_size: BatchSize | None = None


@dataclass(frozen=True)
class _Pair:
    pixel: float
    image: float


_PARTS = {"method": _Method, "backbone": _Teacher, "preprocessing": _Preprocessing, "runtime": _Runtime}
"""The parts of `detector.json` that its use needs."""


def write_files(folder: Path, method: Method, about: Mapping[str, Any]) -> None:
    """Write the files that training leaves: the weights, and `about` as JSON."""
    state = {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    (folder / ABOUT).write_text(json.dumps(about, indent=1))


def write_thresholds(
    folder: Path, thresholds: Thresholds, policy: str | None, batch_size: int | None
) -> None:
    """Write the thresholds of a detector, and the policy and batch size of its cell."""
    content = {"policy": policy, "thresholds": thresholds, "batch_size": batch_size}
    (folder / THRESHOLDS).write_text(json.dumps(content, indent=1))


def read_about(folder: Path) -> dict[str, Any]:
    """Return the content of `detector.json`.

    Raises
    ------
    StoreError
        If it is no such file, or a value that the use of the detector needs is missing or out of range.
    """
    path = folder / ABOUT
    about = _read_json(path)
    if about.get("format") != FORMAT:
        raise StoreError(f"{path}: found format {about.get('format')}; expected {FORMAT}")
    try:
        for name, kind in _PARTS.items():
            _typed_part(kind, about.get(name), name)
        convert(about.get("name"), str, "name")
        convert(about["method"]["options"].get("_target_"), str, "method.options._target_")
        convert(about.get("stages"), list[Any], "stages")
        for number, stage in enumerate(about["stages"]):
            typed(StageRecord, stage, f"stages.{number}")
        convert(about.get("peak_memory_gb"), float, "peak_memory_gb")
    except BenchmarkError as error:
        raise StoreError(f"{path}: {error}") from None
    return about


def read_thresholds(folder: Path) -> tuple[dict[str, dict[str, float]], str | None, int | None]:
    """Return {policy: {"pixel": ..., "image": ...}}, and the policy and batch size of the cell; nothing without a cell.

    Raises
    ------
    StoreError
        If the file is damaged.
    """
    path = folder / THRESHOLDS
    if not path.exists():
        return {}, None, None
    try:
        content = _typed_part(_Thresholds, _read_json(path), "thresholds")
        for policy, pair in content.thresholds.items():
            typed(_Pair, pair, f"thresholds.{policy}")
    except BenchmarkError as error:
        raise StoreError(f"{path}: {error}") from None
    thresholds = {policy: dict(pair) for policy, pair in content.thresholds.items()}
    return thresholds, content.policy, content.batch_size


def read_weights(folder: Path, method: Method) -> None:
    """Give a method the weights of a detector.

    Raises
    ------
    StoreError
        If they cannot be read, or are not those of this method.
    """
    try:
        method.load_state_dict(load_file(folder / WEIGHTS))
    except Exception as error:  # safetensors has errors of its own; torch's lists every name
        raise StoreError(f"{folder / WEIGHTS}: not the weights of its method ({first_line(error)})") from None


def check_files(folder: Path) -> None:
    """Compare the files of a detector with their digests.

    Raises
    ------
    StoreError
        If a file is missing, differs from its digest or has none; the message names it.
    """
    listed = verify(folder)
    for name in (ABOUT, WEIGHTS, THRESHOLDS):
        if name not in listed and (name != THRESHOLDS or (folder / name).exists()):
            raise StoreError(
                f"{folder / name}: the file has no digest; expected one for each file of a detector"
            )


def check_shapes(folder: Path, build: Callable[[], Method]) -> None:
    """Compare the weights' names, types and shapes with those of a method that is built without memory for its own.

    The options of the method come from the same files as the weights, and could ask for any amount of memory.

    Raises
    ------
    StoreError
        If they differ.
    """
    with torch.device("meta"):
        expected = build().state_dict()
    path = folder / WEIGHTS
    try:
        with safe_open(path, "pt") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
            found = {name: tuple(part.get_shape()) for name, part in parts.items()}
    except Exception as error:  # safetensors has errors of its own
        raise StoreError(f"{path}: not a file of weights ({first_line(error)})") from None
    for name in expected.keys() | found.keys():
        shape = tuple(expected[name].shape) if name in expected else None
        if shape != found.get(name):
            raise StoreError(
                f"{path}: not the weights of its method ({name}: found {found.get(name, 'none')}; expected "
                f"{shape or 'none'})"
            )


def is_of_suite(method_class: type[Method]) -> bool:
    """Return whether a class is a method of this suite."""
    return re.fullmatch(r"methods\.\w+", method_class.__module__) is not None


def known_class(folder: Path, target: str) -> type[Method]:
    """Return the class of a method of this suite, or of a module that is imported already.

    A detector's files may come from anywhere: they must not decide what is imported.
    """
    module = target.rpartition(".")[0]
    if re.fullmatch(r"methods\.\w+", module) or module in sys.modules:
        with suppress(ImportError, AttributeError, ValueError):
            found = pkgutil.resolve_name(target)
            if isinstance(found, type) and issubclass(found, Method):
                return found
    raise BenchmarkError(
        f"{folder / ABOUT}: the method {target} is not part of this suite; import its module first, or give "
        "method_class=..."
    )


def _typed_part(kind: type[Any], values: object, name: str) -> Any:
    """Return a part of a JSON file as a dataclass; what the class does not name is not needed."""
    named = [field.name for field in fields(kind)]
    known = {key: values[key] for key in named if key in values} if isinstance(values, Mapping) else values
    return typed(kind, known, name)  # type: ignore[arg-type]  # it refuses anything but a group


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError(f"found {type(content).__name__}; expected an object")
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: the file is damaged ({first_line(error)})") from None
    return content
