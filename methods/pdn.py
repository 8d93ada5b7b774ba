"""The networks of EfficientAD: patch description networks, and the autoencoder that learns whole images."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

from torch import Tensor, nn
from torch.nn.functional import interpolate

RECEPTIVE_FIELD = 33  # pixels
STRIDE = 4  # pixels
BOTTLENECK = 8  # side of the encoder's last features of such an image

Size = Literal["small", "medium"]


@dataclass(frozen=True)
class Layer:
    """A convolution, with its padding while a teacher is distilled; a ReLU, and a pool 2x2, may follow."""

    kernel: int
    channels: int | None  # None: those of a descriptor
    padding: int = 0
    pool: bool = False


NETWORKS: dict[Size, tuple[Layer, ...]] = {
    "small": (Layer(4, 128, 3, True), Layer(4, 256, 3, True), Layer(3, 256, 1), Layer(4, None)),
    "medium": (
        *(Layer(4, 256, 3, True), Layer(4, 512, 3, True), Layer(1, 512), Layer(3, 512, 1)),
        *(Layer(4, None), Layer(1, None)),
    ),
}


class PatchDescriptionNetwork(nn.Module):
    """PDN: describes the patch of 33 x 33 pixels around every fourth pixel.

    Parameters
    ----------
    size
        `small` has four convolutions, `medium` six.
    channels
        Number of channels of a descriptor.
    width
        Channels inside the network, per published one.
    copies
        How many descriptors follow one another in the output: 2 for a student that also learns the autoencoder.
    """

    def __init__(self, size: Size, channels: int, width: float = 1.0, copies: int = 1) -> None:
        super().__init__()
        self.layers = NETWORKS[size]
        last = channels * copies
        widths = [scaled(layer.channels, width) if layer.channels else last for layer in self.layers]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, layer.kernel)
            for inputs, outputs, layer in zip([3, *widths], widths, self.layers, strict=False)
        )

    def forward(self, image: Tensor, padded: bool = False) -> Tensor:
        """Map images (B, 3, H, W) to descriptors (B, C, h, w).

        Without padding, h = (H - 33) // 4 + 1 where H is a multiple of 4: every descriptor has seen a whole patch of
        the image. `padded`, as a teacher is distilled, h = H / 4; a descriptor at the border then also describes
        zeros, which never occur inside an image, and maps of such descriptors show the border.
        """
        features = image
        convolutions = cast("list[nn.Conv2d]", self.convolutions)
        for number, (convolution, layer) in enumerate(zip(convolutions, self.layers, strict=True), 1):
            padding = layer.padding if padded else 0
            features = nn.functional.conv2d(features, convolution.weight, convolution.bias, padding=padding)
            if number < len(self.layers):
                features = nn.functional.relu(features, inplace=True)
            if layer.pool:
                features = nn.functional.avg_pool2d(features, 2, padding=1 if padded else 0)
        return features


class Autoencoder(nn.Module):
    """Restores a teacher's descriptors of an image from a single vector, so only what normal images share.

    As published for images of 256 pixels a side. For others, an extension: the encoder's last features are resized to
    8 x 8, and the sides inside the decoder are in proportion to the image's.

    Parameters
    ----------
    channels
        Number of channels of a descriptor.
    width
        Channels inside the network, per published one.
    dropout
        Share of the values that each of the decoder's first six layers drops in training.
    """

    def __init__(self, channels: int, width: float = 1.0, dropout: float = 0.2) -> None:
        super().__init__()
        narrow, wide = scaled(32, width), scaled(64, width)
        sides = (3, narrow, narrow, wide, wide, wide)
        self.encoder = nn.Sequential()
        for inputs, outputs in pairwise(sides):
            self.encoder += nn.Sequential(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.ReLU(True))
        self.bottleneck = nn.Conv2d(wide, wide, BOTTLENECK)
        self.decoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(wide, wide, 4, padding=2), nn.ReLU(True), nn.Dropout(dropout))
            for _ in SIDES
        )
        self.head = nn.Sequential(
            nn.Conv2d(wide, wide, 3, padding=1), nn.ReLU(True), nn.Conv2d(wide, channels, 3, padding=1)
        )

    def forward(self, image: Tensor, size: Sequence[int]) -> Tensor:
        """Map images (B, 3, H, W), at least 32 pixels a side, to descriptors (B, C, *size)."""
        features = self.bottleneck(resized(self.encoder(image), (BOTTLENECK, BOTTLENECK)))
        height, width = image.shape[-2:]
        for layer, (part, less) in zip(self.decoder, SIDES, strict=True):
            features = layer(resized(features, [max(side // part - less, 1) for side in (height, width)]))
        return self.head(resized(features, size))


SIDES = ((64, 1), (32, 0), (16, 1), (8, 0), (4, 1), (2, 1))
"""Sides inside the decoder: the image's divided by the first number, less the second; 3 to 127 for 256 pixels."""


def resized(features: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (B, C, h, w) to (B, C, *size) by bilinear interpolation."""
    return interpolate(features, tuple(size), mode="bilinear")


def scaled(channels: int, width: float) -> int:
    """Return a number of channels times a width, at least 1."""
    return max(round(channels * width), 1)
