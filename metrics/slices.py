"""Maps and masks that may lie on disk, read and checked a few images at a time."""

from collections.abc import Iterator
from typing import Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import binary_array, real_array
from metrics.errors import MetricError

#: Pixels that are read at a time: few enough that a slice stays in the processor's cache.
SLICE_PIXELS = 2**20


class Sliceable(Protocol):
    """The interface of images on disk: their shape (N, H, W), and arrays (b - a, H, W) by ``[a:b]``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (N, H, W)."""

    def __getitem__(self, images: slice, /) -> ArrayLike:
        """Return some consecutive images, (b - a, H, W)."""


#: Images (N, H, W): an array, one mapped from a file, nested lists, or a reader of a file.
Stack: TypeAlias = ArrayLike | Sliceable


def open_stack(name: str, images: Stack) -> Sliceable:
    """Check the shape (N, H, W) of images and return them, as an array if they were lists, without reading them.

    Raises
    ------
    MetricError
        If they have another number of axes, or images have no pixel.
    """
    stack = cast(Sliceable, images if hasattr(images, "shape") else np.asarray(images))
    shape = tuple(stack.shape)
    if len(shape) != 3:
        raise MetricError(f"{name}: found shape {shape}; expected (N, H, W)")
    if shape[0] and not shape[1] * shape[2]:
        raise MetricError(f"{name}: found shape {shape}; expected images of at least one pixel")
    return stack


def open_stacks(maps: Stack, masks: Stack) -> tuple[Sliceable, Sliceable]:
    """Check and return maps and masks as `open_stack` does.

    Raises
    ------
    MetricError
        As `open_stack`, and if their shapes differ.
    """
    map_stack = open_stack("maps", maps)
    mask_stack = cast(Sliceable, masks if hasattr(masks, "shape") else np.asarray(masks))
    if tuple(mask_stack.shape) != tuple(map_stack.shape):
        raise MetricError(
            f"masks: found shape {tuple(mask_stack.shape)}; expected {tuple(map_stack.shape)}, as the maps"
        )
    return map_stack, mask_stack


class Selection:
    """Some images of a stack, in ascending order: only what is asked for is read.

    Parameters
    ----------
    stack
        All images, (N, H, W).
    chosen : bool array (N,)
        True for each image that belongs to the selection.

    Examples
    --------
    >>> Selection(np.arange(4.0).reshape(4, 1, 1), np.array([True, False, True, True]))[0:2].ravel()
    array([0., 2.])
    """

    def __init__(self, stack: Sliceable, chosen: NDArray[np.bool_]) -> None:
        self._stack, self._positions = stack, np.flatnonzero(chosen)
        self.shape = (self._positions.size, *stack.shape[1:])

    def __getitem__(self, images: slice, /) -> NDArray:
        """Return some consecutive images of the selection, read in runs of consecutive images of the stack."""
        positions = self._positions[images]
        if not positions.size:
            return np.asarray(self._stack[0:0])
        runs = np.split(positions, np.flatnonzero(np.diff(positions) > 1) + 1)
        parts = [np.asarray(self._stack[int(run[0]) : int(run[-1]) + 1]) for run in runs]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def map_maxima(maps: Sliceable) -> NDArray[np.floating]:
    """Return the largest score of each map, (N,), read a few maps at a time.

    Raises
    ------
    MetricError
        If a map has NaN or infinity.
    """
    maxima = [read_maps(maps, part).max(axis=(1, 2)) for part in slices(maps)]
    return np.concatenate(maxima) if maxima else np.empty(0, np.float32)


def slices(stack: Sliceable, pixels: int = SLICE_PIXELS) -> list[slice]:
    """Cut a stack into slices of whole images that have about so many pixels.

    Examples
    --------
    >>> slices(np.zeros((5, 10, 10)), pixels=250)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    count, height, width = stack.shape
    step = max(1, pixels // max(1, height * width))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def read_maps(maps: Sliceable, part: slice) -> NDArray[np.floating]:
    """Return a slice of maps as floating numbers, all of them finite."""
    array = real_array("maps", maps[part], ndim=3)
    expected = (part.stop - part.start, *maps.shape[1:])
    if array.shape != expected:
        raise MetricError(f"maps[{part.start}:{part.stop}]: found shape {array.shape}; expected {expected}")
    # NaN and infinity always show in the extremes, which are faster to find than a check of every value
    if not np.isfinite([array.min(), array.max()]).all():
        image = int(np.flatnonzero(~np.isfinite(array).all(axis=(1, 2)))[0])
        bad = np.count_nonzero(~np.isfinite(array[image]))
        raise MetricError(
            f"maps: found NaN or infinity in {bad} of {array[image].size} pixels of map {part.start + image}; "
            "expected finite numbers"
        )
    return array


def read_masks(masks: Sliceable, part: slice) -> NDArray[np.bool_]:
    """Return a slice of masks as booleans."""
    return binary_array("masks", masks[part], (part.stop - part.start, *masks.shape[1:]))


def anomalous_images(maps: Stack, masks: Stack) -> Iterator[tuple[NDArray[np.floating], NDArray[np.bool_]]]:
    """Yield the map and the mask, (H, W) each, of every image whose mask has an anomalous pixel.

    Raises
    ------
    MetricError
        As `metrics.count_pixels`.
    """
    maps, masks = open_stacks(maps, masks)
    for part in slices(maps):
        anomalous = read_masks(masks, part)
        scores = read_maps(maps, part)
        for image in np.flatnonzero(anomalous.any(axis=(1, 2))):
            yield scores[image], anomalous[image]
