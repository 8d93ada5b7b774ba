"""Depth from organised point clouds: centimetres from the mean of the object, and the foreground.

The preparation of asymmetric student-teacher networks (Rudolph et al., WACV 2023, section 4.2.2); `prepare` runs
its steps. z is the distance from the sensor; 0: no value.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from datasets.errors import DatasetError
from datasets.point_clouds import read_z

FILL_ROUNDS = 3
FOREGROUND_M = 0.007
"""Distance from the background beyond which a pixel is foreground, metres."""
DILATION = 8
"""Side of the square that dilates the foreground, pixels of the prepared depth."""

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Depth(NamedTuple):
    """Prepared depth of one image.

    Attributes
    ----------
    depth
        (side, side) float32, centimetres from the mean of the foreground, larger is further from the sensor; 0
        on the background.
    foreground
        (side, side) bool, dilated.
    corners
        Whether all four corners of the image had depth; otherwise the background was fitted to its border.
    """

    depth: Array
    foreground: Mask
    corners: bool


def fill_holes(z: Array, rounds: int = FILL_ROUNDS) -> Array:
    """Set each pixel without a value to the mean of its valid neighbours among the 8; `rounds` times.

    Each round uses the result of the previous one, so that holes close by one pixel a round from all sides.

    Parameters
    ----------
    z
        (H, W) metres, 0 where there is no value.

    Returns
    -------
    (H, W) metres, 0 where there is still none.
    """
    padded = np.pad(z, 1)
    flat = padded.reshape(-1)
    inside = np.zeros(padded.shape, np.bool_)
    inside[1:-1, 1:-1] = z == 0
    holes = np.flatnonzero(inside)
    width = padded.shape[1]
    around = np.array([row * width + column for row in (-1, 0, 1) for column in (-1, 0, 1) if row or column])
    for _ in range(rounds):
        neighbours = flat[holes[:, None] + around]
        counts = np.count_nonzero(neighbours, axis=1)
        found = counts > 0
        flat[holes[found]] = neighbours[found].sum(1) / counts[found]
        holes = holes[~found]
    return padded[1:-1, 1:-1]


def corner_depths(z: Array) -> NDArray[np.float64]:
    """Return the mean z of the valid pixels in the 2x2 patch of each corner.

    Parameters
    ----------
    z
        (H, W) metres, 0 where there is no value.

    Returns
    -------
    (2, 2) metres: top and bottom, left and right; NaN for a corner without a value.
    """
    patches = np.stack([[z[:2, :2], z[:2, -2:]], [z[-2:, :2], z[-2:, -2:]]]).astype(np.float64)
    counts = np.count_nonzero(patches, axis=(2, 3))
    return np.divide(patches.sum((2, 3)), counts, out=np.full((2, 2), np.nan), where=counts > 0)


def corner_plane(corners: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the background between four corners, bilinear in between: a plane if they lie on one.

    Parameters
    ----------
    corners
        (2, 2) metres from `corner_depths`: the depths at the centres of the corners' patches.
    shape
        H and W, pixels.

    Returns
    -------
    (H, W) metres.
    """
    down, right = (
        (np.arange(length) - 0.5) / (length - 2) if length > 2 else np.arange(length) for length in shape
    )
    left_edge, right_edge = (corners[0, side] * (1 - down) + corners[1, side] * down for side in (0, 1))
    return left_edge[:, None] * (1 - right) + right_edge[:, None] * right


def border_plane(z: Array) -> NDArray[np.float64]:
    """Fit a plane to the valid pixels of the image's border (RANSAC, a fixed seed).

    For images without depth in a corner. An object may cross the border, if most of the border is background.

    Parameters
    ----------
    z
        (H, W) metres, 0 where there is no value.

    Returns
    -------
    (H, W) metres.

    Raises
    ------
    DatasetError
        If the border's valid pixels do not span a plane.
    """
    border = z != 0
    border[1:-1, 1:-1] = False
    positions = np.argwhere(border)
    if len(positions) < 3 or np.linalg.matrix_rank(positions - positions[0]) < 2:
        raise DatasetError(
            f"found no depth in a corner of the image and {len(positions)} pixels with depth on its border; expected "
            "depth in all four corners, or on at least two sides of the border"
        )
    from sklearn.linear_model import RANSACRegressor  # a second, for which no other images need wait

    plane = RANSACRegressor(min_samples=3, residual_threshold=FOREGROUND_M / 2, random_state=0)
    plane.fit(positions, z[border].astype(np.float64))
    down, right = plane.estimator_.coef_
    rows, columns = np.ogrid[: z.shape[0], : z.shape[1]]
    surface: NDArray[np.float64] = plane.estimator_.intercept_ + down * rows + right * columns
    return surface


def foreground(z: Array, background: NDArray[np.float64], distance: float = FOREGROUND_M) -> Mask:
    """Return the mask (H, W) of the valid pixels more than `distance` metres from the background."""
    return (np.abs(z - background) > distance) & (z != 0)


def centre(z: Array, inside: Mask) -> Array:
    """Subtract the foreground's mean from z; the background is 0.

    Parameters
    ----------
    z
        (H, W) metres.
    inside
        (H, W) bool, the foreground.

    Returns
    -------
    (H, W) centimetres.
    """
    depth = np.zeros_like(z)
    if inside.any():
        values = z[inside].astype(np.float64)
        depth[inside] = 100 * (values - values.mean())
    return depth


def resize(values: Array, side: int) -> Array:
    """Resize (H, W) to (side, side), bilinear without antialiasing, as in the released code."""
    whole = torch.from_numpy(values)[None, None]
    return interpolate(whole, (side, side), mode="bilinear")[0, 0].numpy()


def dilate(mask: Mask, size: int = DILATION) -> Mask:
    """Dilate a mask (H, W) by a square of `size` pixels a side."""
    from scipy.ndimage import binary_dilation  # 0.3 s, for which images without depth need not wait

    grown: Mask = binary_dilation(mask, np.ones((size, size), np.bool_))
    return grown


def read_depth(path: Path, size: tuple[int, int], side: int) -> Depth:
    """Read a point cloud and prepare its depth: see `read_z` and `prepare`; errors name the file."""
    z = read_z(path, size)
    try:
        return prepare(z, side)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def prepare(z: Array, side: int) -> Depth:
    """Run all steps: fill holes, find the background, cut out the foreground, centre, resize, dilate.

    Parameters
    ----------
    z
        (H, W) metres, 0 where there is no value; at least 2x2 pixels.
    side
        Width and height of the prepared depth, pixels.

    Raises
    ------
    DatasetError
        If neither the corners nor the border determine the background.
    """
    filled = fill_holes(z)
    corners = corner_depths(filled)
    known = bool(np.isfinite(corners).all())
    background = corner_plane(corners, filled.shape) if known else border_plane(z)
    inside = foreground(filled, background)
    part = resize(inside.astype(np.float32), side) > 0
    return Depth(resize(centre(filled, inside), side), dilate(part), known)
