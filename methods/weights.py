"""Weights of the frozen network, read strictly from the kinds of files that people have."""

import argparse
import hashlib
import inspect
import re
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from methods.errors import MethodError

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".pth.tar", ".tar", ".safetensors")
WRAPPERS = ("state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema")
"""Names under which checkpoints of a training keep the state dict."""

PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.", "network.")
"""What wrappers such as `DataParallel` and `torch.compile` put before all names."""

SUITE = {
    **{name: name for name in ("resnet18", "resnet34", "resnet50", "wide_resnet50_2", "wide_resnet101_2")},
    **{name: name for name in ("vit_base_patch14_reg4_dinov2", "vit_tiny_patch16_224")},
    **{name: f"tf_{name}" for name in ("efficientnet_b5", "efficientnet_lite0")},
}
"""{option of `backbone`: timm's name}, a part of another network after that part"""

State = Mapping[str, Tensor]
COUNTER = "num_batches_tracked"  # BatchNorm's counter, which evaluation never reads and old files lack


def digest(state: State) -> str:
    """Return the SHA-256 of names and values of a state dict, without BatchNorm's counters."""
    sha256 = hashlib.sha256()
    for key, value in sorted(state.items()):
        if not key.endswith(COUNTER):
            sha256.update(key.encode())
            sha256.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def check_file(weights: str) -> Path:
    """Return the path of a weights file.

    Raises
    ------
    MethodError
        If there is no such file, or its suffix is unknown.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise MethodError(
            f"backbone.weights={path}: found no such file; expected imagenet, package, random, or a file "
            f"({', '.join(SUFFIXES)})"
        )
    if not path.name.lower().endswith(SUFFIXES):
        raise MethodError(
            f"backbone.weights={path}: found suffix '{path.suffix}'; expected {', '.join(SUFFIXES)}"
        )
    return path


def load_file(network: nn.Module, name: str, path: Path) -> None:
    """Load the state dict of a file: see `load_state`.

    Raises
    ------
    MethodError
        If the file is damaged, holds no state dict, that of another model, or values that are not finite.
    """
    load_state(network, name, _state_of(_read(path), path), str(path))


def load_state(network: nn.Module, name: str, state: State, source: str) -> None:
    """Load a state dict strictly; it may only hold more than the network for deeper layers of the model.

    Names may be timm's, those that timm itself converts, or either with some of `PREFIXES`.

    Parameters
    ----------
    source
        The value of `backbone.weights` that it comes from.

    Raises
    ------
    MethodError
        If it is that of another model, or holds values that are not finite.
    """
    with torch.device("meta"):
        whole = timm.create_model(name, pretrained=False)
    known = whole.state_dict().keys()
    expected = _by_names_of(known, network.state_dict())
    readings = list(_readings(state, name, whole))
    state, misfits = _best(readings, expected, known)
    for problem, keys in misfits.items():
        if keys:
            raise MethodError(
                f"backbone.weights={source}: not the weights of {name}: the file {problem} {len(keys)} "
                f"entries, e.g. {', '.join(keys[:3])}{_way_out(name, readings)}"
            )
    own = dict(zip(expected, network.state_dict(), strict=True))
    network.load_state_dict({own[key]: state.get(key, default) for key, default in expected.items()})
    broken = [key for key, value in network.state_dict().items() if not value.isfinite().all()]
    if broken:
        raise MethodError(
            f"backbone.weights={source}: found NaN or infinity in {len(broken)} entries, e.g. {', '.join(broken[:3])}"
        )


def _by_names_of(known: Iterable[str], part: State) -> dict[str, Tensor]:
    """Return the entries of a `features_only` network by the names that they have in the whole network.

    timm wraps the network (`model.`, `body.`) or flattens it (`stages.0` becomes `stages_0`).
    """
    names = {key.replace(".", "_"): key for key in known}
    for wrapper in ("", "model.", "body."):
        keys = [key.removeprefix(wrapper).replace(".", "_") for key in part]
        if all(key in names for key in keys):
            return {names[key]: value for key, value in zip(keys, part.values(), strict=True)}
    raise AssertionError(f"timm's network of features has names of its own: {', '.join(part)[:200]}")


def _best(
    readings: Iterable[State], expected: State, known: Collection[str]
) -> tuple[State, dict[str, list[str]]]:
    """Return the first reading without misfits, or the one with the fewest, and its misfits."""
    best: tuple[State, dict[str, list[str]]] | None = None
    for reading in readings:
        misfits = _misfits(reading, expected, known)
        if best is None or _count(misfits) < _count(best[1]):
            best = reading, misfits
        if not _count(misfits):
            break
    assert best is not None
    return best


def _count(misfits: dict[str, list[str]]) -> int:
    return sum(len(keys) for keys in misfits.values())


def _misfits(state: State, expected: State, known: Collection[str]) -> dict[str, list[str]]:
    return {
        "lacks": [key for key in expected if key not in state and not key.endswith(COUNTER)],
        "has other shapes for": [
            key for key, value in expected.items() if key in state and state[key].shape != value.shape
        ],
        "has no plain floating-point values for": [
            key for key, value in expected.items() if key in state and not _as_plain(state[key], value)
        ],
        "has unknown": [key for key in state if key not in known],
    }


def _as_plain(value: Tensor, expected: Tensor) -> bool:
    """Return whether a value is dense and has data, and is no integer (e.g. quantised) where floats are expected."""
    plain = value.layout == torch.strided and not value.is_meta
    return plain and (value.is_floating_point() or not expected.is_floating_point())


def _readings(state: State, name: str, whole: nn.Module) -> Iterator[State]:
    """Yield the state dict as it is, without the prefixes that all names share, and as timm converts each."""
    readings = [state]
    while prefix := next((p for p in PREFIXES if state and all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
        readings.append(state)
    yield from readings
    for reading in readings:
        yield from _converted(reading, name, whole)


def _converted(state: State, name: str, whole: nn.Module) -> Iterator[State]:
    """Yield the state dict after the filters by which timm loads files of the family's first authors."""
    module = sys.modules[timm.models.model_entrypoint(name.partition(".")[0]).__module__]
    for function in (f for key, f in vars(module).items() if "filter" in key and inspect.isfunction(f)):
        arguments = (dict(state), whole)[: len(inspect.signature(function).parameters)]
        try:
            converted = {key: value for key, value in function(*arguments).items() if not value.is_meta}
            resampled = [
                key
                for key, value in converted.items()
                if key in state
                and state[key].shape != value.shape
                and not torch.isin(value, state[key]).all()
            ]
        except Exception:  # a filter may fail in any way where the file is that of another network
            continue
        # the shapes of another image or patch size stay, to be refused
        yield converted | {key: state[key] for key in resampled}


