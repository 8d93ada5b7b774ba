"""Reads one image or mask file: any mode to 8-bit RGB, any mask to booleans, or an error that names the file."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.errors import DatasetError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

LARGE = Image.MAX_IMAGE_PIXELS or 0
"""Pixels from which Pillow warns of an image, and of which it refuses twice as many; the inspection warns instead."""

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Header(NamedTuple):
    """What a file says of its image before it is decoded.

    Attributes
    ----------
    size
        Width and height, pixels.
    mode
        Pillow's mode; `I;16` and the like for 16-bit grey values.
    is_deep_colour
        Whether colours have 16 bits, of which the upper 8 are read.
    """

    size: tuple[int, int]
    mode: str
    is_deep_colour: bool


def read_header(path: Path) -> Header:
    """Read what a file says of its image; nothing is decoded.

    Raises
    ------
    DatasetError
        If the file is missing, empty, no image, or too large.
    """
    with _opened(path) as image:
        return _header(image)


def read_image(path: Path, bit_depth: int | None = None) -> Image.Image:
    """Read an image as 8-bit RGB.

    Grey values are repeated over the channels, 16-bit grey values are scaled to 0..255, palettes are resolved, and
    an alpha channel is dropped (the stored colours are used unchanged).

    Parameters
    ----------
    path
        The image file.
    bit_depth
        How many bits of 16-bit grey values the camera uses: 2**bit_depth - 1 becomes 255. None: all 16.

    Raises
    ------
    DatasetError
        If the file is missing, empty, damaged, no image, too large, or holds floating-point values; if it has
        values that `bit_depth` excludes, or 16-bit colours although `bit_depth` is given.
    """
    image, header = _read(path)
    if image.mode == "F":
        raise DatasetError(f"{path}: found floating-point pixels; expected 8- or 16-bit images")
    if bit_depth is not None and header.is_deep_colour:
        raise DatasetError(
            f"{path}: found 16-bit colours, of which the upper 8 bits are read, so that "
            f"dataset.bit_depth={bit_depth} cannot be applied; expected 16-bit grey values, or 8-bit colours"
        )
    if image.mode.startswith("I"):
        image = Image.fromarray(_to_8_bits(path, np.asarray(image).astype(np.int64), bit_depth))
    return image.convert("RGB")


def _to_8_bits(path: Path, values: NDArray[np.int64], bit_depth: int | None) -> NDArray[np.uint8]:
    top = 2 ** (bit_depth or 16) - 1
    lowest, highest = values.min(), values.max()
    if lowest < 0 or highest > top:
        expected = f"at most {top} with dataset.bit_depth={bit_depth}" if bit_depth else "8- or 16-bit images"
        raise DatasetError(f"{path}: found pixels of {lowest} to {highest}; expected {expected}")
    return (values / (top / 255)).round().astype(np.uint8)


def largest_value(path: Path) -> int:
    """Return the largest value of an image's pixels; of 16-bit colours, that of the upper 8 bits."""
    return int(np.max(np.asarray(_read(path)[0])))


class MaskValues(NamedTuple):
    """The values of a mask before a threshold decides on them.

    Attributes
    ----------
    values
        (height, width) numbers.
    from_alpha
        Whether they are those of the alpha channel, as the colours are constant.
    """

    values: NDArray[np.generic]
    from_alpha: bool = False


def read_mask_values(path: Path, size: tuple[int, int], threshold: float | None = None) -> MaskValues:
    """Read the values of a mask: its grey values, or its alpha channel if that alone holds the regions.

    Colours count by their luminance, but at least 1 unless they are black. Parameters and errors: see `read_mask`.
    """
    mask, _ = _read(path)
    if mask.size != size:
        raise DatasetError(
            f"{path}: the mask has {mask.width}x{mask.height} pixels, its image {size[0]}x{size[1]}; "
            "expected a mask of the size of its image"
        )
    if mask.mode.startswith(("I", "F")):
        values = np.asarray(mask)
        if not np.isfinite(values).all():
            raise DatasetError(f"{path}: the mask holds NaN or infinite values; expected numbers")
        return MaskValues(values)
    if mask.mode in ("1", "L"):
        return MaskValues(np.asarray(mask if mask.mode == "L" else mask.convert("L")))
    colours = np.asarray(mask.convert("RGB"))
    values = np.maximum(np.asarray(mask.convert("RGB").convert("L")), colours.any(axis=-1))
    alpha = np.asarray(mask.getchannel("A")) if "A" in mask.getbands() else None
    is_blank = alpha is not None and not alpha.any() and _is_constant(values)
    if alpha is None or (_is_constant(alpha) and not is_blank):
        return MaskValues(values)
    if _is_constant(values):
        return MaskValues(alpha, from_alpha=True)
    if not np.array_equal(values > (threshold or 0), alpha > (threshold or 0)):
        raise DatasetError(
            f"{path}: the mask's colours and its alpha channel mark different regions, found grey values "
            f"{describe(value_shares(values))} and alpha {describe(value_shares(alpha))}; expected the regions in one "
            "of them and the other constant"
        )
    return MaskValues(values)


