"""From features to anomaly maps: the distances and combinations that several methods share."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.linalg import vector_norm
from torch.nn.functional import conv2d, interpolate, normalize

from methods.errors import MethodError

# Shorter features count as so long, as in torch's normalize and cosine_similarity.
SHORTEST, SHORTEST_COSINE = 1e-12, 1e-8
# Values that go through a distance at a time on a CPU: what it keeps in between fits into the cache.
PART = 2**20


def normalised(features: Tensor) -> Tensor:
    """Bring the channels of (..., C, h, w) to the l2 norm 1 at every location, in float32."""
    return normalize(features.float(), dim=-3)


def squared_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """Squared distance of two (..., C, h, w) maps with l2-normalised channels: (..., h, w) in 0..4, float32."""
    return _in_parts(_SquaredDistance.apply, teacher, student)


def cosine_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """1 - cos along the channels of two (B, C, h, w) maps: (B, h, w) in 0..2, float32."""
    return _in_parts(_CosineDistance.apply, teacher, student, (1,))


def flattened_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """1 - cos of two (B, C, h, w) maps, each read as one vector per image: (B,) in 0..2, float32."""
    return _in_parts(_CosineDistance.apply, teacher, student, (1, 2, 3))


def _in_parts(distance: Callable[..., Tensor], teacher: Tensor, student: Tensor, *options: Any) -> Tensor:
    """Apply a distance to some images after the others: the same numbers."""
    size = max(PART * len(student) // max(student.numel(), 1), 1)
    if student.device.type != "cpu" or student.dim() < 4 or size >= len(student):
        return distance(teacher, student, *options)
    parts = zip(teacher.split(size), student.split(size), strict=True)
    return torch.cat([distance(*part, *options) for part in parts])


class _SquaredDistance(Function):
    """|s/|s| - t/|t||^2 along the channels.

    A function of its own: autograd would keep copies of the features and go through them a dozen times, where
    the gradient is s and t scaled at each location. It reaches the student alone.
    """

    @staticmethod
    def forward(ctx: Any, teacher: Tensor, student: Tensor) -> Tensor:
        _check(teacher)
        t, s = teacher.float(), student.float()
        t_length, s_length = (_length(x, (-3,), SHORTEST) for x in (t, s))
        squared = (s / s_length).sub_(t / t_length).square_().sum(-3, keepdim=True)
        ctx.save_for_backward(teacher, student, t_length, s_length, squared)
        return squared.squeeze(-3)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        teacher, student, t_length, s_length, squared = ctx.saved_tensors
        t, s = teacher.float(), student.float()
        scale = 2 * gradient.unsqueeze(-3) / s_length
        # What points along s changes no direction: it is taken out, unless s is too short to have one. Of
        # s/|s| - t/|t| it is half of the square, or all if the teacher has no direction.
        along = (squared + (t_length <= SHORTEST)).div_(2).where(s_length > SHORTEST, 0)
        return None, _combine(s, scale * (1 - along) / s_length, t, scale / t_length).to(student.dtype)


class _CosineDistance(Function):
    """1 - cos along some dimensions; the gradient as in `_SquaredDistance`, which this is half of."""

    @staticmethod
    def forward(ctx: Any, teacher: Tensor, student: Tensor, along: tuple[int, ...]) -> Tensor:
        _check(teacher)
        t, s = teacher.float(), student.float()
        t_length, s_length = (_length(x, along, SHORTEST_COSINE) for x in (t, s))
        cosine = (s / s_length).mul_(t / t_length).sum(along, keepdim=True)
        ctx.save_for_backward(teacher, student, t_length, s_length, cosine)
        return 1 - cosine.squeeze(along)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        teacher, student, t_length, s_length, cosine = ctx.saved_tensors
        t, s = teacher.float(), student.float()
        scale = gradient.reshape(cosine.shape) / s_length
        own = scale * cosine.where(s_length > SHORTEST_COSINE, 0) / s_length
        return None, _combine(s, own, t, scale / t_length).to(student.dtype), None


def _length(features: Tensor, along: tuple[int, ...], least: float) -> Tensor:
    return vector_norm(features, dim=along, keepdim=True).clamp_min_(least)


def _combine(student: Tensor, own: Tensor, teacher: Tensor, other: Tensor) -> Tensor:
    return (student * own).sub_(teacher * other)


def _check(teacher: Tensor) -> None:
    if teacher.requires_grad:
        raise MethodError(
            "the teacher's features of a distance are data: no gradient reaches them; detach them"
        )


def resize_map(anomaly_map: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Bring (B, h, w) to (B, *size), bilinearly."""
    return interpolate(anomaly_map[:, None], size, mode="bilinear", align_corners=align_corners)[:, 0]


def multiply(maps: Iterable[Tensor]) -> Tensor:
    """Return the element-wise product of maps of one shape."""
    return torch.stack(list(maps)).prod(0)


def gaussian_blur(anomaly_map: Tensor, sigma: float) -> Tensor:
    """Blur (B, h, w) with a Gaussian of `sigma` pixels, cut off at 4 sigma, mirrored at the border.

    Equals `scipy.ndimage.gaussian_filter` with its defaults, which the released codes use; in the precision
    of the map, under autocast too.
    """
    radius = int(4 * sigma + 0.5)
    at = torch.arange(-radius, radius + 1, device=anomaly_map.device, dtype=anomaly_map.dtype)
    kernel = torch.exp(-0.5 * (at / sigma).square())
    kernel = kernel / kernel.sum()
    blurred = anomaly_map[:, None]
    with torch.autocast(anomaly_map.device.type, enabled=False):
        for shape, sides in (
            ((1, 1, 1, -1), (radius, radius, 0, 0)),
            ((1, 1, -1, 1), (0, 0, radius, radius)),
        ):
            blurred = conv2d(_mirror(blurred, sides), kernel.view(shape))
    return blurred[:, 0]


def _mirror(x: Tensor, sides: tuple[int, int, int, int]) -> Tensor:
    """Pad (B, 1, h, w) with its mirror image, the border pixel repeated (scipy's `reflect`)."""
    left, right, top, bottom = sides
    height, width = x.shape[-2:]
    rows = _mirrored_index(height, top, bottom, x.device)
    columns = _mirrored_index(width, left, right, x.device)
    return x[..., rows[:, None], columns]


def _mirrored_index(length: int, before: int, after: int, device: torch.device) -> Tensor:
    period = torch.arange(-before, length + after, device=device) % (2 * length)
    return torch.minimum(period, 2 * length - 1 - period)
