"""Arrays of rows that lie in memory, on the device or in a file, read by position."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Rows:
    """N rows of any shape: a tensor in memory or on the device, or a memory-mapped file.

    16-bit rows are bfloat16 numbers, which numpy knows as their bits only.
    """

    tensor: Tensor | None
    mapped: NDArray[np.generic] | None
    home: torch.device

    def take(self, at: Tensor) -> Tensor:
        """Return the rows at (B,) positions on the home device, as a tensor there."""
        if self.tensor is not None:
            return self.tensor.index_select(0, at)
        assert self.mapped is not None
        return to_tensor(self.mapped[at.numpy()])


def place(array: NDArray[np.generic], device: torch.device | None) -> Rows:
    """Bring an array to a device's memory; None leaves it where it is, read row by row."""
    if device is None:
        return Rows(None, array, CPU)
    return Rows(to_tensor(array).to(device), None, device)


def to_tensor(array: NDArray[np.generic]) -> Tensor:
    """Copy an array, or some rows of a mapped file, to a tensor in memory."""
    tensor = torch.from_numpy(np.array(array))
    return tensor.view(torch.bfloat16) if array.dtype == np.uint16 else tensor
