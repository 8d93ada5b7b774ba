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

# Lower bounds of norms, as in torch's normalize and cosine_similarity.
MIN_NORM, MIN_NORM_COSINE = 1e-12, 1e-8
# Values per call of a distance on a CPU, so that intermediate results fit into the cache.
CHUNK = 2**20


def normalised(features: Tensor) -> Tensor:
    """Normalise the channels of (..., C, h, w) to unit l2 norm at every location, in float32."""
    return normalize(features.float(), dim=-3)


def squared_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """Squared distance of two (..., C, h, w) maps with l2-normalised channels: (..., h, w) in 0..4, float32."""
    return _in_chunks(_SquaredDistance.apply, teacher, student)


def cosine_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """1 - cos along the channels of two (B, C, h, w) maps: (B, h, w) in 0..2, float32."""
    return _in_chunks(_CosineDistance.apply, teacher, student, (1,))


def flattened_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """1 - cos of two (B, C, h, w) maps, each flattened to one vector per image: (B,) in 0..2, float32."""
    return _in_chunks(_CosineDistance.apply, teacher, student, (1, 2, 3))


def _in_chunks(distance: Callable[..., Tensor], teacher: Tensor, student: Tensor, *options: Any) -> Tensor:
    """Apply a distance to a few images at a time: the same numbers."""
    if torch.compiler.is_exporting():  # the number of images is not known
        return distance(teacher, student, *options)
    size = max(CHUNK * len(student) // max(student.numel(), 1), 1)
    if student.device.type != "cpu" or student.dim() < 4 or size >= len(student):
        return distance(teacher, student, *options)
    chunks = zip(teacher.split(size), student.split(size), strict=True)
    return torch.cat([distance(*chunk, *options) for chunk in chunks])


class _SquaredDistance(Function):
    """|s/|s| - t/|t||^2 along the channels, with a gradient for the student alone.

    Autograd would keep copies of the features and make a dozen passes over them; the gradient is a linear
    combination of s and t at each location.
    """

    @staticmethod
    def forward(ctx: Any, teacher: Tensor, student: Tensor) -> Tensor:
        check_pair(teacher, student)
        t, s = teacher.float(), student.float()
        t_norm, s_norm = (_norm(x, (-3,), MIN_NORM) for x in (t, s))
        squared = (s / s_norm).sub_(t / t_norm).square_().sum(-3, keepdim=True)
        ctx.save_for_backward(teacher, student, t_norm, s_norm, squared)
        return squared.squeeze(-3)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        teacher, student, t_norm, s_norm, squared = ctx.saved_tensors
        t, s = teacher.float(), student.float()
        scale = 2 * gradient.unsqueeze(-3) / s_norm
        # The component along s changes no direction and is removed, unless s is too short to have one. For
        # s/|s| - t/|t| it is half of the squared distance, or all of it if the teacher has no direction.
        along = (squared + (t_norm <= MIN_NORM)).div_(2).where(s_norm > MIN_NORM, 0)
        return None, _combine(s, scale * (1 - along) / s_norm, t, scale / t_norm).to(student.dtype)


class _CosineDistance(Function):
    """1 - cos along some dimensions, half the squared distance; the gradient as in `_SquaredDistance`."""

    @staticmethod
    def forward(ctx: Any, teacher: Tensor, student: Tensor, along: tuple[int, ...]) -> Tensor:
        check_pair(teacher, student)
        t, s = teacher.float(), student.float()
        t_norm, s_norm = (_norm(x, along, MIN_NORM_COSINE) for x in (t, s))
        cosine = (s / s_norm).mul_(t / t_norm).sum(along, keepdim=True)
        ctx.save_for_backward(teacher, student, t_norm, s_norm, cosine)
        return 1 - cosine.squeeze(along)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        teacher, student, t_norm, s_norm, cosine = ctx.saved_tensors
        t, s = teacher.float(), student.float()
        scale = gradient.reshape(cosine.shape) / s_norm
        student_factor = scale * cosine.where(s_norm > MIN_NORM_COSINE, 0) / s_norm
        return None, _combine(s, student_factor, t, scale / t_norm).to(student.dtype), None


def _norm(features: Tensor, along: tuple[int, ...], least: float) -> Tensor:
    return vector_norm(features, dim=along, keepdim=True).clamp_min_(least)


def _combine(student: Tensor, student_factor: Tensor, teacher: Tensor, teacher_factor: Tensor) -> Tensor:
    return (student * student_factor).sub_(teacher * teacher_factor)


def check_pair(teacher: Tensor, student: Tensor) -> None:
    """Reject features of different heights or widths, and a teacher that is not frozen.

    Raises
    ------
    MethodError
        If it is so.
    """
    if teacher.shape[-2:] != student.shape[-2:]:
        (height, width), (ours, across) = teacher.shape[-2:], student.shape[-2:]
        raise MethodError(
            f"method.training.image_size: the teacher has {height} x {width} features of an image and the student "
            f"{ours} x {across}; expected a multiple of the largest stride of the layers"
        )
    if teacher.requires_grad:
        raise MethodError("teacher: found features that require gradients; expected detached features")


def resize_map(anomaly_map: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Resize (B, h, w) to (B, *size) by bilinear interpolation."""
    return interpolate(anomaly_map[:, None], size, mode="bilinear", align_corners=align_corners)[:, 0]


def multiply(maps: Iterable[Tensor]) -> Tensor:
    """Return the element-wise product of maps of one shape."""
    return torch.stack(list(maps)).prod(0)


def gaussian_blur(anomaly_map: Tensor, sigma: float) -> Tensor:
    """Blur (B, h, w) with a Gaussian of `sigma` pixels, truncated at 4 sigma, mirrored at the border.

    Equals `scipy.ndimage.gaussian_filter` with its defaults, which the released codes use. Keeps the
    precision of the map, even under autocast.
    """
    radius = int(4 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, device=anomaly_map.device, dtype=anomaly_map.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma).square())
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
    """Pad (B, 1, h, w) with its mirror image, border pixels repeated (scipy's `reflect`)."""
    left, right, top, bottom = sides
    height, width = x.shape[-2:]
    rows = _mirrored_index(height, top, bottom, x.device)
    columns = _mirrored_index(width, left, right, x.device)
    return x[..., rows[:, None], columns]


def _mirrored_index(length: int, before: int, after: int, device: torch.device) -> Tensor:
    period = torch.arange(-before, length + after, device=device) % (2 * length)
    return torch.minimum(period, 2 * length - 1 - period)
