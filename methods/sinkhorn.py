"""Entropic optimal transport between clouds of points: the debiased Sinkhorn divergence."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from methods.errors import MethodError


def sinkhorn_divergence(
    pairs: Sequence[tuple[Tensor, Tensor]], blur: float = 0.05, scaling: float = 0.95, diameter: float = 1e7
) -> Tensor:
    """Return the Sinkhorn divergence of each pair of clouds x and y of N points of equal weights: (K,) float32.

    S(x, y) = OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2, where OT is the least cost of moving one cloud to the other at
    |x_i - y_j|^2 / 2 per weight, plus blur^2 times the plan's divergence from the product of the weights. It is 0 for
    equal clouds, whatever the order of their points, and positive otherwise (Feydy et al., AISTATS 2019,
    arXiv:1810.08278). Sinkhorn's iterations start blurred by `diameter`, and sharpen step by step. They run without
    gradients in float64, for all pairs and for the three transports of each at once; the gradient is that of the last
    iteration alone, which is exact once they have converged.

    Parameters
    ----------
    pairs
        K pairs of clouds (N, D); N is the same in all of them.
    blur
        Distance below which the transport is blurred.
    scaling
        Factor between the blurs of an iteration and the one before, below 1.
    diameter
        The first blur; that of the clouds suffices.

    Raises
    ------
    MethodError
        If the clouds of a pair, or of two pairs, have different numbers of points.
    """
    if len({len(cloud) for pair in pairs for cloud in pair}) > 1:
        sizes = [tuple(map(len, pair)) for pair in pairs]
        raise MethodError(f"clouds: found pairs of {sizes} points; expected as many in each")
    costs = torch.stack([_costs(*pair) for pair in pairs])
    potentials = torch.zeros(costs.shape[:-1], dtype=costs.dtype, device=costs.device)
    steps = math.ceil(math.log(diameter / blur) / -math.log(scaling))
    blurs = [diameter, *(diameter * scaling**k for k in range(steps)), blur]
    with torch.no_grad():
        potentials = _softmin(costs, potentials, diameter**2)
        for current in blurs:
            potentials = (potentials + _softmin(costs, potentials, current**2)) / 2
    ((xx, xy), (yx, yy)) = (row.unbind(1) for row in _softmin(costs, potentials, blur**2).unbind(1))
    return ((xy - xx).mean(-1) + (yx - yy).mean(-1)).float()


def _costs(x: Tensor, y: Tensor) -> Tensor:
    """Return half the squared distances from the points of x and y to those of x and y: (2, 2, N, N) float64.

    Only the points that transport starts from have a gradient, as each cost appears in the transport back, too.
    """
    with torch.autocast(x.device.type, enabled=False):
        both = torch.cat([x, y]).float()
        squares = both.square().sum(1)
        distances = squares[:, None] - 2 * both @ both.detach().T + squares.detach()
        return (distances.double() / 2).view(2, len(x), 2, len(x)).transpose(1, 2)


def _softmin(costs: Tensor, potentials: Tensor, epsilon: float) -> Tensor:
    """Return the potentials (K, 2, 2, N) that fit those of the transport back, by a soft minimum over its points."""
    back = potentials.transpose(1, 2)[..., None, :]
    return -epsilon * ((back - costs) / epsilon - math.log(costs.shape[-1])).logsumexp(-1)
