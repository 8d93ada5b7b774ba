"""From a trained method to anomaly maps and image scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.data.batches import Images
from benchmark.errors import BenchmarkError
from datasets.batch import Batch
from methods.method import Method

MEMORY_BYTES = 2**27
"""Maps of a test set that take more are written to a file while they are made."""


class MapArray(Protocol):
    """Anomaly maps (N, H, W) float32, in memory or in a file, read by slices."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W)."""

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        """Return the maps of a slice, or one map."""


class MapFile:
    """Maps (N, H, W) float32 in a file; only what is asked for is read into memory."""

    def __init__(self, file: IO[bytes], shape: tuple[int, int, int]) -> None:
        self.file, self.shape = file, shape
        self.dtype = np.dtype(np.float32)

    def __del__(self) -> None:
        """Close the file, which deletes a temporary one."""
        self.file.close()

    def __len__(self) -> int:
        """Return N."""
        return self.shape[0]

    def __getitem__(self, rows: slice | int | np.integer) -> NDArray[np.float32]:
        """Return the maps of a slice, or one map."""
        if not isinstance(rows, slice):
            return self[int(rows) : int(rows) + 1][0]
        first, last, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"maps in a file: found a slice with step {step}; expected step 1")
        pixels = self.shape[1] * self.shape[2]
        self.file.seek(first * pixels * self.dtype.itemsize)
        values = np.fromfile(self.file, np.float32, max(last - first, 0) * pixels)
        return values.reshape(-1, *self.shape[1:])

    def write(self, first: int, maps: NDArray[np.float32]) -> None:
        """Write maps (n, H, W) from a position on."""
        self.file.seek(first * maps[0].nbytes)
        # not `tofile`, which reports a full disk without saying so
        self.file.write(np.ascontiguousarray(maps).data.cast("B"))


@dataclass(frozen=True)
class Scores:
    """Anomaly scores of N images.

    Attributes
    ----------
    maps
        (N, H, W) float32, at image size.
    images
        (N,) float64.
    map_max
        (N,) float32, the maximum of each map.
    """

    maps: MapArray
    images: NDArray[np.float64]
    map_max: NDArray[np.float32]


def predict(method: Method, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the maps (B, H, W), enlarged to image size, and the scores (B,) of a batch.

    Raises
    ------
    BenchmarkError
        If the method returns something else than floating-point maps (B, h, w) and scores (B,).
    """
    count = batch.image.shape[0]
    found = method.anomaly_map(batch)
    small = _checked(method, "anomaly_map", found, (count, "h", "w")).float()
    enlarged = method.enlarged(small, batch)
    scores = method.image_score(enlarged if method.scores_enlarged_maps else small, batch)
    return enlarged, _checked(method, "image_score", scores, (count,))


def _checked(method: Method, hook: str, found: Any, expected: tuple[int | str, ...]) -> Tensor:
    """Return a floating-point tensor of the expected shape, in which letters are any positive numbers."""
    is_tensor = isinstance(found, Tensor) and found.is_floating_point()
    if is_tensor and found.numel() and found.dim() == len(expected) and found.shape[0] == expected[0]:
        return found
    shape = (
        f"shape {tuple(found.shape)} of {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
    )
    wanted = f"({', '.join(map(str, expected))}{',' * (len(expected) == 1)})"
    raise BenchmarkError(
        f"{type(method).__name__}.{hook}: found {shape} for {expected[0]} images; expected shape {wanted} of "
        "floating-point numbers"
    )


def score(method: Method, images: Images, batch_size: int, scratch: Path | None = None) -> Scores:
    """Score all images, in order.

    Parameters
    ----------
    scratch
        The folder for a temporary file of the maps if they take more than `MEMORY_BYTES`; None: they are always
        held in memory.

    Raises
    ------
    BenchmarkError
        If the method returns something else than maps and scores, or NaN or infinity; the message names the image.
    OSError
        If the file cannot be written.
    """
    method.eval()
    side = images.stored.images.shape[1]
    shape = (len(images), side, side)
    in_file = scratch is not None and 4 * int(np.prod(shape)) > MEMORY_BYTES
    maps: Any = MapFile(TemporaryFile(dir=scratch), shape) if in_file else np.empty(shape, np.float32)  # noqa: SIM115
    scores = np.empty(len(images))
    map_max = np.empty(len(images), np.float32)
    first = 0
    with torch.no_grad(), images.runtime.autocast():
        for batch in images.batches(batch_size):
            anomaly_map, image_score = predict(method, batch)
            values, rows = anomaly_map.cpu().numpy(), slice(first, first + len(batch))
            scores[rows], map_max[rows] = image_score.double().cpu().numpy(), values.max((1, 2))
            _check_finite(method, batch.paths, values, scores[rows])
            if in_file:
                maps.write(first, values)
            else:
                maps[rows] = values
            first = rows.stop
            del batch, anomaly_map, values  # before the next batch needs the memory
    return Scores(maps, scores, map_max)


def _check_finite(
    method: Method, paths: Sequence[str], maps: NDArray[np.float32], scores: NDArray[np.float64]
) -> None:
    """Refuse NaN and infinity, which no measure could take; the first image is named."""
    # they always show in the extremes, which are faster to find than a check of every value
    finite_maps = np.isfinite(maps.max((1, 2))) & np.isfinite(maps.min((1, 2)))
    bad = np.flatnonzero(~finite_maps | ~np.isfinite(scores))
    if bad.size == 0:
        return
    image = int(bad[0])
    pixels = maps[image].size - np.count_nonzero(np.isfinite(maps[image]))
    where = f"{pixels} of {maps[image].size} pixels of its anomaly map" if pixels else "its image score"
    raise BenchmarkError(
        f"{paths[image]}: {type(method).__name__} gives NaN or infinity in {where}; expected finite numbers"
    )
