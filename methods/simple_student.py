"""Simple student: solution 2 of the thesis (Polidori, 2022, Politecnico di Milano)."""

from collections.abc import Sequence

from timm.models.resnet import BasicBlock
from torch import nn

from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from methods.stfpm import STFPM
from methods.students import StudentKind, narrowed

NETWORKS = ("resnet18", "resnet34")  # the ResNets made of basic blocks


class SimpleStudent(STFPM):
    """STFPM with a student too narrow to learn more of the teacher than normal images need.

    Between the two 3x3 convolutions of every residual block the student has fewer filters; the inputs and
    outputs of a block keep the teacher's size, as its features are compared there. A narrow student should
    transfer less of the teacher's knowledge to anomalies, and differ more from it there.

    Loss: the thesis' eq. 5, summed over layers; map: the product of the layers' distances, resized to the
    image first (its section 5.1). The thesis gives no width. At 0.25 a ResNet-18 student has 735,488
    parameters up to layer3 (decoupled 213,600), STFPM's 2,782,784. Use it as the cheapest of the methods, or
    to see how small a student may be: in the thesis it beats STFPM on some categories (screw, hazelnut) and
    is far worse on others (metal nut).

    Parameters
    ----------
    backbone
        The teacher's network; one of `NETWORKS` unless the student is decoupled.
    layers
        The depths that are compared; None: the deepest layers at strides 4, 8 and 16.
    width
        Filters of the student per filter of the teacher, above 0 and at most 1; at least one filter is kept.
        At 1 the student is STFPM's.
    decoupled
        The thesis' future work: a student of its own, narrower in all of its stages, whatever the teacher's
        network (`methods.students.DecoupledStudent`).
    half, map_size
        As in STFPM, with the thesis' values as defaults.

    Raises
    ------
    MethodError
        If the backbone has other blocks, or the width is out of range.
    """

    def __init__(
        self,
        backbone: FeatureBackbone,
        layers: Sequence[str] | None = None,
        width: float = 0.25,
        decoupled: bool = False,
        half: bool = True,
        map_size: int | None = None,
    ) -> None:
        if not decoupled and backbone.name.split(".")[0] not in NETWORKS:
            raise MethodError(
                f"backbone.name: found {backbone.name}, whose blocks cannot be narrowed; expected "
                f"{' or '.join(NETWORKS)}, or method.decoupled=true"
            )
        kind: StudentKind = "decoupled" if decoupled else "copy"
        super().__init__(backbone, layers, half, map_size, kind, width)
        if not decoupled:
            narrow_blocks(self.student, width)


def narrow_blocks(student: nn.Module, width: float) -> None:
    """Give every residual block fewer filters between its convolutions, with fresh random weights."""
    for block in student.modules():
        if isinstance(block, BasicBlock):
            first, second = block.conv1, block.conv2
            inner = narrowed(first.out_channels, width)
            if inner == first.out_channels:
                continue
            block.conv1 = convolution(first.in_channels, inner, first.stride)
            block.bn1 = nn.BatchNorm2d(inner)
            block.conv2 = convolution(inner, second.out_channels, second.stride)


def convolution(inputs: int, outputs: int, stride: tuple[int, int]) -> nn.Conv2d:
    """Return a 3x3 convolution, initialised as in an untrained backbone."""
    layer = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
