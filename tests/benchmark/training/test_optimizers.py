"""Optimisers: fused where torch can, with the same steps; a wrong one is named."""

from typing import Any

import pytest
import torch
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.training.optimizers import FUSED, build_optimizer, check_optimizers
from tests.benchmark.conftest import make_training


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
        (
            {"_target_": "torch.optim.SGD", "rate": 1.0},
            r"optimizer\.rate: there is no such option; known: lr, ",
        ),
        (
            {"_target_": "torch.optim.SGD", "lr": "1e-3"},
            r"optimizer\.lr=1e-3: expected a number; this is text",
        ),
        ({"_target_": "torch.optim.SGD", "lr": float("nan")}, r"optimizer\.lr=nan: expected a number"),
        (
            {"_target_": "torch.optim.Adam", "betas": [0.9]},
            r"optimizer\.betas=\[0\.9\]: expected a list of 2, ",
        ),
        ({"_target_": "torch.optim.Adam", "betas": [0.9, 1.5]}, r"optimizer: .*1\.5"),
        ({"_target_": "torch.optim.Adam", "momentum": 0.9}, r"optimizer\.momentum: there is no such option"),
        ({"_target_": "torch.optim.Sgd"}, r"optimizer\._target_=torch\.optim\.Sgd: cannot be imported"),
        ({}, r"optimizer\._target_ is missing"),
        ({"_target_": "torch.nn.Linear"}, r"expected a subclass of torch\.optim\.Optimizer"),
        ({"_target_": "torch.relu"}, r"optimizer\._target_=torch\.relu: expected a class"),
    ],
)
def test_a_wrong_optimizer_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message) as raised:
        build_optimizer(settings, nn.Linear(1, 1))
    assert str(raised.value).startswith("method.training.optimizer")


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Rprop", "ASGD", "NAdam"])
def test_optimizers_that_train_any_network_are_accepted(name: str) -> None:
    check_optimizers(make_training(optimizer={"_target_": f"torch.optim.{name}", "lr": 0.1}))


@pytest.mark.parametrize("name", ["LBFGS", "SparseAdam", "Muon"])
def test_optimizers_that_cannot_take_the_steps_of_the_loop_are_refused(name: str) -> None:
    with pytest.raises(BenchmarkError, match=r"^method\.training\.optimizer"):
        check_optimizers(make_training(optimizer={"_target_": f"torch.optim.{name}", "lr": 0.1}))


def test_the_optimizer_of_a_stage_is_checked_too() -> None:
    stages = {"teacher": {"optimizer": {"_target_": "torch.optim.SGD", "lr": -1.0}}}
    with pytest.raises(BenchmarkError, match=r"^method\.training\.stages\.teacher\.optimizer: .*-1"):
        check_optimizers(make_training(stages=stages))


def test_checking_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    check_optimizers(make_training())
    assert torch.equal(torch.get_rng_state(), before)
