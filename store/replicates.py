"""The numbers of a cell on resamples of its test images: the writer next to the reader."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.tags import REPLICATES

_IMAGES = "images"


@dataclass(frozen=True)
class StoredReplicates:
    """Numbers of a cell on R resamples of its test images.

    Attributes
    ----------
    values
        {metric: (R,) float32}; NaN where it is undefined.
    images
        Test images of the class that has fewer, of those that the test set has.
    """

    values: Mapping[str, NDArray[np.float32]]
    images: int


def write_replicates(
    folder: Path, values: Mapping[str, NDArray[np.float32]], normal: int, anomalous: int
) -> None:
    """Write a cell's metrics on resamples, {metric: (R,)}, and the numbers of test images."""
    arrays: dict[str, Any] = {_IMAGES: np.array([normal, anomalous]), **values}
    np.savez_compressed(folder / REPLICATES, **arrays)


def read_replicates(path: Path) -> StoredReplicates:
    """Read the metrics on resamples."""
    with path.open("rb") as file, np.load(file) as stored:
        values = {name: stored[name] for name in stored.files}
    counts = values.pop(_IMAGES)
    shapes = {value.shape for value in values.values()}
    if counts.shape != (2,) or len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        raise ValueError(
            f"found arrays of shapes {[*shapes]}; expected one shape (R,), and two numbers of images"
        )
    return StoredReplicates(values, min((int(count) for count in counts if count), default=0))
