"""Shifts of decoded images: what light, lens, sensor, compression or a displaced part do to a picture.

The formulas are those of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019; the strength of each level is in `store.shifts.SHIFTS`. Random numbers are drawn from the
content of an image: it is always changed in the same way, with the same noise or in the same direction at all levels.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from store.shifts import SHIFTS

Pixels = NDArray[np.float64]
"""(side, side, 3), from 0 to 1."""
Move = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Matrix (2, 2) and offset (2,), pixels: where the value of each pixel comes from."""

SIDE = 224
"""The radius of blur is given in pixels of an image of so many a side."""


def shift(
    name: str, level: int, image: NDArray[np.uint8], mask: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Return a shifted image and its mask, which moves with the image.

    Pixels that come from outside the image are mirrored at its border, in the mask, too.

    Parameters
    ----------
    name
        One of `store.shifts.SHIFTS`.
    level
        1 to 5; 0: the image and its mask as they are.
    image
        (side, side, 3) RGB.
    mask
        (side, side), or None.
    """
    if level == 0:
        return image, mask
    strength = SHIFTS[name].levels[level - 1]
    generator = _generator(name, image)
    pixels = image / 255
    if name in _CHANGES:
        return _as_bytes(_CHANGES[name](pixels, strength, generator)), mask
    from scipy.ndimage import affine_transform  # half a second, for which no other run need wait

    matrix, offset = _MOVES[name](strength, image.shape[0], generator)
    channels = [
        affine_transform(channel, matrix, offset, order=1, mode="mirror")
        for channel in np.moveaxis(pixels, 2, 0)
    ]
    moved = None
    if mask is not None:
        nearest = affine_transform(mask.astype(np.uint8), matrix, offset, order=0, mode="mirror")
        moved = nearest.astype(np.bool_)
    return _as_bytes(np.stack(channels, axis=2)), moved


def moves(name: str) -> bool:
    """Return whether a shift moves the image, and its mask with it."""
    return name in _MOVES


def _generator(name: str, image: NDArray[np.uint8]) -> np.random.Generator:
    digest = hashlib.sha256(name.encode() + np.ascontiguousarray(image).tobytes()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _as_bytes(pixels: Pixels) -> NDArray[np.uint8]:
    return np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)


def _brighten(pixels: Pixels, added: float, _: Any) -> Pixels:
    """Add to the value of HSV, the largest channel; hue and saturation stay as they are."""
    value = pixels.max(axis=2, keepdims=True)
    changed = np.clip(value + added, 0, 1)
    return np.where(value > 0, pixels * (changed / np.where(value > 0, value, 1)), changed)


def _darken(pixels: Pixels, subtracted: float, generator: Any) -> Pixels:
    return _brighten(pixels, -subtracted, generator)


def _contrast(pixels: Pixels, factor: float, _: Any) -> Pixels:
    """Bring each colour nearer to the mean colour of the image."""
    mean = pixels.mean(axis=(0, 1), keepdims=True)
    return mean + factor * (pixels - mean)


def _blur(pixels: Pixels, radius: float, _: Any) -> Pixels:
    """Spread each pixel over a disk with a smooth edge, as a lens does that is out of focus."""
    from scipy.fft import irfft2, rfft2  # as for `affine_transform`

    radius *= pixels.shape[0] / SIDE
    reach = int(np.ceil(radius))
    steps = np.arange(-reach, reach + 1)
    disk = np.clip(radius + 0.5 - np.hypot(steps[:, None], steps), 0, 1)
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    shape = padded.shape[:2]
    spectrum = rfft2(padded, axes=(0, 1)) * rfft2(disk / disk.sum(), shape)[..., None]
    # the first pixels are those that the transform takes from the opposite border
    blurred: Pixels = irfft2(spectrum, shape, axes=(0, 1))[2 * reach :, 2 * reach :]
    return blurred


def _add_noise(pixels: Pixels, deviation: float, generator: np.random.Generator) -> Pixels:
    return pixels + deviation * generator.standard_normal(pixels.shape)


def _compress(pixels: Pixels, quality: float, _: Any) -> Pixels:
    """Write and read the image as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(_as_bytes(pixels)).save(buffer, "JPEG", quality=int(quality))
    with Image.open(buffer) as read:
        return np.asarray(read) / 255


def _rotation(degrees: float, side: int, generator: np.random.Generator) -> Move:
    """Turn about the centre."""
    angle = np.deg2rad(degrees) * generator.choice([-1, 1])
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.full(2, (side - 1) / 2)
    return matrix, centre - matrix @ centre


def _translation(part: float, side: int, generator: np.random.Generator) -> Move:
    """Move by whole pixels along an axis, so that no value is interpolated."""
    directions = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    return np.eye(2), np.rint(part * side) * generator.choice(directions)


_CHANGES: Mapping[str, Callable[[Pixels, float, np.random.Generator], Pixels]] = {
    "brightness": _brighten,
    "darkness": _darken,
    "contrast": _contrast,
    "blur": _blur,
    "noise": _add_noise,
    "jpeg": _compress,
}
_MOVES: Mapping[str, Callable[[float, int, np.random.Generator], Move]] = {
    "rotation": _rotation,
    "translation": _translation,
}
