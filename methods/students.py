"""Students of feature matching: a copy of the teacher's network, or one with an architecture of its own."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from methods.backbone import FeatureBackbone
from methods.ranges import Range, check_option

StudentKind = Literal["copy", "decoupled"]
RESNET = "resnet18"
PLANES = (64, 128, 256, 512)  # channels of its stages


class DecoupledStudent(nn.Module):
    """ResNet-18 with narrower stages, and 1x1 convolutions that project its features to the teacher's channels.

    The thesis' future work (Polidori, 2022): the student's size is independent of the teacher's, and so
    is its architecture. The stem keeps its 64 channels.

    Parameters
    ----------
    backbone
        The teacher's network.
    layers
        The layers that are compared, at the strides of ResNet-18's.
    width
        Channels of the stages per channel of ResNet-18; at least one is kept.

    Raises
    ------
    MethodError
        If ResNet-18 has no layer at the stride of one of the teacher's.
    """

    def __init__(self, backbone: FeatureBackbone, layers: Sequence[str], width: float) -> None:
        super().__init__()
        self.layers = tuple(layers)
        resnet = FeatureBackbone(RESNET)
        self.sources = resnet.layers_at(backbone.strides(layers))
        self.features = resnet.new_student(self.sources, channels=[narrowed(c, width) for c in PLANES])
        network: Any = self.features.network
        inputs = dict(zip(self.features.layers, network.feature_info.channels(), strict=True))
        self.projections = nn.ModuleList(
            nn.Conv2d(inputs[source], channels, 1)
            for source, channels in zip(self.sources, backbone.channels(layers), strict=True)
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) to features of the teacher's shapes."""
        features = self.features(image)
        projected = zip(self.projections, self.sources, strict=True)
        outputs = [projection(features[source]) for projection, source in projected]
        return dict(zip(self.layers, outputs, strict=True))


def build_student(
    backbone: FeatureBackbone, layers: Sequence[str], kind: StudentKind, width: float
) -> nn.Module:
    """Return a student with fresh random weights: a copy of the teacher's network, or a decoupled one.

    Raises
    ------
    MethodError
        If the width is not above 0 and at most 1, or a decoupled student cannot have the layers' strides.
    """
    check_option("width", width, Range(above=0, at_most=1))
    return backbone.new_student(layers) if kind == "copy" else DecoupledStudent(backbone, layers, width)


def narrowed(channels: int, width: float) -> int:
    """Return the number of channels times the width, at least 1."""
    return max(1, round(width * channels))
