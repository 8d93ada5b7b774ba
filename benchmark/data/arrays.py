"""Arrays of N rows in memory, on the device or in a file, read by position."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CPU = torch.device("cpu")


@dataclass(frozen=True)
class RowArray:
    """N rows of any shape: a tensor in memory or on the device, or a memory-mapped file.

    16-bit rows are bfloat16 numbers, which numpy knows as their bits only.
    """

    tensor: Tensor | None
    mapped: NDArray[np.generic] | None
    device: torch.device

    def __getitem__(self, positions: Tensor) -> Tensor:
        """Return the rows at (B,) positions, as a tensor on the array's device."""
        if self.tensor is not None:
            return self.tensor.index_select(0, positions.to(self.device))
        assert self.mapped is not None
        return to_tensor(self.mapped[positions.cpu().numpy()])


def to_device(array: NDArray[np.generic], device: torch.device | None) -> RowArray:
    """Bring an array to a device's memory; None leaves it in its file, to be read row by row."""
    if device is None:
        return RowArray(None, array, CPU)
    return RowArray(to_tensor(array).to(device), None, device)


def to_tensor(array: NDArray[np.generic]) -> Tensor:
    """Copy an array, or some rows of a mapped file, to a tensor in memory."""
    tensor = torch.from_numpy(np.array(array))
    return tensor.view(torch.bfloat16) if array.dtype == np.uint16 else tensor
