"""The frozen teacher network, and untrained students of the same architecture."""

import difflib
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import timm
import torch
from timm.models import EfficientNet
from torch import Tensor, nn
from torch.nn.functional import interpolate

from methods.errors import MethodError
from methods.weights import check_file, check_hub, digest, in_hub_cache, load_file


class FeatureBackbone:
    """A timm network as the source of teacher features and of untrained students.

    Its layers are those of timm's `features_only` networks; for an EfficientNet, all its stages.

    Parameters
    ----------
    name
        Name of the timm model, e.g. `resnet18.tv_in1k`.
    weights
        `imagenet`: timm's pretrained weights from the hub (or its local cache); `random`: an untrained
        network with BatchNorm statistics computed on noise; or the path of a .pth file (a state dict, read
        with weights_only) or .safetensors file with timm's or torchvision's key names.
    seed
        Seed of random weights.

    Raises
    ------
    MethodError
        If timm does not know the name, or the weights cannot be had or belong to another network.
    """

    def __init__(self, name: str, weights: str = "imagenet", seed: int = 0) -> None:
        architecture, _, tag = name.partition(".")
        if not timm.is_model(architecture):
            near = ", ".join(difflib.get_close_matches(architecture, timm.list_models(), n=5))
            raise MethodError(
                f"backbone.name: found {name}; expected a timm model, e.g. {near or 'resnet18'}"
            )
        if tag and not timm.is_model_pretrained(name):
            known = ", ".join(timm.list_pretrained(f"{architecture}.*"))
            raise MethodError(f"backbone.name: found {name}; timm knows the weights: {known or 'none'}")
        self.name = name
        self.weights = weights
        self.seed = seed
        self._teachers: dict[tuple[str, ...], LayerFeatures] = {}
        self._digests: dict[tuple[str, ...], str] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose features can be had, from shallow to deep."""
        return tuple(_layer_channels(self.name))

    def channels(self, layers: Sequence[str]) -> list[int]:
        """Return the number of channels of the features at the layers."""
        return [_layer_channels(self.name)[self.layers[i]] for i in self._indices(layers)]

    def new_student(self, layers: Sequence[str], **options: Any) -> "LayerFeatures":
        """Return the same network, up to the deepest of the layers, with fresh random weights.

        They come from torch's global generator: convolutions Kaiming-normal (fan-out), BatchNorm 1 and 0,
        as torchvision initialises its ResNets; other families as timm does. `options` are passed to timm to
        build a variant of the network.
        """
        return self._create(layers, pretrained=False, **options)

    def teacher(self, layers: Sequence[str]) -> "LayerFeatures":
        """Return the frozen network in evaluation mode with its configured weights, loaded on first use."""
        key = tuple(layers)
        if key not in self._teachers:
            self._teachers[key] = self._load(layers).eval().requires_grad_(False)
        return self._teachers[key]

    def digest(self, layers: Sequence[str]) -> str:
        """Return the SHA-256 of the teacher's weights up to the deepest of the layers, computed on first use."""
        key = tuple(layers)
        if key not in self._digests:
            self._digests[key] = digest(self.teacher(layers).state_dict())
        return self._digests[key]

    def identity(self, layers: Sequence[str]) -> str:
        """Return all that the teacher's features depend on: name, layers and digest."""
        return f"{self.name}/{'+'.join(layers)}:{self.digest(layers)}"

    def file_digest(self) -> str | None:
        """Return the SHA-256 of the weights file; None for weights that do not come from a file.

        Raises
        ------
        MethodError
            If there is no such file.
        """
        if self.weights in ("imagenet", "random"):
            return None
        with check_file(self.weights).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _indices(self, layers: Sequence[str]) -> tuple[int, ...]:
        for layer in layers:
            if layer not in self.layers:
                raise MethodError(f"{self.name}: found no layer '{layer}'; known: {', '.join(self.layers)}")
        return tuple(self.layers.index(layer) for layer in layers)

    def _create(self, layers: Sequence[str], pretrained: bool, **options: Any) -> "LayerFeatures":
        # each feature comes once, from shallow to deep, whatever the order of the layers
        indices = sorted(set(self._indices(layers)))
        if not indices:
            raise MethodError(f"{self.name}: found no layers; expected some of {', '.join(self.layers)}")
        network = _create(self.name, indices, pretrained=pretrained, **options)
        return LayerFeatures(network, [self.layers[i] for i in indices])

    def _load(self, layers: Sequence[str]) -> "LayerFeatures":
        if self.weights == "imagenet":
            return self._from_hub(layers)
        with isolated_rng(self.seed):
            teacher = self._create(layers, pretrained=False)
            if self.weights == "random":
                calibrate_batchnorm(teacher)
        if self.weights != "random":
            load_file(teacher.network, self.name, check_file(self.weights))
        return teacher

    def _from_hub(self, layers: Sequence[str]) -> "LayerFeatures":
        try:
            if not in_hub_cache(self.name):
                check_hub()
            return self._create(layers, pretrained=True)
        except Exception as error:  # the hub's client raises errors of many libraries
            raise MethodError(
                f"backbone.weights=imagenet: the weights of {self.name} are not available from the hub "
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


class EfficientNetStages(nn.Module):
    """A timm EfficientNet that ends at the deepest of some stages and returns their outputs.

    timm's own `features_only` network only offers the last stage of each stride.
    """

    def __init__(self, network: EfficientNet, indices: Sequence[int]) -> None:
        super().__init__()
        self.conv_stem, self.bn1 = network.conv_stem, network.bn1
        self.blocks = network.blocks[: max(indices) + 1]
        self.indices = tuple(indices)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to the outputs of the stages, from shallow to deep."""
        x = self.bn1(self.conv_stem(image))
        outputs = []
        for i, stage in enumerate(self.blocks):
            x = stage(x)
            if i in self.indices:
                outputs.append(x)
        return outputs


def _create(name: str, indices: Sequence[int], **options: Any) -> nn.Module:
    """Return the network that outputs the features at the layers of these indices and ends at the deepest."""
    if timm.models.is_model_in_modules(name, "efficientnet"):
        return EfficientNetStages(timm.create_model(name, **options), indices)
    if timm.models.is_model_in_modules(name, "resnet"):
        options["zero_init_last"] = False  # as torchvision; timm zeroes the last BatchNorms
    return timm.create_model(name, features_only=True, out_indices=tuple(indices), **options)


@cache
def _layer_channels(name: str) -> dict[str, int]:
    """Return {layer: channels}, from shallow to deep."""
    with torch.device("meta"):
        if timm.models.is_model_in_modules(name, "efficientnet"):
            network = timm.create_model(name, pretrained=False)
            outputs = EfficientNetStages(network, range(len(network.blocks)))(torch.empty(1, 3, 64, 64))
            return {f"blocks.{i}": output.shape[1] for i, output in enumerate(outputs)}
        network = timm.create_model(name, pretrained=False, features_only=True)
    return {info["module"]: info["num_chs"] for info in network.feature_info.info}


def calibrate_batchnorm(network: nn.Module) -> None:
    """Set BatchNorm's statistics by one pass over noise of all scales, so that random features differ.

    With the initial statistics (mean 0, variance 1) all features of an untrained network point in almost the
    same direction, whatever the image shows. One thread computes them: sums would otherwise depend on the number of
    threads, and a detector could not find its teacher again under another number.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _calibrate_batchnorm(network)
    finally:
        torch.set_num_threads(threads)


def _calibrate_batchnorm(network: nn.Module) -> None:
    scales = [torch.randn(16, 3, 2**k, 2**k) for k in range(1, 8)]
    noise = torch.stack([interpolate(scale, (128, 128), mode="bilinear") for scale in scales]).sum(0)
    momenta = {m: m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)}
    for module in momenta:
        module.momentum = None  # the plain average, here over one pass
    network.train()
    with torch.no_grad():
        network(noise / noise.std())
    for module, momentum in momenta.items():
        module.momentum = momentum


@contextmanager
def isolated_rng(seed: int) -> Iterator[None]:
    """Draw random weights from their own seed, independently of all draws before and after.

    The seed is hashed: a student drawn after `torch.manual_seed(seed)` would start as a copy of its teacher.
    """
    hashed = int.from_bytes(hashlib.sha256(f"teacher {seed}".encode()).digest()[:4])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(hashed)  # torch.manual_seed would reseed every GPU, too
        yield
