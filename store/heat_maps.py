"""Anomaly maps as colours over their images."""

from collections.abc import Iterable

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from store.predictions import COLOURS, OPACITY, ColourScale

LEVELS = 256
CONTOUR = (0, 255, 255)
CONTOUR_PART = 400
"""The contour's width is the shorter side of the image divided by this, at least one pixel."""
PREVIEW, GAP = 176, 3
"""Longest side of each picture of a preview, and what lies between them, pixels."""

PALETTE = (colormaps[COLOURS](np.linspace(0, 1, LEVELS))[:, :3] * 255).round().astype(np.uint8)
OPACITIES = (np.interp(np.linspace(0, 1, LEVELS), *OPACITY) * 255).round().tolist()


def colour_scale(maps: Iterable[NDArray[np.float32]], contour: float | None) -> ColourScale:
    """Return the scale of heat maps that are to be compared, from some of the maps.

    It begins at the median of their pixels, as most pixels are normal, and has the contour, the pixel threshold, in its
    middle. Without one it ends at the 99.9th percentile. Undefined pixels do not count.
    """
    pixels = np.concatenate([values[np.isfinite(values)] for values in maps])
    if not pixels.size:
        return ColourScale(0.0, 1.0, contour)
    low, top, lowest, highest = (
        float(value) for value in (*np.percentile(pixels, (50, 99.9)), pixels.min(), pixels.max())
    )
    if contour is None:
        high = top
    elif contour > low:
        high = 2 * contour - low
    else:  # half of the pixels or more are above the threshold
        low, high = min(lowest, contour), highest
    return ColourScale(low, high if high > low else low + 1.0, contour)


def heat_map(image: Image.Image, anomaly_map: NDArray[np.float32], scale: ColourScale) -> Image.Image:
    """Draw a map over its image, at the image's size: colours by `scale`, and a line around what reaches its contour.

    Parameters
    ----------
    image
        RGB, of any size.
    anomaly_map
        (H, W), of any size.
    """
    scaled = np.nan_to_num((anomaly_map - scale.low) / (scale.high - scale.low))
    levels = Image.fromarray(((LEVELS - 1) * scaled.clip(0, 1)).round().astype(np.uint8))
    # one byte a pixel: images may have hundreds of millions
    levels = levels.resize(image.size, Image.Resampling.BILINEAR)
    opacity = levels.point(OPACITIES)
    if scale.contour is not None:
        reached = np.asarray(levels) >= (LEVELS - 1) * scale.position(scale.contour)
        line = outline(reached, max(1, min(image.size) // CONTOUR_PART))
    levels.putpalette(PALETTE.tobytes())
    drawn = Image.composite(levels.convert("RGB"), image, opacity)
    if scale.contour is not None:
        drawn.paste(CONTOUR, mask=Image.fromarray(line))
    return drawn


def preview(image: Image.Image, drawn: Image.Image) -> Image.Image:
    """Return an image and its heat map side by side, small."""
    small = [picture.copy() for picture in (image, drawn)]
    for picture in small:
        picture.thumbnail((PREVIEW, PREVIEW), reducing_gap=3.0)
    width, height = small[0].size
    pair = Image.new("RGB", (2 * width + GAP, height), "white")
    for number, picture in enumerate(small):
        pair.paste(picture, (number * (width + GAP), 0))
    return pair


def outline(reached: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Return the inner border of a region, so many pixels wide."""
    inside = reached.copy()
    for shift in range(1, width + 1):
        inside[shift:] &= reached[:-shift]
        inside[:-shift] &= reached[shift:]
        inside[:, shift:] &= reached[:, :-shift]
        inside[:, :-shift] &= reached[:, shift:]
    return reached & ~inside
