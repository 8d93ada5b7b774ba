"""RD++: revisiting reverse distillation (Tien et al., CVPR 2023)."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_embedding_loss, cosine_similarity

from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.method import Stage
from methods.ranges import Range, check_option
from methods.rd import ReverseDistillation
from methods.simplex import SimplexNoise
from methods.sinkhorn import sinkhorn_divergence

WEIGHT, NOISE = Range(at_least=0, at_most=1e6), Range(at_least=0, at_most=100, note="of the range of a pixel")
SMALLEST = 10  # side of a patch of noise, pixels; the largest is an eighth of the image
MARGIN = 0.5  # cosine beyond which a projection is too close to the teacher's features of noise
OCTAVES, PERSISTENCE, PERIOD = 6, 0.6, 32.0


class RDPlusPlus(ReverseDistillation):
    """Reverse distillation whose bottleneck sees projections of the teacher's features that hide anomalies.

    The student restores the teacher's own features, as in RD. Between teacher and bottleneck, a projection of each
    layer learns from images with a patch of simplex noise, of which the teacher's features are computed in every step:

    L = L_RD + w (L_transport + w_r L_reconstruction + w_c L_contrast) / (1 + w_r + w_c), each summed over layers, with
    P the projection, t and t' the teacher's features of an image and of the same with noise,

    - L_reconstruction: 1 - cos of P(t') and P(t) per location, so that noise disappears;
    - L_contrast: max(cos - 1/2, 0) of t' and P(t) as one vector per image, so that projections are no copies;
    - L_transport: Sinkhorn divergence of the batch's P(t), each image one point after a softmax over all its values,
      from the same in another order. Both are one cloud of points, so value and gradient are 0 up to rounding, and
      whether it is computed changes the time alone.

    It costs a pass of the teacher in every step, which RD saves by keeping features. Use it where RD misses defects
    that its bottleneck passes on to the student.

    Parameters
    ----------
    backbone, layers, score_layers, loss, combine, blur_sigma, image_score
        As in RD.
    projection_weight
        w, of the projections' losses.
    reconstruction_weight, contrast_weight
        w_r and w_c.
    transport
        Whether L_transport is computed, as in the released code.
    noise
        Amplitude of the first of the noise's octaves, in the range 0..1 of a pixel.

    Raises
    ------
    MethodError
        As in RD, or if a weight or the noise is out of range.
    """

    def __init__(
        self,
        backbone: FeatureBackbone,
        layers: Sequence[str] | None = None,
        score_layers: Sequence[str] | None = None,
        loss: Literal["flattened", "per_location"] = "flattened",
        combine: Literal["sum", "multiply"] = "sum",
        blur_sigma: float = 4.0,
        image_score: Literal["max", "mean"] = "max",
        projection_weight: float = 0.2,
        reconstruction_weight: float = 0.01,
        contrast_weight: float = 0.1,
        transport: bool = True,
        noise: float = 0.2,
    ) -> None:
        super().__init__(backbone, layers, score_layers, "mff_oce", loss, combine, blur_sigma, image_score)
        for name, weight in (
            ("projection_weight", projection_weight),
            ("reconstruction_weight", reconstruction_weight),
            ("contrast_weight", contrast_weight),
        ):
            check_option(name, weight, WEIGHT)
        check_option("noise", noise, NOISE)
        self.projections = nn.ModuleList(map(projection, backbone.channels(self.layers)))
        self.projection_weight, self.transport, self.noise = projection_weight, transport, noise
        self.reconstruction_weight, self.contrast_weight = reconstruction_weight, contrast_weight
        self.deviation = torch.tensor(backbone.normalisation.std, device="cpu")[:, None, None]
        self.simplex = SimplexNoise(torch.randperm(256, device="cpu"))
        self.fields: dict[tuple[int, int], Tensor] = {}

    def stages(self) -> Iterator[Stage]:
        """Train projections, bottleneck and decoder together; the projections may have a learning rate of their own."""
        yield Stage("student", self, self.loss, {"projections": self.projections})

    def student_features(self, batch: Batch) -> dict[str, Tensor]:
        """Return the features restored from the projected ones: {layer: (B, C_k, h_k, w_k)}."""
        return self.restored(batch, self.projected(batch.features))

    def projected(self, features: dict[str, Tensor]) -> list[Tensor]:
        """Project features of the three layers to (B, C_k, h_k, w_k) each."""
        return [project(features[k]) for project, k in zip(self.projections, self.layers, strict=True)]

    def changed(self, stage: Stage, batch: Batch) -> Tensor:
        """Add a patch of noise to every image, of random size and place; all patches begin the same field of noise."""
        height, width = batch.image.shape[-2:]
        limits = max(height // 8, 2), max(width // 8, 2)
        field = self.field(*limits).to(batch.image)
        image = batch.image.clone(memory_format=torch.preserve_format)
        for each in image:
            rows, columns = (drawn(min(SMALLEST, limit - 1), limit) for limit in limits)
            top, left = drawn(1, height - rows), drawn(1, width - columns)
            each[:, top : top + rows, left : left + columns] += field[:, :rows, :columns]
        return image

    def field(self, rows: int, columns: int) -> Tensor:
        """Return the noise (3, rows, columns) as it is added to normalised images."""
        if (rows, columns) not in self.fields:
            noise = self.simplex.octaves((3, rows, columns), OCTAVES, PERSISTENCE, PERIOD)
            self.fields[rows, columns] = self.noise * noise / self.deviation
        return self.fields[rows, columns]

    def loss(self, batch: Batch) -> Tensor:
        """Return RD's loss plus the projections'."""
        normal, noisy = self.projected(batch.features), self.projected(batch.changed)
        distillation = self.distillation(batch, self.restored(batch, normal))
        return distillation + self.projection_weight * self.projection_loss(batch, normal, noisy)

    def projection_loss(self, batch: Batch, normal: Sequence[Tensor], noisy: Sequence[Tensor]) -> Tensor:
        """Return the weighted mean of transport, reconstruction and contrast, each summed over layers."""
        normal, noisy = [x.float() for x in normal], [x.float() for x in noisy]
        vectors = [x.flatten(1) for x in normal]
        teacher = [batch.changed[k].float().flatten(1) for k in self.layers]
        apart = batch.image.new_full((len(batch),), -1.0)
        total = batch.image.new_zeros(())
        for pair in zip(noisy, normal, strict=True):
            total = total + self.reconstruction_weight * (1 - cosine_similarity(*pair)).mean()
        for pair in zip(teacher, vectors, strict=True):
            total = total + self.contrast_weight * cosine_embedding_loss(*pair, apart, margin=MARGIN)
        if self.transport:
            clouds = [x.softmax(1) for x in vectors]
            total = total + sinkhorn_divergence([(cloud, cloud.roll(1, 0)) for cloud in clouds]).sum()
        return total / (1 + self.reconstruction_weight + self.contrast_weight)


def projection(channels: int) -> nn.Sequential:
    """Return four 3x3 convolutions that narrow the channels to a quarter and widen them again.

    Each is followed by InstanceNorm without weights, which every image decides for itself, and LeakyReLU.
    """
    half, quarter = max(channels // 2, 1), max(channels // 4, 1)
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, half), (half, quarter), (quarter, half), (half, channels)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.InstanceNorm2d(outputs), nn.LeakyReLU()]
    return nn.Sequential(*layers)


def drawn(low: int, high: int) -> int:
    """Draw an integer from low to high - 1 with torch's global generator."""
    return int(torch.randint(low, high, ()))
