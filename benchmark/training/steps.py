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

ROUND_STEPS = 100
"""Batches between two records of the loss, where batches of crops are counted instead of epochs."""


class Steps:
    """Takes the steps of a stage: one on every batch, or on the mean gradient of `config.accumulate` batches.

    Parameters
    ----------
    count
        Steps of the optimiser in the whole stage: see `optimizer_steps`.

    Raises
    ------
    BenchmarkError
        If the optimiser or the schedule cannot be built.
    """

    def __init__(self, stage: Stage, config: StageConfig, count: int) -> None:
        self.stage, self.clip_norm, self.accumulate = stage, config.clip_norm, config.accumulate
        self.pending = 0  # batches whose gradients wait for the others
        self.optimizer = build_optimizer(config.optimizer, stage.module, groups=stage.groups)
        self.schedule = Schedule(config.schedule or (), self.optimizer, count)

    def take(self, batch: Batch, runtime: Runtime) -> Tensor:
        """Learn from a batch, and return its loss, which stays on the device."""
        with runtime.autocast():
            loss = self.stage.loss(batch)
        if not self.pending:
            self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.pending += 1
        if self.pending == self.accumulate:
            self.finish()
        return loss.detach()

    def finish(self) -> None:
        """Take a step on the batches that wait, if any: a round ends."""
        if not self.pending:
            return
        parameters = list(self.stage.module.parameters())
        if self.pending > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.div_(self.pending)
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        self.pending = 0

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


def steps_of(stage: Stage, config: StageConfig, source: Images | CropSource) -> Steps:
    """Return what takes the steps of a stage on its images."""
    return Steps(stage, config, optimizer_steps(*length_of(source, config), config.accumulate))


def length_of(source: Images | CropSource, config: StageConfig) -> tuple[int, int]:
    """Return the batches of a stage, and those of a round.

    A round is an epoch, or `ROUND_STEPS` batches of crops. Where the batches end within a round, so does the training.
    """
    per_round = source.steps_per_epoch(config.batch_size)
    if config.epochs is None and isinstance(source, CropSource):
        per_round = ROUND_STEPS
    return config.steps or (config.epochs or 0) * per_round, per_round


def optimizer_steps(batches: int, per_round: int, accumulate: int) -> int:
    """Return the steps of the optimiser on so many batches; none reaches from one round into the next.

    Examples
    --------
    >>> optimizer_steps(28, per_round=14, accumulate=1), optimizer_steps(10, per_round=5, accumulate=2)
    (28, 6)
    """
    rounds, rest = divmod(batches, per_round)
    return rounds * -(-per_round // accumulate) + -(-rest // accumulate)


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
