"""Decodes one sample: its files -> arrays of a fixed size (image, mask, depth, foreground).

Decoded arrays are stored under a key that contains the code of all modules imported here, so this module imports
only those that can change the arrays.
"""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from datasets.category import Sample
from datasets.depth import read_depth
from datasets.images import read_image, read_mask, resize_image, resize_mask


@dataclass(frozen=True)
class Decoded:
    """The arrays of one sample, and properties of its files.

    Attributes
    ----------
    arrays
        images (side, side, 3) uint8; masks (side, side) bool if there is ground truth; depth
        (depth_side, depth_side) float32 in centimetres and foreground, bool, if there is a point cloud.
    size
        Width and height of the image file, pixels.
    has_corners
        Whether the point cloud has depth in all four corners; True without a point cloud.
    """

    arrays: dict[str, NDArray[Any]]
    size: tuple[int, int]
    has_corners: bool = True


def decode(
    sample: Sample,
    image_side: int,
    depth_side: int | None = None,
    mask_threshold: float | None = None,
    bit_depth: int | None = None,
) -> Decoded:
    """Read the files of one sample and resize their contents.

    Parameters
    ----------
    sample
        The image, and its mask and point cloud if it has them.
    image_side
        Width and height of the decoded image and mask, pixels.
    depth_side
        Width and height of the prepared depth, pixels; None: the point cloud is not read.
    mask_threshold
        See `datasets.images.read_mask`.
    bit_depth
        See `datasets.images.read_image`.

    Raises
    ------
    DatasetError
        If a file cannot be read, or the files do not fit together; the message names the file.
    """
    image = read_image(sample.image, bit_depth)
    arrays: dict[str, NDArray[Any]] = {"images": resize_image(image, image_side)}
    has_corners = True
    if sample.mask is not None:
        arrays["masks"] = resize_mask(read_mask(sample.mask, image.size, mask_threshold), image_side)
    if sample.xyz is not None and depth_side is not None:
        prepared = read_depth(sample.xyz, image.size, depth_side)
        arrays |= {"depth": prepared.depth, "foreground": prepared.foreground}
        has_corners = prepared.corners
    return Decoded(arrays, image.size, has_corners)
