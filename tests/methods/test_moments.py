"""Moments of the channels of maps, computed incrementally."""

import torch

from methods.moments import Moments


def test_moments_are_those_of_all_values_together() -> None:
    values = 5 + torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    moments, mean, deviation = Moments(), torch.zeros(3), torch.zeros(3)
    for part in values.split(4):
        moments.add(part)
    moments.store(mean, deviation)
    torch.testing.assert_close(mean, values.mean((0, 2, 3)))
    torch.testing.assert_close(deviation, values.std((0, 2, 3), correction=0))
