"""Reverse distillation from one-class embedding (Deng and Li, CVPR 2022, arXiv:2201.10703)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from datasets.batch import Batch
from methods.backbone import PYRAMID, FeatureBackbone
from methods.errors import MethodError
from methods.maps import cosine_distance, flattened_distance, gaussian_blur, multiply, resize_map
from methods.method import Method, Stage
from methods.ranges import Range, check_option

MIN_CHANNELS = 64  # of the decoder's stages for other networks than the published ones

Block = type[BasicBlock | Bottleneck]


@dataclass(frozen=True)
class Architecture:
    """What decoder and bottleneck are made of; tuples run from stride 4 to 16.

    Attributes
    ----------
    block
        Type of the residual blocks.
    width
        Channels of a block's 3x3 convolution, per 64 channels of the block.
    channels
        Channels of the teacher's features.
    stages
        Channels of the decoder's stages.
    blocks
        Number of blocks in each of them.
    embedding, depth
        Channels and number of blocks of OCE.
    projects
        Whether each stage of the decoder ends with a 1x1 convolution to the teacher's channels; otherwise it has
        them already.
    """

    block: Block
    width: int
    channels: tuple[int, ...]
    stages: tuple[int, ...]
    blocks: tuple[int, ...]
    embedding: int
    depth: int
    projects: bool


def published(block: Block, width: int, blocks: tuple[int, int, int], depth: int) -> Architecture:
    """Return the mirror of a ResNet; the released code repeats 3, 4, 6 blocks from deep to shallow."""
    channels = tuple(planes * block.expansion for planes in (64, 128, 256))
    return Architecture(block, width, channels, channels, blocks, 2 * channels[-1], depth, projects=False)


NETWORKS = {
    "resnet18": published(BasicBlock, 64, (2, 2, 2), 2),
    "resnet34": published(BasicBlock, 64, (6, 4, 3), 3),
    "resnet50": published(Bottleneck, 64, (6, 4, 3), 3),
    "wide_resnet50_2": published(Bottleneck, 128, (6, 4, 3), 3),
}


def architecture_for(backbone: FeatureBackbone, layers: Sequence[str]) -> Architecture:
    """Return the published networks for the ResNets that have some, and an extension for every other backbone.

    The extension has basic blocks and at least `MIN_CHANNELS` channels per stage: a narrow teacher's own would be
    too few to restore its features from.
    """
    name = backbone.name.split(".")[0]
    if name in NETWORKS:
        return NETWORKS[name]
    channels = tuple(backbone.channels(layers))
    stages = tuple(max(count, MIN_CHANNELS) for count in channels)
    return Architecture(BasicBlock, 64, channels, stages, (2, 2, 2), 2 * channels[-1], 2, projects=True)


class ReverseDistillation(Method):
    """The student is a decoder that restores the teacher's features from a compact embedding of them.

    The bottleneck (OCBE) fuses the three depths (MFF) and embeds them at stride 32 (OCE); trained on normal
    images only, it has no capacity for anomalies. As data flow and network differ from the teacher's, the
    student does not generalise to them as a copy of the teacher would.

    Parameters
    ----------
    backbone
        For the ResNets listed in `NETWORKS` decoder and bottleneck are the published ones; others get an
        extension (`architecture_for`).
    layers
        The three layers at strides 4, 8 and 16 that are fused and restored; None: the deepest at each.
    score_layers
        Those of them whose maps are combined; None: all.
    ocbe
        `mff_oce`; `oce`: the embedding sees the deepest layer only; `pre`: the teacher's features at stride 32, no
        OCBE.
    loss
        `flattened` (released code): 1 - cos of each layer as one vector per image. `per_location` (paper,
        eq. 1-2): 1 - cos along the channels, averaged over locations.
    combine
        `sum` or `multiply` the maps of the layers.
    blur_sigma
        Sigma of the Gaussian blur of the map at image size, in pixels; 0: no blur.
    image_score
        `max` or `mean` of the map; `mean` for one-class novelty detection, where a whole image is anomalous.

    Raises
    ------
    MethodError
        If the layers are not at strides 4, 8 and 16, or the backbone has none there, or the blur is out of range.
    """

    def __init__(
        self,
        backbone: FeatureBackbone,
        layers: Sequence[str] | None = None,
        score_layers: Sequence[str] | None = None,
        ocbe: Literal["mff_oce", "oce", "pre"] = "mff_oce",
        loss: Literal["flattened", "per_location"] = "flattened",
        combine: Literal["sum", "multiply"] = "sum",
        blur_sigma: float = 4.0,
        image_score: Literal["max", "mean"] = "max",
    ) -> None:
        layers = backbone.pyramid if layers is None else layers
        score_layers = layers if score_layers is None else score_layers
        strides = backbone.strides(layers)
        if tuple(strides) != PYRAMID:
            raise MethodError(
                f"method.layers: found {list(layers)} at strides {strides}; expected three layers at strides 4, 8, 16,"
                f" such as {list(backbone.pyramid)}"
            )
        if (
            not score_layers
            or not set(score_layers) <= set(layers)
            or len(set(score_layers)) < len(score_layers)
        ):
            raise MethodError(
                f"method.score_layers: found {list(score_layers)}; expected some of {list(layers)}, each once"
            )
        check_option("blur_sigma", blur_sigma, Range(at_least=0, at_most=256, note="pixels"))
        design = architecture_for(backbone, layers)
        deepest = backbone.layers_at([32]) if ocbe == "pre" else ()
        super().__init__((*layers, *deepest))
        self.decoder = Decoder(design, backbone.channels(deepest)[0] if deepest else design.embedding)
        self.bottleneck = None if ocbe == "pre" else OneClassBottleneck(design, ocbe == "mff_oce")
        self.apply(initialise)
        self.layers, self.score_layers = tuple(layers), tuple(score_layers)
        self.loss_form, self.combine, self.blur_sigma = loss, combine, blur_sigma
        self.aggregate = image_score

    def stages(self) -> Iterator[Stage]:
        """Train decoder and bottleneck together."""
        yield Stage("student", self, self.loss)

    def student_features(self, batch: Batch) -> dict[str, Tensor]:
        """Return the restored features: {layer: (B, C_k, h_k, w_k)}."""
        return self.restored(batch, [batch.features[k] for k in self.layers])

    def restored(self, batch: Batch, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the features restored from those of the three layers, or from the deepest without a bottleneck."""
        deepest = batch.features[self.teacher_layers[-1]]
        embedding = deepest if self.bottleneck is None else self.bottleneck(inputs)
        students = dict(zip(self.layers, self.decoder(embedding), strict=True))
        if any(student.shape != batch.features[k].shape for k, student in students.items()):
            height, width = batch.image.shape[-2:]
            raise MethodError(
                f"method.training.image_size: found {height} x {width}; expected multiples of 32 for its decoder"
            )
        return students

    def loss(self, batch: Batch) -> Tensor:
        """Sum over layers of 1 - cos, averaged over images (and locations)."""
        return self.distillation(batch, self.student_features(batch))

    def distillation(self, batch: Batch, students: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of restored features."""
        distance = flattened_distance if self.loss_form == "flattened" else cosine_distance
        total = batch.image.new_zeros(())
        for k, student in students.items():
            total = total + distance(batch.features[k], student).mean()
        return total

    def anomaly_map(self, batch: Batch) -> Tensor:
        """1 - cos per location at the score layers, at image size, combined and blurred: (B, H, W)."""
        size = (batch.image.shape[-2], batch.image.shape[-1])
        students = self.student_features(batch)
        maps = [
            resize_map(cosine_distance(batch.features[k], students[k]), size, align_corners=True)
            for k in self.score_layers
        ]
        combined = multiply(maps) if self.combine == "multiply" else torch.stack(maps).sum(0)
        return gaussian_blur(combined, self.blur_sigma) if self.blur_sigma > 0 else combined

    def image_score(self, anomaly_map: Tensor, batch: Batch) -> Tensor:
        """Maximum or mean of the map: (B,)."""
        return anomaly_map.amax((1, 2)) if self.aggregate == "max" else anomaly_map.mean((1, 2))


class OneClassBottleneck(nn.Module):
    """OCBE: the features of three depths, fused at stride 16 (MFF) and embedded at stride 32 (OCE)."""

    def __init__(self, design: Architecture, fuse: bool) -> None:
        super().__init__()
        c1, c2, c3 = design.channels
        self.fuse = fuse
        if fuse:
            self.from_layer1 = nn.Sequential(*strided_convolution(c1, c2), *strided_convolution(c2, c3))
            self.from_layer2 = strided_convolution(c2, c3)
        inputs = c3 * (3 if fuse else 1)
        self.embed = residual_stage(design.block, design.width, inputs, design.embedding, design.depth)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map the features of the three layers to (B, embedding, H/32, W/32)."""
        f1, f2, f3 = features
        return self.embed(torch.cat([self.from_layer1(f1), self.from_layer2(f2), f3], 1) if self.fuse else f3)


class Decoder(nn.Module):
    """Mirror of the teacher: three stages of residual blocks, each opening with a transposed convolution.

    What a stage restores is the input of the next.
    """

    def __init__(self, design: Architecture, inputs: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        deep_first = zip(
            reversed(design.stages), reversed(design.channels), reversed(design.blocks), strict=True
        )
        for outputs, channels, depth in deep_first:
            stage = residual_stage(design.block, design.width, inputs, outputs, depth, upsample=True)
            if design.projects:
                stage.append(nn.Conv2d(outputs, channels, 1))
            self.stages.append(stage)
            inputs = channels

    def forward(self, embedding: Tensor) -> list[Tensor]:
        """Map (B, inputs, h, w) to features of the shapes of the three layers."""
        features = []
        for stage in self.stages:
            embedding = stage(embedding)
            features.append(embedding)
        return features[::-1]


def strided_convolution(inputs: int, outputs: int) -> nn.Sequential:
    """Return a 3x3 convolution with stride 2, BatchNorm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)
    )


def residual_stage(
    block: Block, width: int, inputs: int, outputs: int, depth: int, upsample: bool = False
) -> nn.Sequential:
    """Return `depth` residual blocks; the first halves, or doubles, height and width on both paths."""
    planes = outputs // block.expansion
    resample = nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False) if upsample else None
    skip = nn.Sequential(resample or nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))
    first = block(inputs, planes, 1 if upsample else 2, skip, base_width=width)
    if upsample:
        # torchvision's blocks resample in conv1 (BasicBlock) or conv2 (Bottleneck)
        name = "conv1" if block is BasicBlock else "conv2"
        old = getattr(first, name)
        setattr(first, name, nn.ConvTranspose2d(old.in_channels, old.out_channels, 2, 2, bias=False))
    return nn.Sequential(first, *(block(outputs, planes, base_width=width) for _ in range(depth - 1)))


def initialise(module: nn.Module) -> None:
    """Initialise convolutions as the released code: Kaiming-normal (fan-out); transposed ones as torch does."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
