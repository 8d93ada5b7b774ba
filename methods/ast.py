"""Asymmetric student-teacher networks (Rudolph et al., WACV 2023, arXiv:2210.07829)."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_unshuffle

from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from methods.flow import ConditionalFlow
from methods.method import Method, Stage
from methods.ranges import BLOCKS, CHANNELS, Range, check_option

MAX_NLL = 1e4  # nats per channel; log-determinants are bounded, so only a diverging z reaches it


class AsymmetricStudentTeacher(Method):
    """The teacher is a normalizing flow, the student an ordinary convolutional network.

    The flow maps the features of normal images to a standard normal distribution (eq. 1-3); as a bijection
    it responds to every change of them. The student learns its outputs on normal images (eq. 4), and as a
    network of another kind it does not follow the flow outside the training data: there their distance is
    large, while a wrong likelihood of a normal image does no harm.

    Where images come with depth, both see it in addition to the features or instead of them, and losses and
    scores are confined to the foreground that the depth shows (section 3).

    It is expensive: features of 768 x 768 images, and two networks with 133 million parameters together in the
    published settings. Maps are coarse (stride 32). Use it for decisions on whole images, and where depth
    comes with colour.

    Parameters
    ----------
    backbone
        The network whose features both see.
    layers
        Exactly one layer of it; None: the deepest at stride 16.
    mode
        Input of both: `rgb` the features, `depth` the depth, `rgbd` both, concatenated. `rgb` also ignores
        the foreground, as it is derived from the depth.
    unshuffle
        Side of the squares of depth whose pixels become the channels of one location: the side of the depth
        divided by that of the features.
    masked
        Whether losses and scores are confined to the foreground (table 7); in `rgb` they never are.
    position_channels
        Channels of the sinusoidal encoding of each location, which is the flow's condition and a further
        input of the student; a multiple of 4; 0: no encoding.
    coupling_blocks, flow_hidden, clamp
        Teacher: number of blocks, channels inside their subnetworks, bound (alpha) of their log scales.
    student
        `asymmetric`: convolutions. For the paper's comparison (table 5): `symmetric`, a flow like the
        teacher; `deeper_flow`, one with twice as many blocks.
    student_hidden, student_blocks, leaky_slope
        Convolutional student: channels, residual blocks, slope of its LeakyReLUs.
    score
        `distance` of student and teacher; `nll`: the teacher's negative log-likelihood alone (eq. 3), and no
        student is trained.
    image_score
        `max` or `mean` of the map over the foreground; `auto`, the paper's rule: max where there is a
        foreground, mean otherwise.
    score_size
        Whether they are taken of the map at the size of the `features`, as in the paper (section 4.2.4), or of the map
        at the size of the `image`, whose cubics overshoot: the released code does both.

    Raises
    ------
    MethodError
        If there is not exactly one layer, or a number is out of range.
    """

    modes = ("rgb", "depth", "rgbd")
    channels_last = False  # slower on maps this small
    interpolation = "bicubic"

    def __init__(
        self,
        backbone: FeatureBackbone,
        layers: Sequence[str] | None = None,
        mode: Literal["rgb", "depth", "rgbd"] = "rgb",
        unshuffle: int = 8,
        masked: bool = True,
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
        score_size: Literal["features", "image"] = "features",
    ) -> None:
        layers = backbone.layers_at([16]) if layers is None else layers
        if len(layers) != 1:
            raise MethodError(f"method.layers: found {list(layers)}; expected exactly one")
        if position_channels % 4:
            raise MethodError(
                f"method.position_channels: found {position_channels}; expected a multiple of 4"
            )
        check_option("position_channels", position_channels, Range(at_least=0, at_most=1024))
        check_option("unshuffle", unshuffle, Range(at_least=1, at_most=64))
        check_option("coupling_blocks", coupling_blocks, Range(at_least=1, at_most=128))
        check_option("flow_hidden", flow_hidden, CHANNELS)
        check_option("clamp", clamp, Range(above=0, at_most=30))  # of a logarithm
        check_option("student_hidden", student_hidden, CHANNELS)
        check_option("student_blocks", student_blocks, BLOCKS)
        check_option("leaky_slope", leaky_slope, Range(at_least=0, at_most=1))
        super().__init__(() if mode == "depth" else layers)
        self.mode, self.unshuffle, self.masked = mode, unshuffle, masked and mode != "rgb"
        self.position_channels, self.score, self.aggregate = position_channels, score, image_score
        self.scores_enlarged_maps = score_size == "image"
        channels = sum(backbone.channels(self.teacher_layers)) + (0 if mode == "rgb" else unshuffle**2)
        if channels < 2:
            raise MethodError(
                f"method.unshuffle={unshuffle} leaves the flow one channel with method.mode={mode}; expected 2 or more"
            )
        self.max_loss = MAX_NLL * channels

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
        """Train the flow by maximum likelihood, then the student on the flow's outputs."""
        yield Stage("flow", self.flow, self.flow_loss)
        if self.score == "distance":
            yield Stage("student", self.student, self.student_loss)

    def flow_loss(self, batch: Batch) -> Tensor:
        """NLL, averaged over the foreground."""
        return self.average(self.nll(batch), batch)

    def student_loss(self, batch: Batch) -> Tensor:
        """Distance to the flow's outputs, averaged over the foreground."""
        return self.average(self.distance(batch), batch)

    def targets(self, stage: Stage, batch: Batch) -> dict[str, Tensor]:
        """Return the flow's outputs, which are constant while the student trains."""
        return {"flow": self.flow_outputs(*self.inputs(batch))} if stage.name == "student" else {}

    def average(self, values: Tensor, batch: Batch) -> Tensor:
        """Average (B, h, w) over all foreground locations of the batch; 0 if there are none."""
        if not self.masked:
            return values.mean()
        inside = self.foreground(batch)
        return values.where(inside, 0).sum() / inside.sum().clamp(min=1)

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the input of the flow (B, C, h, w), and the encoding of its locations (B, P, h, w).

        Raises
        ------
        MethodError
            If there is no depth in a mode that needs it, or its size does not fit.
        """
        parts = [batch.features[layer].float() for layer in self.teacher_layers]
        if self.mode != "rgb":
            parts.append(self._depth(batch, parts))
        count, _, height, width = parts[0].shape
        encoding = positional_encoding(self.position_channels, height, width, parts[0].device)
        return torch.cat(parts, 1), encoding.expand(count, -1, -1, -1)

    def _depth(self, batch: Batch, features: Sequence[Tensor]) -> Tensor:
        """Return the depth with the pixels of each square as channels: (B, unshuffle^2, h, w), centimetres."""
        if batch.depth is None:
            raise MethodError(f"method.mode: found {self.mode}, but the images have no depth; expected rgb")
        side, square = batch.depth.shape[-1], self.unshuffle
        locations = features[0].shape[-1] if features else side // square
        if locations == 0 or side != locations * square:
            whole = f"{locations} locations" if features else "whole squares"
            raise MethodError(
                f"method.training.depth_size: found {side}; expected {max(locations, 1) * square}, for {whole} a "
                f"side with method.unshuffle={square}"
            )
        return pixel_unshuffle(batch.depth, square)

    def foreground(self, batch: Batch) -> Tensor:
        """Return where a location shows foreground, (B, h, w) bool (section 4.2.2)."""
        assert batch.foreground is not None
        small = interpolate(batch.foreground.float(), scale_factor=1 / self.unshuffle, mode="bilinear")
        return small[:, 0] > 0

    def scored(self, batch: Batch) -> Tensor:
        """Return which locations count, (B, h, w) bool: the foreground, or all of an image without any."""
        inside = self.foreground(batch)
        return inside | ~inside.any(2, keepdim=True).any(1, keepdim=True)

    def nll(self, batch: Batch) -> Tensor:
        """Negative log-likelihood of each location (eq. 3), without its constant C/2 log(2 pi): (B, h, w)."""
        z, log_det = self.flow(*self.inputs(batch))
        return 0.5 * z.square().sum(1) - log_det

    def distance(self, batch: Batch) -> Tensor:
        """Squared distance of student and teacher (eq. 4), averaged over the channels: (B, h, w)."""
        teacher, student = self.pair(batch)
        return (student - teacher).square().mean(1)

    def flow_outputs(self, features: Tensor, encoding: Tensor) -> Tensor:
        """Return the outputs of the trained flow, without gradients: (B, C, h, w)."""
        with torch.no_grad():
            return self.flow(features, encoding)[0]

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the outputs of teacher and student, (B, C, h, w) each."""
        features, encoding = self.inputs(batch)
        known = batch.targets.get("flow")  # while the student trains
        teacher = self.flow_outputs(features, encoding) if known is None else known
        if isinstance(self.student, ConditionalFlow):
            student, _ = self.student(features, encoding)
        else:
            student = self.student(torch.cat([features, encoding], 1))
        return teacher, student.float()

    def anomaly_map(self, batch: Batch) -> Tensor:
        """Distance, or NLL, at each location of the features: (B, h, w).

        The background gets the lowest possible value: distance 0, or the image's lowest NLL.
        """
        values = self.distance(batch) if self.score == "distance" else self.nll(batch)
        if self.masked:
            counts = self.scored(batch)
            lowest = values.where(counts, math.inf).amin((1, 2), keepdim=True)
            values = values.where(counts, 0 if self.score == "distance" else lowest)
        return values

    def image_score(self, anomaly_map: Tensor, batch: Batch) -> Tensor:
        """Maximum or mean of the map over the foreground, or over the whole map where there is none: (B,)."""
        rule = self.aggregate if self.aggregate != "auto" else "max" if self.masked else "mean"
        if not self.masked:
            return anomaly_map.amax((1, 2)) if rule == "max" else anomaly_map.mean((1, 2))
        counts = interpolate(self.scored(batch)[:, None].float(), anomaly_map.shape[-2:])[:, 0] > 0
        if rule == "max":
            return anomaly_map.where(counts, -math.inf).amax((1, 2))
        return anomaly_map.where(counts, 0).sum((1, 2)) / counts.sum((1, 2))

    def teacher_student_pairs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return the pairs of figure 5, and which locations count; None without a student."""
        if self.score == "nll":
            return None
        teacher, student = self.pair(batch)
        everywhere = torch.ones_like(teacher[:, 0], dtype=torch.bool)
        return teacher, student, self.scored(batch) if self.masked else everywhere


def convolutional(inputs: int, hidden: int, outputs: int, blocks: int, slope: float) -> nn.Sequential:
    """Return the asymmetric student (figure 4): residual blocks between two convolutions, all 3x3."""
    return nn.Sequential(
        nn.Conv2d(inputs, hidden, 3, padding=1),
        nn.LeakyReLU(slope),
        *(ResidualBlock(hidden, slope) for _ in range(blocks)),
        nn.Conv2d(hidden, outputs, 3, padding=1),
    )


class ResidualBlock(nn.Module):
    """Convolution, BatchNorm and LeakyReLU, twice, added to the input."""

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
    """Return sines and cosines of the column (first half of the channels) and of the row (second half).

    They alternate in each half, and their frequencies fall from 1 towards 1/10000: (channels, height, width).
    """
    half = channels // 2
    frequencies = 10000.0 ** (-torch.arange(0, half, 2, device=device) / half)

    def waves(length: int) -> Tensor:
        angles = frequencies[:, None] * torch.arange(length, device=device)
        return torch.stack([angles.sin(), angles.cos()], 1).flatten(0, 1)

    columns = waves(width)[:, None].expand(-1, height, -1)
    rows = waves(height)[:, :, None].expand(-1, -1, width)
    return torch.cat([columns, rows])
