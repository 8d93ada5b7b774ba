"""The steps of a stage: batches with what the stage adds to them, and the optimiser that takes a step on each."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmark.data.batches import Images
from benchmark.data.crops import CropSource
from benchmark.runtime import Runtime
from benchmark.settings.training import StageConfig
from benchmark.training.optimizers import build_optimizer
from benchmark.training.schedules import Schedule
from datasets.batch import Batch
from methods.method import Method, Stage


class Steps:
    """Takes the steps of a stage.

    Parameters
    ----------
    count
        How many steps the stage takes in all.

    Raises
    ------
    BenchmarkError
        If the optimiser or the schedule cannot be built.
    """

    def __init__(self, stage: Stage, config: StageConfig, count: int) -> None:
        self.stage, self.clip_norm = stage, config.clip_norm
        self.optimizer = build_optimizer(config.optimizer, stage.module, groups=stage.groups)
        self.schedule = Schedule(config.schedule or (), self.optimizer, count)

    def take(self, batch: Batch, runtime: Runtime) -> Tensor:
        """Take one step on a batch, and return its loss, which stays on the device."""
        with runtime.autocast():
            loss = self.stage.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.stage.module.parameters(), self.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()

    def free(self) -> None:
        """Give the gradients' memory back."""
        self.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` restores."""
        return {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        self.schedule.load_state_dict(state["schedule"])
        self.optimizer.load_state_dict(state["optimizer"])


def completed(
    method: Method, stage: Stage, batch: Batch, source: Images | CropSource, natural: Iterator[Batch] | None
) -> Batch:
    """Return a batch with the natural images, and the teacher's features of changed images, that its stage wants."""
    if natural is not None:
        batch = replace(batch, natural=next(natural).image)
    if isinstance(source, CropSource):
        return batch
    with torch.no_grad():
        image = method.changed(stage, batch)
    if image is None:
        return batch
    assert source.features is not None, "a method that changes images for the teacher names its layers"
    return replace(batch, changed=source.features.compute(image))
