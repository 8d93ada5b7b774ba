"""Weights of the frozen network: strict reading from a file, and checks of the hub."""

import hashlib
import os
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from methods.errors import MethodError

HUB_TIMEOUT = 3.0  # seconds
COUNTER = "num_batches_tracked"  # BatchNorm's counter, which evaluation never reads and old files lack


def digest(state: Mapping[str, Tensor]) -> str:
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
            f"backbone.weights={path}: found no such file; expected imagenet, random, or a .pth or .safetensors file"
        )
    if path.suffix not in (".pth", ".pt", ".safetensors"):
        raise MethodError(
            f"backbone.weights={path}: found suffix '{path.suffix}'; expected .pth, .safetensors"
        )
    return path


def load_file(network: nn.Module, name: str, path: Path) -> None:
    """Load a state dict strictly; the file may only hold more than the network for deeper layers of the model.

    Raises
    ------
    MethodError
        If the file is damaged, holds no state dict, that of another model, or values that are not finite.
    """
    state = _read_state(path)
    expected = network.state_dict()
    state = {key: value for key, value in expected.items() if key.endswith(COUNTER)} | state
    missing = [key for key in expected if key not in state]
    shapes = [key for key in expected if key in state and state[key].shape != expected[key].shape]
    with torch.device("meta"):
        beyond = timm.create_model(name, pretrained=False).state_dict().keys() - expected.keys()
    foreign = [key for key in state if key not in expected and key not in beyond]
    for problem, keys in (("lacks", missing), ("has other shapes for", shapes), ("has unknown", foreign)):
        if keys:
            raise MethodError(
                f"backbone.weights={path}: not the weights of {name}: the file {problem} {len(keys)} "
                f"entries, e.g. {', '.join(keys[:3])}"
            )
    network.load_state_dict({key: state[key] for key in expected})
    broken = [key for key, value in network.state_dict().items() if not value.isfinite().all()]
    if broken:
        raise MethodError(
            f"backbone.weights={path}: found NaN or infinity in {len(broken)} entries, e.g. {', '.join(broken[:3])}"
        )


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            with warnings.catch_warnings(action="ignore"):  # torch warns before it refuses
                state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of any kind for damaged files; safetensors has its own
        raise MethodError(
            f"backbone.weights={path}: found a file that is not readable as names and tensors "
            f"({type(error).__name__}); expected a complete state dict (other objects could run code)"
        ) from None
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise MethodError(
            f"backbone.weights={path}: found another object; expected a state dict (names and tensors)"
        )
    return state


def in_hub_cache(name: str) -> bool:
    """Return whether the hub's local cache holds the weights of a timm model."""
    from huggingface_hub import try_to_load_from_cache

    repository = timm.get_pretrained_cfg(name).hf_hub_id
    files = ("model.safetensors", "pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(repository, file), str) for file in files)


def check_hub() -> None:
    """Fail at once if the hub does not answer, where its own client would retry for most of a minute."""
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        raise ConnectionError("HF_HUB_OFFLINE is set and its cache does not hold them")
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    outcome: list[BaseException | None] = [TimeoutError(f"no answer from {address} in {HUB_TIMEOUT:g} s")]

    def request() -> None:
        try:
            head = urllib.request.Request(address, method="HEAD")
            urllib.request.urlopen(head, timeout=HUB_TIMEOUT).close()
            outcome[0] = None
        except urllib.error.HTTPError as error:
            error.close()
            outcome[0] = None  # an error status is an answer, too
        except OSError as error:
            outcome[0] = ConnectionError(f"{address}: {error}")

    # In a thread, as the timeout of a connection does not cover the look-up of its name.
    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT + 0.5)
    if outcome[0] is not None:
        raise outcome[0]
