"""Connected regions of the ground truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Pixels that touch at an edge or at a corner belong together.
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Regions:
    """The connected components (8-connectivity) of all masks, pooled.

    Attributes
    ----------
    pixels : int64 array (M,)
        For each of the M defective pixels, in the order of ``maps[masks]``, its region: 0 to K - 1.
    areas : int64 array (K,)
        Pixels of each region.
    images : int64 array (K,)
        Position of the mask that each region lies in.
    """

    pixels: NDArray[np.int64]
    areas: NDArray[np.int64]
    images: NDArray[np.int64]


def find_regions(masks: NDArray[np.bool_]) -> Regions:
    """Find the regions of masks (N, H, W), True where a pixel is defective.

    Examples
    --------
    >>> masks = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 0]], [[1, 0, 1], [1, 0, 0], [0, 0, 0]]], bool)
    >>> found = find_regions(masks)
    >>> found.pixels, found.areas, found.images
    (array([0, 0, 1, 2, 1]), array([2, 2, 1]), array([0, 1, 1]))
    """
    rows, columns = np.any(masks, axis=2), np.any(masks, axis=1)
    pixels, areas, images = ([np.empty(0, np.int64)] for _ in range(3))
    count = 0
    for image in np.flatnonzero(rows.any(axis=1)):
        # Defects fill a small part of most images: only their bounding box needs labels. Cropping keeps
        # the row-by-row order of the defective pixels.
        y, x = np.flatnonzero(rows[image]), np.flatnonzero(columns[image])
        box = masks[image, y[0] : y[-1] + 1, x[0] : x[-1] + 1]
        labels, found = ndimage.label(box, structure=_EIGHT_NEIGHBOURS)
        region = labels[box].astype(np.int64) - 1
        pixels.append(region + count)
        areas.append(np.bincount(region))
        images.append(np.full(found, image))
        count += found
    return Regions(np.concatenate(pixels), np.concatenate(areas), np.concatenate(images))
