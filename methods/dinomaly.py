"""Dinomaly (Guo et al., CVPR 2025, arXiv:2405.14325)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from datasets.batch import Batch
from methods.attention import NoisyDecoder
from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from methods.maps import cosine_distance, flattened_distance, resize_map
from methods.method import Method, Stage
from methods.ranges import CHANNELS, SIDE, Range, check_option

BLOCKS = 8  # of the teacher, in its middle
GROUPS = 2
CNN_STRIDES = (8, 16)  # of the layers of a network that is no transformer
HEAD = 64  # channels of a head of the attention, at least
BLUR_SIZE, BLUR_SIGMA = 5, 4.0  # of the map, pixels


class Dinomaly(Method):
    """The student is a transformer that restores the middle layers of a vision transformer from a noisy average.

    A network that sees all of the teacher's features could learn to copy them, anomalies included. Four things keep
    this one from it: dropout in the bottleneck; linear attention, which cannot concentrate on the token that it
    should restore; targets that are averages of several layers; and small gradients where it is good already.

    Parameters
    ----------
    backbone
        A vision transformer, at any image size that its patches divide. For another network, whose layers have
        different sizes, there is an extension: see `groups`.
    groups
        The layers that are restored, from shallow to deep. The student sees the average of all of them and restores
        that of each group. None: eight blocks in the middle of the teacher (2 to 9 of 12) in two groups. Layers of
        different sizes are enlarged to the finest and concatenated, both as input and in a group; None: the deepest
        layers at strides 8 and 16, each a group.
    width
        Channels of the student; None: those of a vision transformer's tokens, and otherwise of the input.
    blocks
        Number of the student's blocks, a multiple of the number of groups.
    dropout
        Probability with which the bottleneck sets a value to 0.
    easy_share
        Largest share of a batch's locations that count as easy: those where the student is closest to the teacher.
    easy_factor
        By which the gradient of an easy location is multiplied.
    easy_steps
        Steps of the training in which the share grows from 0 to its largest.
    map_size
        Side of the map before it is blurred and the image is scored; None: the image's.
    top_share
        Share of the map's largest values whose mean is the score of an image.

    Raises
    ------
    MethodError
        If the backbone has no such layers, or the groups do not divide the blocks, or a number is out of range.
    """

    scores_enlarged_maps = False
    steps: Tensor  # of the training so far; a buffer, so that a training that resumes continues to count

    def __init__(
        self,
        backbone: FeatureBackbone,
        groups: Sequence[Sequence[str]] | None = None,
        width: int | None = None,
        blocks: int = 8,
        dropout: float = 0.2,
        easy_share: float = 0.9,
        easy_factor: float = 0.1,
        easy_steps: int = 1000,
        map_size: int | None = 256,
        top_share: float = 0.01,
    ) -> None:
        check_option("width", width, CHANNELS)
        check_option("blocks", blocks, Range(at_least=1, at_most=256))
        check_option("dropout", dropout, Range(at_least=0, below=1))
        check_option("easy_share", easy_share, Range(at_least=0, below=1))
        check_option("easy_factor", easy_factor, Range(at_least=0, at_most=1))
        check_option("easy_steps", easy_steps, Range(at_least=1, at_most=1_000_000_000))
        check_option("map_size", map_size, SIDE)
        check_option("top_share", top_share, Range(above=0, at_most=1))
        groups = middle_groups(backbone) if groups is None else groups
        if not groups or not all(groups) or blocks % len(groups):
            raise MethodError(
                f"method.groups: found {len(groups)} groups {[list(group) for group in groups]} for {blocks} blocks of "
                "the student; expected layers in every group, and a number of groups that divides method.blocks"
            )
        super().__init__([layer for group in groups for layer in group])
        channels = [backbone.channels(group) for group in groups]
        self.averages = has_equal_layers(backbone, self.teacher_layers)
        outputs = [sizes[0] if self.averages else sum(sizes) for sizes in channels]
        inputs = outputs[0] if self.averages else sum(outputs)
        width = inputs if width is None else width
        self.student = NoisyDecoder(inputs, outputs, width, heads_of(width), blocks, dropout)
        self.groups = [tuple(group) for group in groups]
        self.finest = min(zip(backbone.strides(self.teacher_layers), self.teacher_layers, strict=True))[1]
        self.easy_share, self.easy_factor, self.easy_steps = easy_share, easy_factor, easy_steps
        self.map_size, self.top_share = map_size, top_share
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def stages(self) -> Iterator[Stage]:
        """Train bottleneck and decoder together."""
        yield Stage("student", self.student, self.loss)

    def pairs(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """Teacher and student of each group: (B, C_g, h, w) each."""
        size = batch.features[self.finest].shape[-2:]
        layers = {k: batch.features[k].float() for k in self.teacher_layers}
        if not self.averages:
            layers = {k: interpolate(layer, size, mode="bilinear") for k, layer in layers.items()}
        teacher = [self._combine([layers[k] for k in group]) for group in self.groups]
        tokens = self._combine(list(layers.values())).flatten(2).transpose(1, 2)
        student = [tokens.transpose(1, 2).unflatten(2, size) for tokens in self.student(tokens)]
        return list(zip(teacher, student, strict=True))

    def loss(self, batch: Batch) -> Tensor:
        """Mean over the groups of 1 - cos of the flattened maps, with small gradients at easy locations."""
        share = self.easy_share * (self.steps.double() / self.easy_steps).clamp(max=1)
        if self.student.training:
            self.steps += 1
        losses = []
        for teacher, student in self.pairs(batch):
            scale_easy_gradients(teacher, student, share, self.easy_factor)
            losses.append(flattened_distance(teacher, student).mean())
        return torch.stack(losses).mean()

    def anomaly_map(self, batch: Batch) -> Tensor:
        """Mean over the groups of 1 - cos per location, enlarged and blurred: (B, map_size, map_size)."""
        height, width = batch.image.shape[-2:]
        maps = [
            resize_map(cosine_distance(*pair), (height, width), align_corners=True)
            for pair in self.pairs(batch)
        ]
        combined = torch.stack(maps).mean(0)
        return blur(combined if self.map_size is None else resize_map(combined, (self.map_size,) * 2))

    def image_score(self, anomaly_map: Tensor, batch: Batch) -> Tensor:
        """Mean of the largest values of the map: see `top_share`."""
        values = anomaly_map.flatten(1)
        return values.topk(max(int(values.shape[1] * self.top_share), 1)).values.mean(1)

    def _combine(self, layers: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(layers)).mean(0) if self.averages else torch.cat(list(layers), 1)


def has_equal_layers(backbone: FeatureBackbone, layers: Sequence[str]) -> bool:
    """Tell whether all of the layers have the same channels and stride, as the blocks of a vision transformer."""
    return len(set(zip(backbone.channels(layers), backbone.strides(layers), strict=True))) == 1


def middle_groups(backbone: FeatureBackbone) -> list[tuple[str, ...]]:
    """Return the default groups: see `Dinomaly`. Of 24 blocks they are every second from 4 to 18, as released."""
    layers = backbone.layers
    if not has_equal_layers(backbone, layers):
        return [(layer,) for layer in backbone.layers_at(CNN_STRIDES)]
    if len(layers) < BLOCKS:
        raise MethodError(
            f"method.groups: found null for {backbone.name}, which has {len(layers)} blocks; expected groups of "
            f"{', '.join(layers)}, as the default needs {BLOCKS}"
        )
    apart = max(len(layers) // 12, 1)
    first = (len(layers) - (BLOCKS - 1) * apart - 1) // 2
    middle, size = layers[first::apart], BLOCKS // GROUPS
    return [middle[i : i + size] for i in range(0, BLOCKS, size)]


def heads_of(width: int) -> int:
    """Return the largest number of heads of at least `HEAD` channels that divides a width; 1 if there is none."""
    return next(heads for heads in range(max(width // HEAD, 1), 0, -1) if width % heads == 0)


def scale_easy_gradients(teacher: Tensor, student: Tensor, share: Tensor, factor: float) -> None:
    """Let the gradient of the student's features (B, C, h, w) be multiplied by a factor at easy locations.

    Those are the share of all B * h * w locations at which 1 - cos is lowest. Nothing waits for the device.
    """
    if not student.requires_grad:
        return
    with torch.no_grad():
        distance = cosine_distance(teacher, student)
        hardest = distance.flatten().sort(descending=True).values
        count = (distance.numel() * (1 - share)).long().clamp(min=1)
        easy = distance < hardest.gather(0, count[None] - 1)
        scale = torch.where(easy, factor, 1.0).to(student.dtype)[:, None]
    student.register_hook(lambda gradient: gradient * scale)


def blur(anomaly_map: Tensor) -> Tensor:
    """Blur (B, h, w) with the middle 5 x 5 of a Gaussian of sigma 4, zeros outside, as the released code does."""
    offsets = torch.arange(BLUR_SIZE, device=anomaly_map.device) - BLUR_SIZE // 2
    line = torch.exp(-0.5 * (offsets / BLUR_SIGMA).square())
    kernel = line[:, None] * line / line.sum() ** 2
    with torch.autocast(anomaly_map.device.type, enabled=False):
        return conv2d(anomaly_map.float()[:, None], kernel[None, None], padding=BLUR_SIZE // 2)[:, 0]
