"""Where a training is, for the message that ends one that has diverged."""

import math
from dataclasses import dataclass

import torch

from benchmark.errors import BenchmarkError
from benchmark.runtime import Runtime
from benchmark.settings.training import StageConfig


@dataclass(frozen=True)
class Place:
    """Where a training is, for the message about one that has diverged; `position` counts epochs, or steps."""

    title: str
    stage: str
    config: StageConfig
    position: int
    optimizer: torch.optim.Optimizer
    runtime: Runtime

    def check(self, name: str, value: float, limit: float = math.inf) -> None:
        """Stop a training whose loss or validation score is no longer finite, or is beyond the limit."""
        if math.isfinite(value) and abs(value) <= limit:
            return
        unit = "epoch" if self.config.epochs else "the steps up to"
        beyond = f" (a {name} beyond {limit:g} has diverged)" if math.isfinite(value) else ""
        precision = "" if self.runtime.precision == "fp32" else ", or runtime.precision=fp32,"
        rate = self.optimizer.param_groups[0].get("lr", math.nan)
        raise BenchmarkError(
            f"{self.title}: the {name} of stage '{self.stage}' became {value:g} in {unit} {self.position}{beyond} with "
            f"the learning rate {rate:g}; a lower method.training.optimizer.lr{precision} may help"
        )
