"""Simplex noise in three dimensions (OpenSimplex, Spencer 2014), for all points at once."""

from itertools import product

import torch
from torch import Tensor

from methods.errors import MethodError

SQUASH, STRETCH = 1 / 3, -1 / 6
"""From a vertex's integers to its place, and back: each coordinate plus this share of the sum of all three."""
RADIUS_SQUARED, SCALE = 2, 103
NEIGHBOURS = torch.tensor(list(product(range(-1, 3), repeat=3)))
"""(64, 3): the vertices within the radius of any point of a cell, and some others."""
GRADIENTS = torch.tensor(
    [
        [sign * (11 if axis == longest else 4) for axis, sign in enumerate((x, y, z))]
        for z, y, x in product((1, -1), (1, -1), (-1, 1))
        for longest in range(3)
    ],
    dtype=torch.float64,
)


class SimplexNoise:
    """A smooth random function of space, about 0 and within -1..1.

    Every vertex v of a lattice of simplices adds a bump with a random gradient g_v:
    n(p) = sum over v of max(2 - |p - v|^2, 0)^4 g_v . (p - v) / 103. The vertex of the integers (i, j, k) lies at
    (i, j, k) + (i + j + k) / 3.

    Parameters
    ----------
    permutation
        (256,) integers, a permutation of 0..255, which decides the gradients. The function repeats itself after 256
        vertices.

    Raises
    ------
    MethodError
        If it is no such permutation.
    """

    def __init__(self, permutation: Tensor) -> None:
        if not torch.equal(permutation.sort().values, torch.arange(256, device="cpu")):
            raise MethodError("permutation: expected a permutation of 0..255")
        self.permutation = permutation

    def at(self, points: Tensor) -> Tensor:
        """Return the values (...) at points (..., 3) in float64."""
        points = points.double()[..., None, :]
        cell = (points + STRETCH * points.sum(-1, keepdim=True)).floor().long()
        vertices = cell + NEIGHBOURS
        places = vertices.double()
        offsets = points - places - SQUASH * places.sum(-1, keepdim=True)
        bumps = (RADIUS_SQUARED - offsets.square().sum(-1)).clamp_min(0) ** 4
        slopes = (self._gradients(vertices) * offsets).sum(-1)
        return (bumps * slopes).sum(-1) / SCALE

    def octaves(self, shape: tuple[int, int, int], count: int, persistence: float, period: float) -> Tensor:
        """Return the sum (D, H, W) of noises of finer and finer detail, float32.

        Parameters
        ----------
        count
            Number of noises.
        persistence
            Amplitude of a noise, divided by that of the one before; the first has 1.
        period
            Pixels per unit of the first noise; it halves from one noise to the next.
        """
        depth, row, column = torch.meshgrid(*map(torch.arange, shape), indexing="ij")
        pixels = torch.stack([column, row, depth], -1).double()
        noises = (persistence**k * self.at(pixels * (2**k / period)) for k in range(count))
        return torch.stack(list(noises)).sum(0).float()

    def _gradients(self, vertices: Tensor) -> Tensor:
        """Return the gradients (..., 3) of vertices (..., 3), by their integers."""
        x, y, z = (vertices & 255).unbind(-1)
        hashed = self.permutation[x]
        for coordinate in (y, z):
            hashed = self.permutation[(hashed + coordinate) & 255]
        return GRADIENTS[hashed % len(GRADIENTS)]
