"""Reverse distillation from one-class embedding (Deng and Li, CVPR 2022, arXiv:2201.10703)."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from methods.maps import cosine_distance, flattened_distance, gaussian_blur, multiply, resize_map
from methods.method import Method, Stage

# block type, width of its 3x3 convolution per 64 channels, blocks of OCE, of the decoder from deep to shallow
NETWORKS: dict[str, tuple[type[BasicBlock | Bottleneck], int, int, tuple[int, int, int]]] = {
    "resnet18": (BasicBlock, 64, 2, (2, 2, 2)),
    "resnet34": (BasicBlock, 64, 3, (3, 4, 6)),
    "resnet50": (Bottleneck, 64, 3, (3, 4, 6)),
    "wide_resnet50_2": (Bottleneck, 128, 3, (3, 4, 6)),
}
PLANES = (64, 128, 256)  # of the ResNet stages 1 to 3


class ReverseDistillation(Method):
    """The student is a decoder that restores the teacher's features from a compact embedding of them.

    The bottleneck (OCBE) fuses the three depths (MFF) and embeds them at stride 32 (OCE); trained on normal
    images only, it has no capacity for anomalies. As data flow and network differ from the teacher's, the
    student does not generalise to them as a copy of the teacher would.

    Parameters
    ----------
    backbone
        A ResNet listed in `NETWORKS`.
    layers
        The three ResNet stages that are fused and restored.
    score_layers
        Those of them whose maps are combined.
    ocbe
        `mff_oce`; `oce`: the embedding sees layer3 only; `pre`: the teacher's layer4 features, no OCBE.
    loss
        `flattened` (released code): 1 - cos of each layer as one vector per image. `per_location` (paper,
        eq. 1-2): 1 - cos along the channels, averaged over locations.
    combine
        `sum` or `multiply` the maps of the layers.
    blur_sigma
        Sigma of the Gaussian blur of the map at image size, in pixels; 0: no blur.

    Raises
    ------
    MethodError
        If the backbone is none of `NETWORKS`, or the layers are not its stages 1 to 3.
    """

    def __init__(
        self,
        backbone: FeatureBackbone,
        layers: Sequence[str],
        score_layers: Sequence[str],
        ocbe: Literal["mff_oce", "oce", "pre"] = "mff_oce",
        loss: Literal["flattened", "per_location"] = "flattened",
        combine: Literal["sum", "multiply"] = "sum",
        blur_sigma: float = 4.0,
    ) -> None:
        network = backbone.name.split(".")[0]
        if network not in NETWORKS:
            known = ", ".join(NETWORKS)
            raise MethodError(f"backbone.name: found {backbone.name}; expected one of {known} for method=rd")
        if tuple(layers) != ("layer1", "layer2", "layer3"):
            raise MethodError(f"method.layers: found {list(layers)}; expected [layer1, layer2, layer3]")
        if not score_layers or not set(score_layers) <= set(layers):
            raise MethodError(
                f"method.score_layers: found {list(score_layers)}; expected some of {list(layers)}"
            )
        super().__init__((*layers, "layer4") if ocbe == "pre" else layers)
        block, width, depth, blocks = NETWORKS[network]
        self.decoder = Decoder(block, width, blocks)
        fuse = ocbe == "mff_oce"
        self.bottleneck = None if ocbe == "pre" else OneClassBottleneck(block, width, depth, fuse)
        self.apply(initialise)
        self.layers, self.score_layers = tuple(layers), tuple(score_layers)
        self.loss_form, self.combine, self.blur_sigma = loss, combine, blur_sigma

    def stages(self) -> Iterator[Stage]:
        """Train decoder and bottleneck together."""
        yield Stage("student", self, self.loss)

    def student_features(self, batch: Batch) -> dict[str, Tensor]:
        """Return the restored features: {layer: (B, C_k, h_k, w_k)}."""
        if self.bottleneck is None:
            embedding = batch.features["layer4"]
        else:
            embedding = self.bottleneck([batch.features[k] for k in self.layers])
        students = dict(zip(self.layers, self.decoder(embedding), strict=True))
        if any(student.shape != batch.features[k].shape for k, student in students.items()):
            height, width = batch.image.shape[-2:]
            raise MethodError(
                f"method.training.image_size: found {height} x {width}; expected multiples of 32 for method=rd"
            )
        return students

    def loss(self, batch: Batch) -> Tensor:
        """Sum over layers of 1 - cos, averaged over images (and locations)."""
        distance = flattened_distance if self.loss_form == "flattened" else cosine_distance
        total = batch.image.new_zeros(())
        for k, student in self.student_features(batch).items():
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


class OneClassBottleneck(nn.Module):
    """OCBE: the features of three depths, fused at stride 16 (MFF) and embedded at stride 32 (OCE)."""

    def __init__(self, block: type[BasicBlock | Bottleneck], width: int, depth: int, fuse: bool) -> None:
        super().__init__()
        c1, c2, c3 = (planes * block.expansion for planes in PLANES)
        self.fuse = fuse
        if fuse:
            self.from_layer1 = nn.Sequential(*strided_convolution(c1, c2), *strided_convolution(c2, c3))
            self.from_layer2 = strided_convolution(c2, c3)
        self.embed = residual_stage(block, width, c3 * (3 if fuse else 1), 2 * PLANES[2], depth)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map the features of layer 1, 2, 3 to (B, 512 * expansion, H/32, W/32)."""
        f1, f2, f3 = features
        return self.embed(torch.cat([self.from_layer1(f1), self.from_layer2(f2), f3], 1) if self.fuse else f3)


class Decoder(nn.Module):
    """Mirror of the teacher: three stages of residual blocks, each opening with a transposed convolution."""

    def __init__(self, block: type[BasicBlock | Bottleneck], width: int, blocks: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            residual_stage(block, width, 2 * planes * block.expansion, planes, depth, upsample=True)
            for planes, depth in zip(reversed(PLANES), blocks, strict=True)
        )

    def forward(self, embedding: Tensor) -> list[Tensor]:
        """Map (B, 512 * expansion, h, w) to features of the shapes of layer 1, 2, 3."""
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
    block: type[BasicBlock | Bottleneck],
    width: int,
    inputs: int,
    planes: int,
    depth: int,
    upsample: bool = False,
) -> nn.Sequential:
    """Return `depth` residual blocks; the first halves, or doubles, height and width on both paths."""
    outputs = planes * block.expansion
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
