"""The frozen teacher network, and untrained students of the same architecture."""

import difflib
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn
from torch.nn.functional import interpolate

from datasets.batch import Normalisation
from methods.errors import MethodError
from methods.hub import check_hub, in_hub_cache
from methods.networks import Layer, LayerFeatures, create, known_layers, only_side, pad_for
from methods.packaged import package_file, read_package
from methods.ranges import SEED, SIDE, check_option
from methods.weights import check_file, digest, load_file, load_state

PYRAMID = (4, 8, 16)
"""Strides of the depths that most methods compare."""


class FeatureBackbone:
    """A timm network as the source of teacher features and of untrained students.

    Its layers are those of `methods.networks.known_layers`.

    Parameters
    ----------
    name
        Name of the timm model, e.g. `resnet18.tv_in1k`.
    weights
        `imagenet`: timm's pretrained weights from the hub (or its local cache); `package`: ImageNet weights that
        come with an installed Python package (`methods.packaged.PACKAGES`); `random`: an untrained network with
        BatchNorm statistics computed on noise; or the path of a file with a state dict (`methods.weights`).
    seed
        Seed of random weights.
    padding_side
        Convolutions that pad by the size of the image (TensorFlow's) do so as for an image of this side, pixels: the
        package `efficientnet_pytorch` from 0.7 on has 456 for B5. None: by the true size.

    Raises
    ------
    MethodError
        If timm does not know the name, or the weights cannot be loaded or belong to another network, or a number is out
        of range, or no convolution pads by the size of the image.
    """

    def __init__(
        self, name: str, weights: str = "imagenet", seed: int = 0, padding_side: int | None = None
    ) -> None:
        architecture, _, tag = name.partition(".")
        if not timm.is_model(architecture):
            near = ", ".join(difflib.get_close_matches(architecture, timm.list_models(), n=5))
            raise MethodError(
                f"backbone.name: found {name}; expected a timm model, e.g. {near or 'resnet18'}"
            )
        if tag and not timm.is_model_pretrained(name):
            known = ", ".join(timm.list_pretrained(f"{architecture}.*"))
            raise MethodError(f"backbone.name: found {name}; timm knows the weights: {known or 'none'}")
        check_option("seed", seed, SEED, "backbone")
        check_option("padding_side", padding_side, SIDE, "backbone")
        self.name = name
        self.weights = weights
        self.seed = seed
        self.padding_side = padding_side
        self._teachers: dict[tuple[str, ...], LayerFeatures] = {}
        self._digests: dict[tuple[str, ...], str] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose features can be had, from shallow to deep."""
        return tuple(layer.name for layer in known_layers(self.name))

    @property
    def normalisation(self) -> Normalisation:
        """Mean and standard deviation of the images that the network was trained on, as timm states them."""
        config = timm.get_pretrained_cfg(self.name)
        return Normalisation(tuple(config.mean), tuple(config.std))

    @property
    def pyramid(self) -> tuple[str, ...]:
        """The deepest layers at the strides of `PYRAMID`."""
        return self.layers_at(PYRAMID)

    def channels(self, layers: Sequence[str]) -> list[int]:
        """Return the number of channels of the features at the layers."""
        return [layer.channels for layer in self._known(layers)]

    def strides(self, layers: Sequence[str]) -> list[int]:
        """Return the pixels between neighbouring locations of the features at the layers."""
        return [layer.stride for layer in self._known(layers)]

    def layers_at(self, strides: Sequence[int]) -> tuple[str, ...]:
        """Return the deepest layer of each stride.

        Examples
        --------
        >>> FeatureBackbone("resnet18").layers_at([4, 8, 16])
        ('layer1', 'layer2', 'layer3')
        >>> FeatureBackbone("tf_efficientnet_lite0").layers_at([4, 8, 16])
        ('blocks.1', 'blocks.2', 'blocks.4')

        Raises
        ------
        MethodError
            If the network has no layer of a stride.
        """
        deepest = {layer.stride: layer.name for layer in known_layers(self.name)}
        for stride in strides:
            if stride not in deepest:
                known = ", ".join(f"{layer.name} ({layer.stride})" for layer in known_layers(self.name))
                raise MethodError(
                    f"backbone.name: {self.name} has no layer at stride {stride}; its layers and strides: {known}"
                )
        return tuple(deepest[stride] for stride in strides)

    def new_student(self, layers: Sequence[str], **options: Any) -> LayerFeatures:
        """Return the same network, up to the deepest of the layers, with fresh random weights.

        They come from torch's global generator: see `methods.networks.create`. `options` are passed to timm to
        build a variant of the network.
        """
        return self._create(layers, pretrained=False, **options)

    def teacher(self, layers: Sequence[str]) -> LayerFeatures:
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
        """Return what the teacher's features of normalised images depend on: name, padding, layers and digest."""
        padding = "" if self.padding_side is None else f" padded for {self.padding_side}"
        return f"{self.name}{padding}/{'+'.join(layers)}:{self.digest(layers)}"

    def file_digest(self) -> str | None:
        """Return the SHA-256 of the weights file; None for weights that do not come from a file.

        Raises
        ------
        MethodError
            If there is no such file.
        """
        path = self._file()
        if path is None:
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _file(self) -> Path | None:
        if self.weights in ("imagenet", "random"):
            return None
        return package_file(self.name) if self.weights == "package" else check_file(self.weights)

    def _known(self, layers: Sequence[str]) -> list[Layer]:
        known = {layer.name: layer for layer in known_layers(self.name)}
        for layer in layers:
            if layer not in known:
                raise MethodError(f"{self.name}: found no layer '{layer}'; known: {', '.join(known)}")
        return [known[layer] for layer in layers]

    def _create(self, layers: Sequence[str], pretrained: bool, **options: Any) -> LayerFeatures:
        self._known(layers)
        if not layers:
            raise MethodError(f"{self.name}: found no layers; expected some of {', '.join(self.layers)}")
        # each feature comes once, from shallow to deep, whatever the order of the layers
        indices = [i for i, layer in enumerate(self.layers) if layer in layers]
        network = create(self.name, indices, pretrained=pretrained, **options)
        if self.padding_side is not None and not pad_for(network, self.padding_side):
            raise MethodError(
                f"backbone.padding_side: found {self.padding_side}, but no convolution of {self.name} pads by the size "
                "of the image; expected null"
            )
        return network

    def _load(self, layers: Sequence[str]) -> LayerFeatures:
        if self.weights == "imagenet":
            return self._from_hub(layers)
        with isolated_rng(self.seed):
            teacher = self._create(layers, pretrained=False)
            if self.weights == "random":
                calibrate_batchnorm(teacher, only_side(self.name))
        if self.weights == "package":
            load_state(teacher.network, self.name, read_package(self.name), self.weights)
        elif self.weights != "random":
            load_file(teacher.network, self.name, check_file(self.weights))
        return teacher

    def _from_hub(self, layers: Sequence[str]) -> LayerFeatures:
        try:
            if not in_hub_cache(self.name):
                check_hub()
            return self._create(layers, pretrained=True)
        except Exception as error:  # the hub's client raises errors of many libraries
            raise MethodError(
                f"backbone.weights=imagenet: the weights of {self.name} are not available from the hub "
                f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}). "
                "Remedies: (1) connect to the hub once, or copy its cache from another machine and set HF_HOME; "
                "(2) backbone.weights=/path/to/weights.pth or .safetensors; (3) backbone=efficientnet_lite0, whose "
                "weights come with an installed package; (4) backbone.weights=random, an untrained network. "
                "Results of (3) and (4) cannot be compared with published ones"
            ) from None


def calibrate_batchnorm(network: nn.Module, side: int | None = None) -> None:
    """Set BatchNorm's statistics by one pass over noise of all scales, so that random features differ.

    With the initial statistics (mean 0, variance 1) all features of an untrained network point in almost the
    same direction, whatever the image shows. One thread computes them: sums would otherwise depend on the number of
    threads, and a detector could not find its teacher again under another number.

    Parameters
    ----------
    side
        The only image side that the network takes, pixels; None: any.
    """
    momenta = {m: m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)}
    if not momenta:
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _calibrate_batchnorm(network, momenta, side or 128)
    finally:
        torch.set_num_threads(threads)


def _calibrate_batchnorm(network: nn.Module, momenta: dict[nn.BatchNorm2d, float | None], side: int) -> None:
    scales = [torch.randn(16, 3, 2**k, 2**k) for k in range(1, 8)]
    noise = torch.stack([interpolate(scale, (side, side), mode="bilinear") for scale in scales]).sum(0)
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
