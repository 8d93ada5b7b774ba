"""The frozen network whose features every student learns to copy, and where its weights come from."""

import difflib
import hashlib
import os
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from methods.errors import MethodError

HUB_PATIENCE = 3.0  # seconds to wait for an answer of the hub
COUNTER = "num_batches_tracked"  # of BatchNorm: evaluation never reads it, and old files lack it


class FeatureBackbone:
    """A timm network as the source of teacher features and of untrained students.

    Parameters
    ----------
    name
        Of the timm model, e.g. `resnet18.tv_in1k`.
    weights
        `imagenet`: timm's pretrained weights from the hub (or its local cache); `random`: an untrained
        network, its BatchNorm statistics taken from noise; or the path of a .pth file (a state dict, read
        with weights_only) or .safetensors file with timm's or torchvision's key names.
    seed
        Of random weights.

    Raises
    ------
    MethodError
        If timm does not know the name, or the weights cannot be had or belong to another network.
    """

    def __init__(self, name: str, weights: str = "imagenet", seed: int = 0) -> None:
        architecture, _, tag = name.partition(".")
        if not timm.is_model(architecture):
            near = ", ".join(difflib.get_close_matches(architecture, timm.list_models(), n=5))
            raise MethodError(f"backbone.name={name}: timm has no such model; near names: {near or 'none'}")
        if tag and not timm.is_model_pretrained(name):
            known = ", ".join(timm.list_pretrained(f"{architecture}.*"))
            raise MethodError(f"backbone.name={name}: timm has no such weights; known: {known or 'none'}")
        self.name = name
        self.weights = weights
        self.seed = seed
        self._teachers: dict[tuple[str, ...], LayerFeatures] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose features can be had, from shallow to deep."""
        return tuple(info["module"] for info in _feature_info(self.name))

    def channels(self, layers: Sequence[str]) -> list[int]:
        """Return the number of channels of the features at the layers."""
        info = _feature_info(self.name)
        return [info[i]["num_chs"] for i in self._indices(layers)]

    def untrained_copy(self, layers: Sequence[str]) -> "LayerFeatures":
        """Return the same network, up to the deepest of the layers, with fresh random weights.

        They come from torch's global generator: convolutions Kaiming-normal (fan-out), BatchNorm 1 and 0,
        as torchvision initialises its ResNets; other families as timm does.
        """
        return self._create(layers, pretrained=False)

    def teacher(self, layers: Sequence[str]) -> "LayerFeatures":
        """Return the frozen network in evaluation mode, with the weights that the config names."""
        key = tuple(layers)
        if key not in self._teachers:
            self._teachers[key] = self._load(layers).eval().requires_grad_(False)
        return self._teachers[key]

    def identity(self, layers: Sequence[str]) -> str:
        """Return name and SHA-256 of the weights up to the deepest layer: what the features depend on."""
        digest = hashlib.sha256()
        for key, value in sorted(self.teacher(layers).state_dict().items()):
            if key.endswith(COUNTER):
                continue
            digest.update(key.encode())
            digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return f"{self.name}/{'+'.join(layers)}:{digest.hexdigest()}"

    def _indices(self, layers: Sequence[str]) -> tuple[int, ...]:
        for layer in layers:
            if layer not in self.layers:
                raise MethodError(f"{self.name} has no layer '{layer}'; known: {', '.join(self.layers)}")
        return tuple(self.layers.index(layer) for layer in layers)

    def _create(self, layers: Sequence[str], pretrained: bool) -> "LayerFeatures":
        # timm returns features from shallow to deep and each once, in whatever order they are asked for
        indices = sorted(set(self._indices(layers)))
        if not indices:
            raise MethodError(f"{self.name}: no layers are named; known: {', '.join(self.layers)}")
        network = _create(self.name, features_only=True, out_indices=tuple(indices), pretrained=pretrained)
        return LayerFeatures(network, [self.layers[i] for i in indices])

    def _load(self, layers: Sequence[str]) -> "LayerFeatures":
        if self.weights == "imagenet":
            return self._from_hub(layers)
        with _private_generator(self.seed):
            teacher = self._create(layers, pretrained=False)
            if self.weights == "random":
                _settle_batchnorm(teacher)
        if self.weights != "random":
            _load_file(teacher.network, self.name, Path(self.weights).expanduser())
        return teacher

    def _from_hub(self, layers: Sequence[str]) -> "LayerFeatures":
        try:
            if not _in_hub_cache(self.name):
                _ask_hub()
            return self._create(layers, pretrained=True)
        except Exception as error:  # the hub's client raises errors of many libraries
            raise MethodError(
                f"backbone.weights=imagenet: the weights of {self.name} cannot be had from the hub "
                f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}). "
                "Three ways out: (1) connect to the hub once, or copy its cache from another machine and set "
                "HF_HOME; (2) backbone.weights=/path/to/weights.pth or .safetensors; (3) backbone.weights=random, "
                "whose results cannot be compared with published ones"
            ) from None


class LayerFeatures(nn.Module):
    """A timm feature network that returns {layer: (B, C, h, w)}."""

    def __init__(self, network: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.layers = tuple(layers)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) to the features at the layers."""
        return dict(zip(self.layers, self.network(image), strict=True))


def _create(name: str, **options: Any) -> nn.Module:
    """Create a timm model; ResNets with torchvision's initialisation (timm zeroes the last BatchNorms)."""
    if timm.models.is_model_in_modules(name, "resnet"):
        options["zero_init_last"] = False
    return timm.create_model(name, **options)


@cache
def _feature_info(name: str) -> list[dict[str, Any]]:
    with torch.device("meta"):
        network = timm.create_model(name, pretrained=False, features_only=True)
    return [dict(info) for info in network.feature_info.info]


def _settle_batchnorm(network: nn.Module) -> None:
    """Set BatchNorm's statistics by one pass over noise of all scales, so that random features differ.

    With the initial statistics (mean 0, variance 1) every feature of an untrained network points almost the
    same way, whatever the image shows.
    """
    scales = [torch.randn(16, 3, 2**k, 2**k) for k in range(1, 8)]
    noise = torch.stack([interpolate(scale, (128, 128), mode="bilinear") for scale in scales]).sum(0)
    momenta = {m: m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)}
    for module in momenta:
        module.momentum = None  # the plain average, of this one pass
    network.train()
    with torch.no_grad():
        network(noise / noise.std())
    for module, momentum in momenta.items():
        module.momentum = momentum


@contextmanager
def _private_generator(seed: int) -> Iterator[None]:
    """Draw random weights from their own seed, whatever was drawn before or is drawn after.

    The seed is hashed: a student drawn after `torch.manual_seed(seed)` would start as its teacher's copy.
    """
    own = int.from_bytes(hashlib.sha256(f"teacher {seed}".encode()).digest()[:4])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(own)  # the CPU's alone; torch.manual_seed would reseed every GPU
        yield


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
            state = load_file(path)
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


def _load_file(network: nn.Module, name: str, path: Path) -> None:
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


def _in_hub_cache(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    repository = timm.get_pretrained_cfg(name).hf_hub_id
    files = ("model.safetensors", "pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(repository, file), str) for file in files)


def _ask_hub() -> None:
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
