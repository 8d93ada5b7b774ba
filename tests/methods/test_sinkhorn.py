"""The Sinkhorn divergence: against a plain loop, against exact transport, and its gradient."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment, linprog
from torch import Tensor

from methods.errors import MethodError
from methods.sinkhorn import sinkhorn_divergence

Matrix = NDArray[np.float64]


def cloud(count: int, dimensions: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def costs(x: Tensor, y: Tensor) -> Matrix:
    a, b = x.double().numpy(), y.double().numpy()
    return np.array([[((p - q) ** 2).sum() / 2 for q in b] for p in a])


def regularised(cost: Matrix, blur: float) -> float:
    """Return the entropic transport's cost by Sinkhorn's iterations on the plan's scaling, one after the other."""
    n, epsilon = len(cost), blur**2
    kernel, u, v = np.exp(-cost / epsilon), np.ones(n), np.ones(n)
    for _ in range(5000):
        u = 1 / (kernel @ v / n)
        v = 1 / (kernel.T @ u / n)
    plan = u[:, None] * kernel * v / n**2
    return float((plan * cost).sum() + epsilon * (plan * np.log(plan * n**2)).sum())


def exact(cost: Matrix) -> float:
    """Return the least cost of all plans whose rows and columns sum to 1/n, by a linear program."""
    n = len(cost)
    sums = np.zeros((2 * n, n * n))
    for i in range(n):
        sums[i, i * n : (i + 1) * n] = sums[n + i, i::n] = 1
    found: Any = linprog(cost.ravel(), A_eq=sums, b_eq=np.full(2 * n, 1 / n))
    return float(found.fun)


@pytest.mark.parametrize("blur", [0.5, 1.0, 3.0])
def test_it_equals_a_plain_loop_of_sinkhorns_iterations(blur: float) -> None:
    x, y = cloud(7, 3, 0), cloud(7, 3, 1) + 0.5
    parts = [regularised(costs(*pair), blur) for pair in ((x, y), (x, x), (y, y))]
    expected = parts[0] - parts[1] / 2 - parts[2] / 2
    found = sinkhorn_divergence([(x, y)], blur, 0.99, 10.0)
    assert found.item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_with_little_blur_it_is_the_exact_transport(seed: int) -> None:
    x, y = cloud(6, 2, seed), cloud(6, 2, seed + 10) + 1
    cost = costs(x, y)
    rows, columns = linear_sum_assignment(cost)
    expected = cost[rows, columns].mean()
    assert exact(cost) == pytest.approx(expected)
    assert sinkhorn_divergence([(x, y)], 0.01, 0.98, 10.0).item() == pytest.approx(expected, rel=1e-2)


def test_with_much_blur_only_the_means_count() -> None:
    x, y = cloud(6, 3, 0), cloud(6, 3, 1)
    expected = (x.mean(0) - y.mean(0)).square().sum() / 2
    assert sinkhorn_divergence([(x, y)], 1e3).item() == pytest.approx(expected.item(), rel=1e-3)


def test_single_points_are_as_far_apart_as_half_their_squared_distance() -> None:
    x, y = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    assert sinkhorn_divergence([(x, y)]).item() == pytest.approx(12.5)


def test_pairs_are_independent_and_either_way_the_same() -> None:
    clouds = [cloud(5, d, d, scale) for d, scale in ((2, 1.0), (50, 0.1), (3, 5.0), (3, 1.0))]
    pairs = [(clouds[k], clouds[k].flip(0) + 0.3) for k in range(4)]
    together = sinkhorn_divergence(pairs)
    assert together.shape == (4,)
    torch.testing.assert_close(together, torch.cat([sinkhorn_divergence([pair]) for pair in pairs]))
    back = sinkhorn_divergence([(y, x) for x, y in pairs])
    torch.testing.assert_close(back, together, rtol=1e-4, atol=1e-7)
    assert (together > 0).all()


def test_a_cloud_in_another_order_is_at_no_distance_and_gives_no_gradient() -> None:
    x = cloud(16, 200, 0).requires_grad_()
    value = sinkhorn_divergence([(x, x[torch.randperm(16)])])
    value.sum().backward()
    assert abs(value.item()) < 1e-6
    assert x.grad is not None
    assert x.grad.abs().max() < 1e-6


def test_the_gradient_is_the_slope_of_the_value() -> None:
    x, y = cloud(5, 3, 0).requires_grad_(), cloud(5, 3, 1)
    sinkhorn_divergence([(x, y)], 0.5, 0.99, 10.0).sum().backward()
    assert x.grad is not None
    for i, j in ((0, 0), (3, 2)):
        step = torch.zeros(5, 3)
        step[i, j] = 1e-2
        with torch.no_grad():
            up, down = (sinkhorn_divergence([(x + s, y)], 0.5, 0.99, 10.0).item() for s in (step, -step))
        assert x.grad[i, j].item() == pytest.approx((up - down) / 2e-2, rel=0.02, abs=1e-3)


def test_the_gradient_moves_one_cloud_onto_the_other() -> None:
    x, y = cloud(6, 2, 0).requires_grad_(), cloud(6, 2, 1) + 2
    losses = []
    for _ in range(40):
        value = sinkhorn_divergence([(x, y)], 0.3, 0.9, 10.0).sum()
        (slope,) = torch.autograd.grad(value, x)
        with torch.no_grad():
            x -= 3 * slope
        losses.append(value.item())
    assert losses[-1] < 0.01 * losses[0]


def test_autocast_changes_nothing() -> None:
    x, y = cloud(5, 30, 0), cloud(5, 30, 1)
    expected = sinkhorn_divergence([(x, y)])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sinkhorn_divergence([(x, y)]), expected)
    assert math.isfinite(expected.item())


def test_clouds_of_different_sizes_are_refused() -> None:
    with pytest.raises(MethodError, match=r"clouds: found pairs of \[\(3, 4\)\] points; expected as many"):
        sinkhorn_divergence([(torch.zeros(3, 2), torch.zeros(4, 2))])
