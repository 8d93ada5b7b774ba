"""The frozen network whose features every student learns to copy, and where its weights come from."""

import difflib
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import EfficientNet
from torch import Tensor, nn
from torch.nn.functional import interpolate

from methods.errors import MethodError
from methods.weights import ask_hub, digest, in_hub_cache, load_file


class FeatureBackbone:
    """A timm network as the source of teacher features and of untrained students.

    Its layers are those of timm's `features_only` networks; of an EfficientNet, all its stages.

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
        return tuple(_layer_channels(self.name))

    def channels(self, layers: Sequence[str]) -> list[int]:
        """Return the number of channels of the features at the layers."""
        return [_layer_channels(self.name)[self.layers[i]] for i in self._indices(layers)]

    def untrained_copy(self, layers: Sequence[str], **options: Any) -> "LayerFeatures":
        """Return the same network, up to the deepest of the layers, with fresh random weights.

        They come from torch's global generator: convolutions Kaiming-normal (fan-out), BatchNorm 1 and 0,
        as torchvision initialises its ResNets; other families as timm does. `options` go to timm, which
        builds a variant of the network then.
        """
        return self._create(layers, pretrained=False, **options)

    def teacher(self, layers: Sequence[str]) -> "LayerFeatures":
        """Return the frozen network in evaluation mode, with the weights that the config names."""
        key = tuple(layers)
        if key not in self._teachers:
            self._teachers[key] = self._load(layers).eval().requires_grad_(False)
        return self._teachers[key]

    def identity(self, layers: Sequence[str]) -> str:
        """Return name and SHA-256 of the weights up to the deepest layer: what the features depend on."""
        return f"{self.name}/{'+'.join(layers)}:{digest(self.teacher(layers).state_dict())}"

    def _indices(self, layers: Sequence[str]) -> tuple[int, ...]:
        for layer in layers:
            if layer not in self.layers:
                raise MethodError(f"{self.name} has no layer '{layer}'; known: {', '.join(self.layers)}")
        return tuple(self.layers.index(layer) for layer in layers)

    def _create(self, layers: Sequence[str], pretrained: bool, **options: Any) -> "LayerFeatures":
        # features come from shallow to deep and each once, in whatever order they are asked for
        indices = sorted(set(self._indices(layers)))
        if not indices:
            raise MethodError(f"{self.name}: no layers are named; known: {', '.join(self.layers)}")
        network = _create(self.name, indices, pretrained=pretrained, **options)
        return LayerFeatures(network, [self.layers[i] for i in indices])

    def _load(self, layers: Sequence[str]) -> "LayerFeatures":
        if self.weights == "imagenet":
            return self._from_hub(layers)
        with private_generator(self.seed):
            teacher = self._create(layers, pretrained=False)
            if self.weights == "random":
                _settle_batchnorm(teacher)
        if self.weights != "random":
            load_file(teacher.network, self.name, Path(self.weights).expanduser())
        return teacher

    def _from_hub(self, layers: Sequence[str]) -> "LayerFeatures":
        try:
            if not in_hub_cache(self.name):
                ask_hub()
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


class EfficientNetStages(nn.Module):
    """A timm EfficientNet up to the deepest of some stages, whose outputs it returns.

    timm's own `features_only` network offers the last stage of each stride only.
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
    """Create the network that returns the features at the layers of these indices, ending at the deepest."""
    if timm.models.is_model_in_modules(name, "efficientnet"):
        return EfficientNetStages(timm.create_model(name, **options), indices)
    if timm.models.is_model_in_modules(name, "resnet"):
        options["zero_init_last"] = False  # as torchvision; timm zeroes the last BatchNorms
    network = timm.create_model(name, features_only=True, out_indices=tuple(indices), **options)
    if "act1" not in [info["module"] for info in network.feature_info.get_dicts()]:
        _pool_first(network)
    return network


def _pool_first(network: nn.Module) -> None:
    """Let a ResNet's stem pool before its ReLU: the same numbers and gradients, for a quarter of the ReLU's work."""
    stem = dict(network.named_children())
    if isinstance(stem.get("act1"), nn.ReLU) and isinstance(stem.get("maxpool"), nn.MaxPool2d):
        network.act1, network.maxpool = stem["maxpool"], stem["act1"]


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
def private_generator(seed: int) -> Iterator[None]:
    """Draw random weights from their own seed, whatever was drawn before or is drawn after.

    The seed is hashed: a student drawn after `torch.manual_seed(seed)` would start as its teacher's copy.
    """
    own = int.from_bytes(hashlib.sha256(f"teacher {seed}".encode()).digest()[:4])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(own)  # the CPU's alone; torch.manual_seed would reseed every GPU
        yield
