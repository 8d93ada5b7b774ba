"""Connected regions of the ground truth."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Pixels that touch at an edge or at a corner belong together.
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def region_areas(masks: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
    """Area of the region each defective pixel belongs to, and the number of regions.

    A region is a connected component (8-connectivity) of one mask; regions of all masks are pooled.

    Parameters
    ----------
    masks : bool array (N, H, W)
        True where a pixel is defective.

    Returns
    -------
    area : int64 array (M,)
        For each of the M defective pixels, in the order of ``maps[masks]``, the pixels of its region.
    regions : int
        The number K of regions over all masks.

    Examples
    --------
    >>> masks = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 0]], [[1, 0, 1], [1, 0, 0], [0, 0, 0]]], bool)
    >>> region_areas(masks)
    (array([2, 2, 2, 1, 2]), 3)
    """
    rows, columns = np.any(masks, axis=2), np.any(masks, axis=1)
    area, regions = [np.empty(0, np.int64)], 0
    for image in np.flatnonzero(rows.any(axis=1)):
        # Defects fill a small part of most images: only their bounding box needs labels. Cropping keeps
        # the row-by-row order of the defective pixels.
        y, x = np.flatnonzero(rows[image]), np.flatnonzero(columns[image])
        box = masks[image, y[0] : y[-1] + 1, x[0] : x[-1] + 1]
        labels, count = ndimage.label(box, structure=_EIGHT_NEIGHBOURS)
        region = labels[box]
        area.append(np.bincount(region)[region])
        regions += count
    return np.concatenate(area), regions
