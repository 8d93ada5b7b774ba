"""From features to anomaly maps: the distances and combinations that several methods share."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import conv2d, cosine_similarity, interpolate, normalize


def normalised(features: Tensor) -> Tensor:
    """Bring the channels of (..., C, h, w) to the l2 norm 1 at every location, in float32."""
    return normalize(features.float(), dim=-3)


def squared_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """Squared distance of two (..., C, h, w) maps with l2-normalised channels: (..., h, w) in 0..4, float32."""
    return (normalised(teacher) - normalised(student)).square().sum(-3)


def cosine_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """1 - cos along the channels of two (B, C, h, w) maps: (B, h, w) in 0..2, float32."""
    return 1 - cosine_similarity(teacher.float(), student.float(), dim=1)


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
