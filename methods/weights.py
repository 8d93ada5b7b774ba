"""Weights of the frozen network: read strictly from a file, and whether the hub has them."""

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

HUB_PATIENCE = 3.0  # seconds to wait for an answer of the hub
COUNTER = "num_batches_tracked"  # of BatchNorm: evaluation never reads it, and old files lack it


def digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names and values of a state dict, BatchNorm's counters left out."""
    sha256 = hashlib.sha256()
    for key, value in sorted(state.items()):
        if not key.endswith(COUNTER):
            sha256.update(key.encode())
            sha256.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def load_file(network: nn.Module, name: str, path: Path) -> None:
    """Load a state dict strictly; only parts of the full model beyond the deepest layer may be left over."""
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
            f"backbone.weights={path}: NaN or infinity in {len(broken)} entries, e.g. {', '.join(broken[:3])}"
        )


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise MethodError(
            f"backbone.weights={path}: there is no such file; accepted: imagenet, random, or a .pth or "
            ".safetensors file"
        )
    if path.suffix not in (".pth", ".pt", ".safetensors"):
        raise MethodError(
            f"backbone.weights={path}: found suffix '{path.suffix}'; accepted: .pth, .safetensors"
        )
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            with warnings.catch_warnings(action="ignore"):  # of torch, about what it refuses a moment later
                state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # broken bytes lead torch to errors of any kind; safetensors has its own
        raise MethodError(
            f"backbone.weights={path}: not readable as names and tensors ({type(error).__name__}); the file is "
            "cut short, or something other than a state dict, which is never read as it could run code"
        ) from None
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise MethodError(f"backbone.weights={path}: found no state dict (names and tensors)")
    return state


def in_hub_cache(name: str) -> bool:
    """Return whether the hub's local cache holds the weights of a timm model."""
    from huggingface_hub import try_to_load_from_cache

    repository = timm.get_pretrained_cfg(name).hf_hub_id
    files = ("model.safetensors", "pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(repository, file), str) for file in files)


def ask_hub() -> None:
    """Fail at once where the hub's own client would retry for most of a minute."""
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        raise ConnectionError("HF_HUB_OFFLINE is set and its cache does not hold them")
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    answer: list[BaseException | None] = [TimeoutError(f"no answer from {address} in {HUB_PATIENCE:g} s")]

    def knock() -> None:
        try:
            request = urllib.request.Request(address, method="HEAD")
            urllib.request.urlopen(request, timeout=HUB_PATIENCE).close()
            answer[0] = None
        except urllib.error.HTTPError as error:
            error.close()
            answer[0] = None  # whoever answers is there
        except OSError as error:
            answer[0] = ConnectionError(f"{address}: {error}")

    # A thread of its own, as the time-out of a connection does not cover the look-up of its name.
    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(HUB_PATIENCE + 0.5)
    if answer[0] is not None:
        raise answer[0]
