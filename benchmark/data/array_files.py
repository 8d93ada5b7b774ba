"""Files of arrays that are filled row by row and need not fit into memory."""

import os
from pathlib import Path

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
        # reserve the blocks now: on a full disk a mapped write would kill the process, this is an error
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array
