"""Reads one image or mask file: any mode to 8-bit RGB, any mask to booleans, or an error that names the file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.errors import DatasetError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


def image_files(folder: Path) -> list[Path]:
    """List the image files of a folder, sorted by name; hidden and other files are ignored.

    Raises
    ------
    DatasetError
        If an image is a link to a file that does not exist.
    """
    paths = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(path for path in paths if not path.name.startswith(".") and _is_file(path))


def _is_file(path: Path) -> bool:
    if path.is_symlink() and not path.exists():
        raise DatasetError(
            f"{path}: found a link to {path.readlink()}, which does not exist; expected a file (datasets under "
            "git-annex or DVC: fetch the content first)"
        )
    return path.is_file()


def _open(path: Path) -> Image.Image:
    """Decode a file completely, so that damage is found here; resolve a palette."""
    try:
        with Image.open(path) as image:
            image.load()
            return image.convert("RGBA") if image.mode == "P" else image
    except FileNotFoundError:
        raise DatasetError(f"{path}: there is no such file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        size = path.stat().st_size
        reason = "the file is empty" if size == 0 else str(error).replace(str(path), path.name)
        raise DatasetError(
            f"{path}: not a readable image ({reason}); expected complete "
            f"{', '.join(sorted(IMAGE_SUFFIXES))} files"
        ) from None


def read_image(path: Path) -> Image.Image:
    """Read an image as 8-bit RGB.

    Grey values are repeated over the channels, 16-bit values are scaled from 0..65535 to 0..255, palettes
    are resolved, and an alpha channel is dropped (the stored colours are used unchanged).

    Raises
    ------
    DatasetError
        If the file is missing, empty, damaged, no image, or holds floating-point values.
    """
    image = _open(path)
    if image.mode == "F":
        raise DatasetError(f"{path}: found floating-point pixels; expected 8- or 16-bit images")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise DatasetError(
                f"{path}: found pixels of {values.min()} to {values.max()}; expected 8- or 16-bit images"
            )
        image = Image.fromarray((values / 257).round().astype(np.uint8))
    return image.convert("RGB")


def read_mask(path: Path, size: tuple[int, int], threshold: int | None = None) -> NDArray[np.bool_]:
    """Read a ground-truth mask.

    Parameters
    ----------
    path
        An image of one channel; colours are converted to their luminance.
    size
        Width and height of the image that it belongs to, in pixels.
    threshold
        None: the mask must have at most two values, 0 and another. A number: greater values are anomalous.

    Returns
    -------
    (height, width) booleans, True on anomalous pixels.

    Raises
    ------
    DatasetError
        If the mask cannot be read, has another size than its image, or is not binary.
    """
    mask = _open(path)
    if mask.size != size:
        raise DatasetError(
            f"{path}: the mask has {mask.width}x{mask.height} pixels, its image {size[0]}x{size[1]}; "
            "expected a mask of the size of its image"
        )
    values = np.asarray(mask if mask.mode.startswith(("I", "F")) else mask.convert("L"))
    if threshold is not None:
        return values > threshold
    found = np.unique(values)
    if len(found) > 2 or (len(found) == 2 and found[0] != 0):
        shown = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
        raise DatasetError(
            f"{path}: the mask is not binary, found {len(found)} values ({shown}); expected 0 and one other "
            "value, or dataset.mask_threshold set to the value above which a pixel is anomalous"
        )
    return values > 0


def resize_image(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Resize to (side, side, 3), bilinear with antialiasing, as in the methods' released code."""
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


def resize_mask(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Resize to (side, side): a pixel is anomalous if at least half of the area that it covers is."""
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(grey.resize((side, side), Image.Resampling.BILINEAR)) > 127
