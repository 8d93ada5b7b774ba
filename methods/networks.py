"""timm networks that return the features at chosen layers."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import timm
import torch
from timm.layers import Conv2dSame, get_same_padding
from timm.models import EfficientNet
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from methods.errors import MethodError


@dataclass(frozen=True)
class Layer:
    """A layer whose features can be had: channels of its output, and pixels between neighbouring locations."""

    name: str
    channels: int
    stride: int


class LayerFeatures(nn.Module):
    """A timm feature network that returns {layer: (B, C, h, w)}.

    Parameters
    ----------
    network
        (B, 3, H, W) to a list of features, from shallow to deep.
    layers
        Their names.
    side
        The only image side that the network takes, pixels; None: any.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], side: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.layers = tuple(layers)
        self.side = side
        self.channels_first = getattr(network, "output_fmt", "NCHW") != "NHWC"

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) to the features at the layers.

        Raises
        ------
        MethodError
            If the network does not take images of this size.
        """
        height, width = image.shape[-2:]
        if self.side is not None and (height, width) != (self.side, self.side):
            raise MethodError(
                f"method.training.image_size: found {height} x {width}; expected {self.side}, the only size that "
                "this backbone takes"
            )
        try:
            features = self.network(image)
        except AssertionError as error:  # e.g. sides that are no multiple of a transformer's patches
            raise MethodError(f"method.training.image_size: found {height} x {width}; {error}") from None
        if not self.channels_first:
            features = [feature.permute(0, 3, 1, 2) for feature in features]
        return dict(zip(self.layers, features, strict=True))


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


def create(name: str, indices: Sequence[int], **options: Any) -> LayerFeatures:
    """Return the network that outputs the features at the layers of these indices and ends at the deepest.

    Its weights come from torch's global generator: convolutions of ResNets Kaiming-normal (fan-out), BatchNorm
    1 and 0, as torchvision initialises them; other families as timm does.

    Parameters
    ----------
    name
        Name of a timm model.
    indices
        Positions in `known_layers`, each once, in ascending order.
    options
        Passed to timm: `pretrained`, or those of a variant of the network.
    """
    layers = [known_layers(name)[i].name for i in indices]
    if timm.models.is_model_in_modules(name, "efficientnet"):
        return LayerFeatures(EfficientNetStages(timm.create_model(name, **options), indices), layers)
    if timm.models.is_model_in_modules(name, "resnet"):
        options["zero_init_last"] = False  # as torchvision; timm zeroes the last BatchNorms
    resizable = timm.models.is_model_in_modules(name, "vision_transformer")
    if resizable:
        options["dynamic_img_size"] = True
    network = timm.create_model(name, features_only=True, out_indices=tuple(indices), **options)
    return LayerFeatures(network, layers, None if resizable else only_side(name))


class PaddedConv2d(nn.Conv2d):
    """A convolution with a padding for each side of the image, whatever the image's size.

    Parameters
    ----------
    convolution
        Gives weights and stride.
    sides
        Pixels on the left, right, top and bottom.
    """

    def __init__(self, convolution: nn.Conv2d, sides: tuple[int, int, int, int]) -> None:
        with torch.device("meta"):  # its own weights are never used
            super().__init__(
                convolution.in_channels,
                convolution.out_channels,
                convolution.kernel_size,  # type: ignore[arg-type]
                convolution.stride,  # type: ignore[arg-type]
                groups=convolution.groups,
                bias=convolution.bias is not None,
            )
        self.weight, self.bias, self.sides = convolution.weight, convolution.bias, sides

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the padded map's convolution."""
        return conv2d(pad(x, self.sides), self.weight, self.bias, self.stride, groups=self.groups)


def pad_for(network: nn.Module, side: int) -> bool:
    """Let TensorFlow's convolutions pad any image as they pad one of `side` pixels; return whether there are some.

    Those with a stride pad by the size of their input: an odd one on both sides alike, an even one by a pixel
    less on the left and top.
    """
    sizes: dict[str, int] = {}
    traced = copy.deepcopy(network).to("meta").eval()
    for name, module in traced.named_modules():
        if isinstance(module, Conv2dSame):
            module.register_forward_pre_hook(
                lambda _, inputs, name=name: sizes.update({name: inputs[0].shape[-1]})
            )
    traced(torch.empty(1, 3, side, side, device="meta"))
    for name, size in sizes.items():
        parent, _, child = name.rpartition(".")
        convolution = network.get_submodule(name)
        assert isinstance(convolution, Conv2dSame)
        kernel, stride = convolution.kernel_size[0], convolution.stride[0]
        total = get_same_padding(size, kernel, stride, dilation=1)
        before, after = total // 2, total - total // 2
        setattr(
            network.get_submodule(parent), child, PaddedConv2d(convolution, (before, after, before, after))
        )
    return bool(sizes)


def only_side(name: str) -> int | None:
    """Return the side of the images of a network that takes one size only, pixels; None: it takes any."""
    config = timm.get_pretrained_cfg(name)
    return config.input_size[-1] if config.fixed_input_size else None


@cache
def known_layers(name: str) -> tuple[Layer, ...]:
    """Return the layers of a timm model, from shallow to deep.

    They are those of timm's `features_only` networks; for an EfficientNet, all its stages.

    Raises
    ------
    MethodError
        If timm offers no features of this model, or several by one name.
    """
    side = 64
    with torch.device("meta"):
        if timm.models.is_model_in_modules(name, "efficientnet"):
            network = timm.create_model(name, pretrained=False)
            outputs = EfficientNetStages(network, range(len(network.blocks)))(torch.empty(1, 3, side, side))
            return tuple(
                Layer(f"blocks.{i}", output.shape[1], side // output.shape[2])
                for i, output in enumerate(outputs)
            )
        try:
            network = timm.create_model(name, pretrained=False, features_only=True)
        except (RuntimeError, AttributeError, AssertionError, NotImplementedError) as error:
            raise MethodError(f"backbone.name: timm offers no features of {name} ({error})") from None
    layers = tuple(
        Layer(info["module"], info["num_chs"], info["reduction"]) for info in network.feature_info.info
    )
    names = [layer.name for layer in layers]
    if "" in names or len(set(names)) < len(names):  # e.g. of networks with several branches
        raise MethodError(
            f"backbone.name: timm gives the features of {name} no distinct layer names: {', '.join(map(repr, names))}"
        )
    return layers
