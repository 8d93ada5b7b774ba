"""Networks of one input and one output that learn from each other: teachers, and two students of each."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WIDTH, STEPS, LEARNING_RATE = 64, 1000, 0.01
POINTS, TRAINED, SHOWN = 81, 1.0, 2.0  # inputs from -SHOWN to SHOWN, trained from -TRAINED to TRAINED
HIDDEN_LAYERS = {"symmetric": 1, "asymmetric": 3}

Layer = tuple[Tensor, Tensor]  # weights (S, inputs, outputs) and biases (S, 1, outputs), by seed
Array = NDArray[np.float64]


def train_pairs(seeds: Sequence[int]) -> tuple[Array, NDArray[np.bool_], Array, dict[str, Array]]:
    """Train a teacher with one hidden layer and its two students with each seed, all seeds at once.

    The teacher learns a sine in the training range, the students learn the teacher's outputs there.

    Returns
    -------
    Inputs (N,), which of them are in the training range (N,), the teachers' outputs (S, N), and those of the students,
    {`symmetric`, `asymmetric`: (S, N)}.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    inputs = torch.linspace(-SHOWN, SHOWN, POINTS)
    trained = inputs.abs() <= TRAINED
    everywhere = inputs[:, None].expand(len(seeds), -1, 1)

    def outputs(hidden_layers: int, targets: Tensor) -> Tensor:
        network = _network(generators, hidden_layers)
        _fit(network, everywhere[:, trained], targets)
        with torch.no_grad():
            return _forward(network, everywhere)

    teacher = outputs(1, torch.sin(3 * everywhere[:, trained]))
    students = {name: outputs(layers, teacher[:, trained]) for name, layers in HIDDEN_LAYERS.items()}
    return (
        inputs.double().numpy(),
        trained.numpy(),
        _array(teacher),
        {k: _array(v) for k, v in students.items()},
    )


def _array(outputs: Tensor) -> Array:
    return outputs[..., 0].double().numpy()


def _network(generators: Sequence[torch.Generator], hidden_layers: int) -> list[Layer]:
    """Initialise each seed's network as torch initialises linear layers."""
    widths = [1, *[WIDTH] * hidden_layers, 1]

    def draw(rows: int, columns: int, bound: float) -> Tensor:
        drawn = torch.stack([torch.rand(rows, columns, generator=each) for each in generators])
        return ((2 * drawn - 1) * bound).requires_grad_()

    return [
        (draw(inputs, outputs, 1 / math.sqrt(inputs)), draw(1, outputs, 1 / math.sqrt(inputs)))
        for inputs, outputs in pairwise(widths)
    ]


def _forward(network: Sequence[Layer], values: Tensor) -> Tensor:
    """Apply each seed's network to its row: (S, N, 1) to (S, N, 1)."""
    for index, (weights, biases) in enumerate(network):
        values = torch.baddbmm(biases, torch.relu(values) if index else values, weights)
    return values


def _fit(network: Sequence[Layer], inputs: Tensor, targets: Tensor) -> None:
    """Minimise the squared distance to the targets with Adam; networks of different seeds share nothing."""
    optimizer = torch.optim.Adam([tensor for layer in network for tensor in layer], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (_forward(network, inputs) - targets).square().mean((1, 2)).sum().backward()
        optimizer.step()
        schedule.step()
