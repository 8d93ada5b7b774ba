"""Files of arrays that are filled row by row and need not fit into memory."""

import os
from pathlib import Path
from typing import IO

import numpy as np


def create_array(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> np.memmap:
    """Create an `.npy` file of zeros and map it into memory: what is written to the array goes to the file.

    Raises
    ------
    OSError
        If the file cannot be written, or the disk has no room for all of it.
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    with path.open("r+b") as file:
        reserve(file, path.stat().st_size)
    return array


def reserve(file: IO[bytes], size: int) -> None:
    """Reserve the blocks of a file now: on a full disk a mapped write would kill the process, this is an OSError."""
    os.posix_fallocate(file.fileno(), 0, size)
