"""Reads the files of organised point clouds; `datasets.depth` prepares their depth."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from datasets.errors import DatasetError

_EXPECTED = "height x width x 3 values of type float32 (x, y, z in metres)"


def read_z(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """Read the z of an organised point cloud.

    Parameters
    ----------
    path
        A TIFF file of (H, W, 3) float32: x, y, z of each pixel in metres, 0 where the sensor has no value.
    size
        Width and height of the image that the point cloud belongs to, pixels.

    Returns
    -------
    (H, W) float32, metres.

    Raises
    ------
    DatasetError
        If the file cannot be read, has another size than its image, another number of channels or another
        data type, NaN or infinite values, or no depth at all.
    """
    try:
        xyz = tifffile.imread(path)
    except FileNotFoundError:
        raise DatasetError(f"{path}: there is no such file") from None
    except Exception as error:  # tifffile and its codecs raise almost any exception on a damaged file
        raise DatasetError(f"{path}: not a readable TIFF file ({error}); expected {_EXPECTED}") from None
    _check_shape(path, xyz.shape, xyz.dtype, size)
    z: NDArray[np.float32] = np.ascontiguousarray(xyz[..., 2])
    if not np.isfinite(z).all():
        count = np.count_nonzero(~np.isfinite(z))
        raise DatasetError(
            f"{path}: found {count} NaN or infinite z; expected metres, 0 where there is no value"
        )
    if not z.any():
        raise DatasetError(
            f"{path}: every z is 0, so there is no depth; expected metres, 0 where there is no value"
        )
    return z


def check_header(path: Path, size: tuple[int, int]) -> None:
    """Refuse a point cloud that is unreadable, or of another size or type, without reading its values.

    Parameters and errors: see `read_z`.
    """
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            shape, dtype = series.shape, series.dtype
    except Exception as error:  # as in read_z
        raise DatasetError(f"{path}: not a readable TIFF file ({error}); expected {_EXPECTED}") from None
    _check_shape(path, shape, dtype, size)


def _check_shape(
    path: Path, found: tuple[int, ...], dtype: np.dtype[Any] | None, size: tuple[int, int]
) -> None:
    if len(found) != 3 or found[2] != 3 or dtype != np.float32:
        shape = "x".join(map(str, found))
        raise DatasetError(f"{path}: found {shape} values of type {dtype}; expected {_EXPECTED}")
    height, width = found[:2]
    if (width, height) != size:
        raise DatasetError(
            f"{path}: the point cloud has {width}x{height} pixels, its image {size[0]}x{size[1]}; expected "
            "a point cloud of the size of its image"
        )
