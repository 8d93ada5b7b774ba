"""A conditional normalizing flow on feature maps, with a log-determinant per location."""

from functools import partial

import numpy as np
import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import GLOWCouplingBlock, PermuteRandom
from torch import Tensor, nn


class ConditionalFlow(nn.Module):
    """Affine coupling blocks (Real NVP, arXiv:1605.08803), each after a fixed random permutation of channels.

    Before training it only permutes channels: log scale and shift of every block are 0.

    Parameters
    ----------
    channels
        Channels of the maps to transform.
    condition
        Channels of the condition, an input of every block.
    blocks
        Number of coupling blocks; the last has 5x5 kernels, as in AST's released code, the others 3x3.
    hidden
        Channels inside a block's subnetworks.
    clamp
        Bound of the log scale of one block.
    """

    def __init__(self, channels: int, condition: int, blocks: int, hidden: int, clamp: float) -> None:
        super().__init__()
        self.steps = SequenceINN(channels, 1, 1)  # FrEIA requires sizes; the modules here accept any
        for kernel in [3] * (blocks - 1) + [5]:
            self._append_permutation()
            self.steps.append(
                LocationCoupling,
                cond=0,
                cond_shape=(condition, 1, 1),
                subnet_constructor=partial(Subnetwork, hidden=hidden, kernel=kernel),
                clamp=clamp,
            )

    def _append_permutation(self) -> None:
        """Append a permutation drawn from torch's generator; FrEIA's seed must not stay in numpy's global one."""
        state = np.random.get_state()  # noqa: NPY002
        self.steps.append(PermuteRandom, seed=int(torch.randint(2**32, (), device="cpu")))
        np.random.set_state(state)  # noqa: NPY002

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, h, w) to z of the same shape and log |det dz/dx| per location, (B, h, w)."""
        return self.steps(x, [condition])

    def inverse(self, z: Tensor, condition: Tensor) -> Tensor:
        """Return the x that `forward` maps to z."""
        return self.steps(z, [condition], rev=True)[0]


class LocationCoupling(GLOWCouplingBlock):
    """FrEIA's coupling block with a log-determinant per location, where FrEIA sums over the whole map.

    It is the sum of the log scales over the channels of the location. Under autocast the subnetworks may
    compute in half precision; the affine transform and the sum keep the precision of x.
    """

    def _coupling1(self, x1: Tensor, u2: Tensor, rev: bool = False) -> tuple[Tensor, Tensor]:
        return self._transform(x1, self.subnet2(u2), rev)

    def _coupling2(self, x2: Tensor, u1: Tensor, rev: bool = False) -> tuple[Tensor, Tensor]:
        return self._transform(x2, self.subnet1(u1), rev)

    def _transform(self, x: Tensor, coefficients: Tensor, rev: bool) -> tuple[Tensor, Tensor]:
        s, t = coefficients.to(x.dtype).chunk(2, dim=1)
        s = self.clamp * self.f_clamp(s / self.clamp)  # FrEIA's own form lacks the division
        if rev:
            return (x - t) * torch.exp(-s), -s.sum(1)
        return x * torch.exp(s) + t, s.sum(1)


class Subnetwork(nn.Module):
    """Scale and shift of one half of the channels from the other: convolution, ReLU, convolution.

    A learnable scalar, initially 0, multiplies the output (the gamma trick): training starts from the identity.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int, kernel: int) -> None:
        super().__init__()
        convolution = partial(nn.Conv2d, kernel_size=kernel, padding=kernel // 2, padding_mode="replicate")
        self.layers = nn.Sequential(convolution(inputs, hidden), nn.ReLU(True), convolution(hidden, outputs))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, h, w) to (B, outputs, h, w)."""
        return self.gamma * self.layers(x)
