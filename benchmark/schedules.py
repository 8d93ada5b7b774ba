"""What each stage is trained with: its schedule, and the optimiser in the form that is fastest."""

from collections.abc import Mapping
from typing import Any

import torch
from hydra.utils import get_class, instantiate

from benchmark.errors import BenchmarkError
from benchmark.settings import Schedule, Training
from methods.method import Method, Stage

FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
"""Those that torch can run as one pass over all weights, on CPUs and GPUs: the same steps up to rounding."""


def schedules(method: Method, training: Training) -> list[tuple[Stage, Schedule]]:
    """Return a method's stages, each with its schedule.

    Raises
    ------
    BenchmarkError
        If `training.stages` names a stage that the method does not have.
    """
    stages = list(method.stages())
    known = dict.fromkeys(name for stage in stages for name in (stage.schedule or stage.name, stage.name))
    for name in training.stages:
        if name not in known:
            raise BenchmarkError(
                f"method.training.stages.{name}: the method has no such stage; known: {', '.join(known)}"
            )
    return [(stage, _schedule(stage, training)) for stage in stages]


def _schedule(stage: Stage, training: Training) -> Schedule:
    own = stage.name in training.stages
    return training.schedule(stage.name if own else stage.schedule or stage.name)


def build_optimizer(settings: Mapping[str, Any], stage: Stage) -> torch.optim.Optimizer:
    """Return the optimiser of a stage's parameters; fused if torch can do that and `settings` do not say.

    Raises
    ------
    BenchmarkError
        If there is no such optimiser, or it does not accept the settings.
    """
    try:
        fused = {"fused": True} if get_class(settings["_target_"]) in FUSED else {}
        return instantiate({**fused, **settings}, params=list(stage.module.parameters()), _convert_="all")
    except Exception as error:  # Hydra wraps whatever the optimiser raises
        reason = error.__cause__ or error
        raise BenchmarkError(f"method.training.optimizer: {reason}") from None
