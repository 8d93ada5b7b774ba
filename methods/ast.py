"""Asymmetric student-teacher networks (Rudolph et al., WACV 2023, arXiv:2210.07829)."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from methods.flow import ConditionalFlow
from methods.method import Method, Stage

LIMIT = 1e4
"""Largest mean NLL, nats per channel: log-determinants are bounded, so only a z out of control gets there."""


class AsymmetricStudentTeacher(Method):
    """The teacher is a normalizing flow, the student an ordinary convolutional network.

    The flow maps the features of normal images to a standard normal distribution (eq. 1-3); as a bijection
    it answers to every change of them. The student learns its outputs on normal images (eq. 4), and being a
    network of another kind it does not follow the flow where both have seen nothing: there their distance is
    large, while a likelihood that the flow gets wrong on normal images costs nothing.

    It costs much: features of 768 x 768 images, and two networks of together 133 million parameters with the
    published settings. Maps are coarse (stride 32). To be chosen for decisions on whole images, and where
    depth comes with colour.

    Parameters
    ----------
    backbone
        The network whose features both see.
    layers
        Exactly one layer of it.
    position_channels
        Of the sinusoidal encoding of each location, which is the flow's condition and a further input of the
        student; a multiple of 4, 0: none.
    coupling_blocks, flow_hidden, clamp
        Of the teacher: blocks, channels inside their subnetworks, bound (alpha) of their log scales.
    student
        `asymmetric`: convolutions. What the paper compares with (table 5): `symmetric`, a flow like the
        teacher; `deeper_flow`, one of twice as many blocks.
    student_hidden, student_blocks, leaky_slope
        Of the convolutional student: channels, residual blocks, slope of its LeakyReLUs.
    score
        `distance` of student and teacher; `nll`: the teacher's negative log-likelihood alone (eq. 3), and no
        student is trained.
    image_score
        `max` or `mean` of the map over the foreground; `auto`, the paper's rule: max where a foreground is
        known, mean otherwise.

    Raises
    ------
    MethodError
        If there is not exactly one layer, or a number is out of range.
    """

    channels_last = False  # slower on maps this small

    def __init__(
        self,
        backbone: FeatureBackbone,
        layers: Sequence[str],
        position_channels: int = 32,
        coupling_blocks: int = 4,
        flow_hidden: int = 1024,
        clamp: float = 3.0,
        student: Literal["asymmetric", "symmetric", "deeper_flow"] = "asymmetric",
        student_hidden: int = 1024,
        student_blocks: int = 4,
        leaky_slope: float = 0.2,
        score: Literal["distance", "nll"] = "distance",
        image_score: Literal["auto", "mean", "max"] = "auto",
    ) -> None:
        if len(layers) != 1:
            raise MethodError(f"method.layers={list(layers)}: ast uses exactly one layer")
        if position_channels < 0 or position_channels % 4:
            raise MethodError(
                f"method.position_channels={position_channels}: accepted: multiples of 4, and 0"
            )
        if coupling_blocks < 1:
            raise MethodError(f"method.coupling_blocks={coupling_blocks}: accepted: 1 or more")
        if clamp <= 0:
            raise MethodError(f"method.clamp={clamp}: accepted: more than 0")
        super().__init__(needs=layers)
        (channels,) = backbone.channels(layers)
        self.position_channels, self.score, self.aggregate = position_channels, score, image_score
        self.limit = LIMIT * channels

        def flow(blocks: int) -> ConditionalFlow:
            return ConditionalFlow(channels, position_channels, blocks, flow_hidden, clamp)

        self.flow = flow(coupling_blocks)
        inputs = channels + position_channels
        if score == "distance":
            self.student: nn.Module = (
                convolutional(inputs, student_hidden, channels, student_blocks, leaky_slope)
                if student == "asymmetric"
                else flow(2 * coupling_blocks if student == "deeper_flow" else coupling_blocks)
            )

    def stages(self) -> Iterator[Stage]:
        """First the flow, by maximum likelihood, then the student, on the flow's outputs."""
        yield Stage("flow", self.flow, lambda batch: self.nll(batch).mean(), limit=self.limit)
        if self.score == "distance":
            yield Stage("student", self.student, lambda batch: self.distance(batch).mean())

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the features (B, C, h, w) and the encoding of their locations (B, P, h, w)."""
        features = batch.features[self.needs[0]].float()
        count, _, height, width = features.shape
        encoding = positional_encoding(self.position_channels, height, width, features.device)
        return features, encoding.expand(count, -1, -1, -1)

    def nll(self, batch: Batch) -> Tensor:
        """Negative log-likelihood of each location (eq. 3), without its constant C/2 log(2 pi): (B, h, w)."""
        z, log_det = self.flow(*self.inputs(batch))
        return 0.5 * z.square().sum(1) - log_det

    def distance(self, batch: Batch) -> Tensor:
        """Squared distance of student and teacher (eq. 4), averaged over the channels: (B, h, w)."""
        features, encoding = self.inputs(batch)
        with torch.no_grad():
            teacher, _ = self.flow(features, encoding)
        if isinstance(self.student, ConditionalFlow):
            student, _ = self.student(features, encoding)
        else:
            student = self.student(torch.cat([features, encoding], 1))
        return (student.float() - teacher).square().mean(1)

    def anomaly_map(self, batch: Batch) -> Tensor:
        """Distance, or NLL, brought to image size by bicubic interpolation: (B, H, W)."""
        values = self.distance(batch) if self.score == "distance" else self.nll(batch)
        return interpolate(values[:, None], batch.image.shape[-2:], mode="bicubic")[:, 0]

    def image_score(self, anomaly_map: Tensor, batch: Batch) -> Tensor:
        """Maximum or mean of the map over the foreground, of the whole map where none is known: (B,)."""
        inside = foreground(batch, anomaly_map)
        rule = self.aggregate
        if rule == "auto":
            rule = "mean" if batch.foreground is None else "max"
        if rule == "max":
            return anomaly_map.masked_fill(~inside, -math.inf).amax((1, 2))
        return (anomaly_map * inside).sum((1, 2)) / inside.sum((1, 2))


def convolutional(inputs: int, hidden: int, outputs: int, blocks: int, slope: float) -> nn.Sequential:
    """Return the asymmetric student (figure 4): residual blocks between two convolutions, all 3x3."""
    return nn.Sequential(
        nn.Conv2d(inputs, hidden, 3, padding=1),
        nn.LeakyReLU(slope),
        *(ResidualBlock(hidden, slope) for _ in range(blocks)),
        nn.Conv2d(hidden, outputs, 3, padding=1),
    )


class ResidualBlock(nn.Module):
    """Twice convolution, BatchNorm and LeakyReLU, then the sum with the input."""

    def __init__(self, channels: int, slope: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(slope),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(slope),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to the same shape."""
        return x + self.layers(x)


def positional_encoding(channels: int, height: int, width: int, device: torch.device) -> Tensor:
    """Sines and cosines of the column (first half of the channels) and of the row (second half).

    In each half they alternate, and their frequencies fall from 1 towards 1/10000: (channels, height, width).
    """
    half = channels // 2
    frequencies = 10000.0 ** (-torch.arange(0, half, 2, device=device) / half)

    def waves(length: int) -> Tensor:
        angles = frequencies[:, None] * torch.arange(length, device=device)
        return torch.stack([angles.sin(), angles.cos()], 1).flatten(0, 1)

    columns = waves(width)[:, None].expand(-1, height, -1)
    rows = waves(height)[:, :, None].expand(-1, -1, width)
    return torch.cat([columns, rows])


def foreground(batch: Batch, anomaly_map: Tensor) -> Tensor:
    """Return where a map shows foreground, (B, H, W) bool; everywhere in an image that has none."""
    if batch.foreground is None:
        return torch.ones_like(anomaly_map, dtype=torch.bool)
    inside = interpolate(batch.foreground.float(), anomaly_map.shape[-2:], mode="bilinear")[:, 0] > 0
    return inside | ~inside.any((1, 2), keepdim=True)
