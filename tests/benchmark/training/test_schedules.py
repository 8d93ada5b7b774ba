"""The learning rate over the steps of a stage."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.training.schedules import Schedule, check_schedules
from tests.benchmark.conftest import make_training

RATE = 0.1
DROP = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 0.95, "gamma": 0.1}
WARM = {"_target_": "torch.optim.lr_scheduler.LinearLR", "start_factor": 0.1, "total_iters": 10, "until": 10}
COSINE = {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": 30, "eta_min": 0.01}


def start(phases: list[dict[str, Any]], steps: int) -> Schedule:
    return Schedule(phases, torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=RATE), steps)


def rates(schedule: Schedule, count: int) -> list[float]:
    """Return the learning rates of so many steps."""
    found = []
    for _ in range(count):
        found.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        schedule.step()
    return found


def test_without_phases_the_rate_is_constant() -> None:
    assert rates(start([], 5), 5) == [RATE] * 5


def test_a_share_of_the_steps_is_counted_from_their_number() -> None:
    assert rates(start([DROP], 40), 40) == pytest.approx([RATE] * 38 + [RATE / 10] * 2)


def test_one_phase_follows_another_from_the_rate_of_the_optimizer() -> None:
    warm = [RATE * (0.1 + 0.9 * step / 10) for step in range(10)]
    cosine = [0.01 + (RATE - 0.01) * (1 + math.cos(math.pi * step / 30)) / 2 for step in range(30)]
    assert rates(start([WARM, COSINE], 40), 40) == pytest.approx(warm + cosine)


@pytest.mark.parametrize("taken", [0, 4, 10, 25])
def test_it_resumes_where_it_was(taken: int) -> None:
    whole = rates(start([WARM, COSINE], 40), 40)
    first, second = start([WARM, COSINE], 40), start([WARM, COSINE], 40)
    rates(first, taken)
    second.load_state_dict(first.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert rates(second, 40 - taken) == pytest.approx(whole[taken:])


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        (
            [{**DROP, "_target_": "torch.optim.SGD"}],
            r"schedule\[0\]\._target_=torch\.optim\.SGD: expected a sub",
        ),
        ([{**DROP, "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau"}], "that counts steps"),
        ([{**DROP, "step": 3}], r"schedule\[0\]\.step: there is no such option"),
        ([{**DROP, "step_size": "3"}], r"schedule\[0\]\.step_size=3: expected a whole number"),
        ([{**WARM, "start_factor": 2.0}, COSINE], r"schedule\[0\]: Starting multiplicative factor"),
        ([DROP, COSINE], r"schedule\[0\]: expected until in every phase but the last"),
        ([WARM], r"schedule\[0\]: expected until in every phase but the last"),
        ([WARM, {**WARM, "until": 5}, COSINE], r"phases that end at steps \[10, 5\]; expected ascending"),
    ],
)
def test_mistakes_are_named_before_anything_trains(phases: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        check_schedules(make_training(schedule=phases))
    with pytest.raises(BenchmarkError, match=r"^method\.training\.stages\.teacher\.schedule"):
        check_schedules(make_training(stages={"teacher": {"schedule": phases}}))
