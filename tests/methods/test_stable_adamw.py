"""StableAdamW: AdamW's steps while gradients are as large as usual, and smaller ones where they are not."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.errors import BenchmarkError
from benchmark.training.optimizers import build_optimizer
from methods.stable_adamw import StableAdamW


def end_of(optimizer_class: Any, gradients: Tensor, **options: Any) -> Tensor:
    """Return weights that began at 1, 2, ... after a step on each gradient."""
    weights = nn.Parameter(torch.arange(1.0, gradients.shape[1] + 1))
    optimizer = optimizer_class([weights], **options)
    for gradient in gradients:
        weights.grad = gradient.clone()
        optimizer.step()
    return weights.detach()


@pytest.mark.parametrize("amsgrad", [True, False])
def test_it_is_adamw_while_no_step_is_clipped(amsgrad: bool) -> None:
    gradients = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    options = {"lr": 0.01, "betas": (0.8, 0.98), "weight_decay": 0.1, "amsgrad": amsgrad}
    expected = end_of(torch.optim.AdamW, gradients, **options)
    never = end_of(StableAdamW, gradients, clip_threshold=1e6, **options)
    torch.testing.assert_close(never, expected, atol=1e-6, rtol=1e-6)
    assert not torch.allclose(end_of(StableAdamW, gradients, clip_threshold=0.5, **options), expected)


@pytest.mark.parametrize("amsgrad", [True, False])
def test_a_large_gradient_after_small_ones_moves_the_weights_as_far_as_by_hand(amsgrad: bool) -> None:
    lr, first, second, decay, eps = 0.1, 0.9, 0.99, 0.5, 1e-8
    weight, mean, square, largest = [1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]
    gradients = [[1.0, -1.0], [0.5, 0.5], [20.0, -40.0], [0.0, 1.0]]
    clipped = []
    for number, gradient in enumerate(gradients, 1):
        ratios = []
        for i, g in enumerate(gradient):
            mean[i] = first * mean[i] + (1 - first) * g
            square[i] = second * square[i] + (1 - second) * g * g
            largest[i] = max(largest[i], square[i])
        used = largest if amsgrad else square
        divisors = [math.sqrt(value / (1 - second**number)) + eps for value in used]
        ratios = [g / divisor for g, divisor in zip(gradient, divisors, strict=True)]
        rms = math.sqrt(sum(ratio**2 for ratio in ratios) / 2)
        clipped.append(rms > 1 + 1e-6)
        for i in range(2):
            weight[i] *= 1 - lr * decay
            weight[i] -= lr / max(1, rms) / (1 - first**number) * mean[i] / divisors[i]
    assert clipped == [False, False, True, False]
    found = end_of(
        StableAdamW,
        torch.tensor(gradients),
        lr=lr,
        betas=(first, second),
        weight_decay=decay,
        amsgrad=amsgrad,
    )
    torch.testing.assert_close(found, torch.tensor(weight), atol=1e-6, rtol=1e-5)


def test_each_tensor_is_clipped_on_its_own() -> None:
    calm, wild = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    optimizer = StableAdamW([calm, wild], lr=1.0, weight_decay=0)
    for factor in (1.0, 100.0):
        before = wild.detach().clone()
        calm.grad, wild.grad = torch.ones(3), torch.full((3,), factor)
        optimizer.step()
    torch.testing.assert_close(calm.detach(), torch.full((3,), -2.0))
    # the gradient's square is nearly half of the mean square: 100 / sqrt(5000)
    adamw = end_of(torch.optim.AdamW, torch.tensor([[1.0], [100.0]]), lr=1.0, weight_decay=0).item()
    second_step = 0 - adamw  # its weight began at 1, and its first step was 1
    assert (before - wild)[0].item() == pytest.approx(second_step / math.sqrt(2), rel=1e-3)


def test_a_state_restores_the_following_steps() -> None:
    gradients = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    whole = end_of(StableAdamW, gradients, amsgrad=True)
    weights = nn.Parameter(end_of(StableAdamW, gradients[:3], amsgrad=True))
    source = nn.Parameter(torch.arange(1.0, 5.0))
    first, second = StableAdamW([source], amsgrad=True), StableAdamW([weights], amsgrad=True)
    for gradient in gradients[:3]:
        source.grad = gradient.clone()
        first.step()
    second.load_state_dict(first.state_dict())
    for gradient in gradients[3:]:
        weights.grad = gradient.clone()
        second.step()
    torch.testing.assert_close(weights.detach(), whole, atol=0, rtol=0)


def test_parameters_without_gradients_stay() -> None:
    weights = nn.Parameter(torch.ones(2))
    StableAdamW([weights]).step()
    assert weights.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("option", "value"),
    [("lr", -1), ("eps", -1), ("weight_decay", -1), ("betas", [0.9, 1]), ("clip_threshold", 0)],
)
def test_options_out_of_range_are_refused_by_name(option: str, value: Any) -> None:
    settings = {"_target_": "methods.stable_adamw.StableAdamW", option: value}
    with pytest.raises(BenchmarkError, match=rf"method\.training\.optimizer.*{option}: found .*; expected"):
        build_optimizer(settings, nn.Linear(1, 1))
