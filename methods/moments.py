"""Mean and standard deviation of the outputs of a network over many images."""

import torch
from torch import Tensor

EPSILON = 1e-12  # added to deviations, for channels that never vary


class Moments:
    """Mean and standard deviation of each channel of (B, C, h, w) maps, computed incrementally."""

    def __init__(self) -> None:
        self.count = 0
        self.sum, self.squares = torch.zeros(1), torch.zeros(1)

    def add(self, values: Tensor) -> None:
        """Add the values of (B, C, h, w)."""
        values = values.double()
        self.count += values.numel() // values.shape[1]
        self.sum = values.sum((0, 2, 3)) + self.sum.to(values.device)
        self.squares = values.square().sum((0, 2, 3)) + self.squares.to(values.device)

    def store(self, mean: Tensor, deviation: Tensor) -> None:
        """Write the results to two (C,) tensors."""
        average = self.sum / self.count
        mean.copy_(average)
        deviation.copy_((self.squares / self.count - average.square()).clamp_min(0).sqrt())