def _way_out(name: str, readings: Sequence[State]) -> str:
    """Say which network weights fit in one of their readings; where methods have their own, one cannot fit all."""
    for option, model in SUITE.items():
        with torch.device("meta"):
            whole = timm.create_model(model, pretrained=False).state_dict()
        if any(_fits(state, whole, timm.get_pretrained_cfg(model).classifier) for state in readings):
            own = model == name.partition(".")[0]
            return "" if own else f"; it fits {option}: backbone={option} sets one network for all methods"
    return "; backbone=<network> sets one network for all methods"


def _fits(state: State, whole: State, classifier: str) -> bool:
    """Tell whether all weights are those of a network; its classifier may be for other classes."""
    return bool(state) and all(
        key.startswith(classifier) or (key in whole and value.shape == whole[key].shape)
        for key, value in state.items()
    )


def _read(path: Path) -> Any:
    try:
        if path.suffix.lower() == ".safetensors":
            return safetensors.torch.load_file(path)
        with (
            warnings.catch_warnings(action="ignore"),  # torch warns before it refuses
            torch.serialization.safe_globals([argparse.Namespace]),  # timm keeps options so; it runs nothing
        ):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of any kind for damaged files; safetensors has its own
        refused = re.search(r"GLOBAL [\w.]+|TorchScript", str(error))
        if refused:
            raise MethodError(
                f"backbone.weights={path}: found {refused[0].removeprefix('GLOBAL ')}; expected names and tensors "
                "alone, as reading other objects could run code: torch.save(network.state_dict(), 'weights.pth')"
            ) from None
        raise MethodError(
            f"backbone.weights={path}: found a file that is not readable as names and tensors "
            f"({type(error).__name__}); expected a complete state dict"
        ) from None


def _state_of(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the state dict that a file holds: its content, or the one under one of `WRAPPERS`."""
    if _is_state(content):
        return content
    entries = content if isinstance(content, dict) else {}
    states = [key for key in WRAPPERS if _is_state(entries.get(key))]
    if len(states) > 1:
        raise MethodError(
            f"backbone.weights={path}: found {len(states)} state dicts: {', '.join(states)}; expected one: save "
            "the one that you mean alone"
        )
    if not states:
        others = [str(key) for key, value in entries.items() if not _is_state({key: value})]
        found = f"a dict with other entries: {', '.join(others[:3])}" if others else type(content).__name__
        raise MethodError(
            f"backbone.weights={path}: found {found}; expected a state dict (names and tensors), alone or under "
            f"{', '.join(WRAPPERS)}"
        )
    return entries[states[0]]


def _is_state(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    )
