"""Optimisers: fused where torch can, with the same steps; a wrong one is named."""

from typing import Any

import pytest
import torch
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.training.optimizers import FUSED, build_optimizer


@pytest.mark.parametrize("name", [optimizer.__name__ for optimizer in FUSED])
def test_fused_optimizers_take_the_steps_of_plain_ones(name: str) -> None:
    settings = {"_target_": f"torch.optim.{name}", "lr": 0.01, "weight_decay": 0.1}
    weights = []
    for choice in ({}, {"fused": False}):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)).to(memory_format=torch.channels_last)
        optimizer = build_optimizer({**settings, **choice}, module)
        assert optimizer.defaults["fused"] == (choice == {})
        for _ in range(5):
            optimizer.zero_grad()
            module(torch.randn(2, 3, 8, 8)).square().sum().backward()
            optimizer.step()
        weights.append(module.state_dict())
    torch.testing.assert_close(weights[0], weights[1])


def test_an_optimizer_that_torch_cannot_fuse_is_built_plain() -> None:
    optimizer = build_optimizer({"_target_": "torch.optim.Rprop", "lr": 0.5}, nn.Linear(1, 1))
    assert isinstance(optimizer, torch.optim.Rprop)
    assert optimizer.defaults["lr"] == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"_target_": "torch.optim.SGD", "lr": -1.0}, r"optimizer: .*-1"),
        ({"_target_": "torch.optim.SGD", "rate": 1.0}, r"optimizer: .*'rate'"),
        ({"_target_": "torch.optim.Sgd"}, r"optimizer\._target_=torch\.optim\.Sgd: cannot be imported"),
        ({}, r"optimizer\._target_=None: cannot be imported"),
        ({"_target_": "torch.nn.Linear"}, r"expected a subclass of torch\.optim\.Optimizer"),
        ({"_target_": "torch.relu"}, r"expected a subclass of torch\.optim\.Optimizer"),
    ],
    ids=["value", "option", "target", "no target", "another class", "a function"],
)
def test_a_wrong_optimizer_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message) as raised:
        build_optimizer(settings, nn.Linear(1, 1))
    assert str(raised.value).startswith("method.training.optimizer")
