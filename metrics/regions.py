"""Connected regions of the ground truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Pixels that touch at an edge or at a corner belong together.
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Regions:
    """The connected components (8-connectivity) of all masks, pooled.

    Attributes
    ----------
    pixels : int64 array (M,)
        For each of the M anomalous pixels, in the order of ``maps[masks]``, its region: 0 to K - 1.
    areas : int64 array (K,)
        Pixels of each region.
    images : int64 array (K,)
        Position of the mask that each region lies in.
    """

    pixels: NDArray[np.int64]
    areas: NDArray[np.int64]
    images: NDArray[np.int64]


def find_regions(masks: NDArray[np.bool_]) -> Regions:
    """Find the regions of masks (N, H, W), True where a pixel is anomalous.

    Examples
    --------
    >>> masks = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 0]], [[1, 0, 1], [1, 0, 0], [0, 0, 0]]], bool)
    >>> regions = find_regions(masks)
    >>> regions.pixels, regions.areas, regions.images
    (array([0, 0, 1, 2, 1]), array([2, 2, 1]), array([0, 1, 1]))
    """
    from scipy import ndimage  # 0.2 s, for which a report that only reads names need not wait

    rows, columns = np.any(masks, axis=2), np.any(masks, axis=1)
    pixels, areas, images = ([np.empty(0, np.int64)] for _ in range(3))
    count = 0
    for image in np.flatnonzero(rows.any(axis=1)):
        # Anomalies fill a small part of most images: only their bounding box needs labels. Cropping keeps
        # the row-by-row order of the anomalous pixels.
        y, x = np.flatnonzero(rows[image]), np.flatnonzero(columns[image])
        box = masks[image, y[0] : y[-1] + 1, x[0] : x[-1] + 1]
        labels, number = ndimage.label(box, structure=_EIGHT_NEIGHBOURS)
        region = labels[box].astype(np.int64) - 1
        pixels.append(region + count)
        areas.append(np.bincount(region))
        images.append(np.full(number, image))
        count += number
    return Regions(np.concatenate(pixels), np.concatenate(areas), np.concatenate(images))