def check_binary(
    path: Path, shares: Mapping[float, float], threshold: float | None, from_alpha: bool = False
) -> None:
    """Refuse the values of a mask that need a threshold if none is given: see `read_mask`."""
    if threshold is None and (len(shares) > 2 or (len(shares) == 2 and min(shares) != 0)):
        where = " in its alpha channel" if from_alpha else ""
        raise DatasetError(
            f"{path}: the mask is not binary, found {len(shares)} values{where}: {describe(shares)}; expected 0 and "
            "one other value, or dataset.mask_threshold set to the value above which a pixel is anomalous"
        )


def read_mask(path: Path, size: tuple[int, int], threshold: float | None = None) -> NDArray[np.bool_]:
    """Read a ground-truth mask.

    Parameters
    ----------
    path
        An image of one channel, or of colours; or with an alpha channel that alone holds the regions.
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
        If the mask cannot be read, has another size than its image, is not binary, or marks other regions by its
        colours than by its alpha channel.
    """
    values, from_alpha = read_mask_values(path, size, threshold)
    check_binary(path, value_shares(values), threshold, from_alpha)
    return np.greater(values, threshold or 0)


def value_shares(values: NDArray[np.generic]) -> dict[float, float]:
    """Return {value: share of the pixels}, sorted by value."""
    if values.dtype == np.uint8:  # Pillow counts in a tenth of numpy's time
        counts = np.array(Image.fromarray(values).histogram())
        found = np.flatnonzero(counts)
        counts = counts[found]
    else:
        found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), (counts / values.size).tolist(), strict=True))


def describe(shares: Mapping[float, float]) -> str:
    """List values with their shares: `0 (93.2 %), 255 (6.8 %)`; the first five."""
    listed = [f"{value:g} ({100 * share:.1f} %)" for value, share in list(shares.items())[:5]]
    return ", ".join(listed) + (", ..." if len(shares) > 5 else "")


def _is_constant(values: NDArray[np.generic]) -> bool:
    return bool(np.all(values == values.flat[0]))


def _read(path: Path) -> tuple[Image.Image, Header]:
    """Decode a file completely, so that damage is found here; resolve a palette."""
    with _opened(path) as image:
        header = _header(image)
        image.load()
        return image.convert("RGBA") if image.mode == "P" else image, header


def _header(image: Image.Image) -> Header:
    raw = [str(argument) for tile in getattr(image, "tile", ()) for argument in tile[3:]]
    is_deep = any(";16" in argument for argument in raw)
    return Header(image.size, image.mode, is_deep and not image.mode.startswith("I"))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file; whatever fails meanwhile becomes an error that names it."""
    try:
        with Image.open(path) as image:
            yield image
    except DatasetError:
        raise
    except FileNotFoundError:
        raise DatasetError(f"{path}: there is no such file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = str(error).partition(",")[0]
        raise DatasetError(
            f"{path}: the image is too large ({reason}); expected at most {2 * LARGE} pixels: make the files smaller, "
            "as each is resized to method.training.image_size"
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        size = path.stat().st_size
        reason = "the file is empty" if size == 0 else str(error).replace(str(path), path.name)
        raise DatasetError(
            f"{path}: not a readable image ({reason}); expected complete "
            f"{', '.join(sorted(IMAGE_SUFFIXES))} files"
        ) from None


def resize_image(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Resize to (side, side, 3), bilinear with antialiasing, as in the methods' released code."""
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


def resize_mask(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Resize to (side, side): a pixel is anomalous if at least half of the area that it covers is."""
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(grey.resize((side, side), Image.Resampling.BILINEAR)) > 127
