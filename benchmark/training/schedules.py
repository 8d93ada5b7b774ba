"""The learning rate of a stage over its steps, by torch's own schedulers."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from benchmark.errors import BenchmarkError
from benchmark.settings.training import Training
from benchmark.settings.values import target_of, typed
from benchmark.training.optimizers import tiny_optimizers

UNTIL = "until"
STEPS = (UNTIL, "step_size", "total_iters", "total_steps", "T_max", "T_0")
"""Options that count steps; below 1 they are shares of the stage's steps."""


class Schedule:
    """Schedulers of `torch.optim.lr_scheduler`, one after the other, each from the optimiser's own learning rate.

    Parameters
    ----------
    phases
        `_target_` and options of each scheduler, and `until`, the step at which the next one takes over. Where an
        option counts steps (`STEPS`), a number below 1 is a share of `steps`. None at all: a constant learning rate.
    steps
        Steps of the optimiser in the whole stage.
    path
        Name of the settings in the configuration, for messages.

    Raises
    ------
    BenchmarkError
        If there is no such scheduler, or it does not accept its options, or phases do not follow one another.
    """

    def __init__(
        self,
        phases: Sequence[Mapping[str, Any]],
        optimizer: torch.optim.Optimizer,
        steps: int,
        path: str = "method.training.schedule",
    ) -> None:
        self.phases, self.optimizer, self.steps, self.path = phases, optimizer, steps, path
        self.taken = 0
        last = len(phases) - 1
        for number, phase in enumerate(phases):
            if (UNTIL in phase) != (number < last):
                raise BenchmarkError(f"{path}[{number}]: expected {UNTIL} in every phase but the last")
        self.ends = [_counted(UNTIL, phase[UNTIL], steps) for phase in phases[:-1]]
        if self.ends != sorted(set(self.ends)):
            raise BenchmarkError(
                f"{path}: found phases that end at steps {self.ends}; expected ascending ones"
            )
        for number in reversed(range(len(phases))):  # all are tried, and the first one stays
            self.scheduler = self._start(number)

    def step(self) -> None:
        """Move on after a step of the optimiser."""
        self.taken += 1
        if self.taken in self.ends:
            self.scheduler = self._start(self.ends.index(self.taken) + 1)
        elif self.phases:
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` restores, without the optimiser's learning rates."""
        return {"taken": self.taken, "scheduler": self.scheduler.state_dict() if self.phases else {}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state; it is for the caller to restore the optimiser's afterwards."""
        self.taken = state["taken"]
        if self.phases:
            self.scheduler = self._start(sum(end <= self.taken for end in self.ends))
            self.scheduler.load_state_dict(state["scheduler"])

    def _start(self, number: int) -> LRScheduler:
        """Return the scheduler of a phase at its beginning."""
        phase, place = self.phases[number], f"{self.path}[{number}]"
        found = target_of(place, phase)
        if not (isinstance(found, type) and issubclass(found, LRScheduler)) or found is ReduceLROnPlateau:
            raise BenchmarkError(
                f"{place}._target_={phase['_target_']}: expected a subclass of torch.optim.lr_scheduler.LRScheduler "
                "that counts steps"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])
        options = {
            name: _counted(name, value, self.steps)
            for name, value in phase.items()
            if name not in ("_target_", UNTIL)
        }
        try:
            return typed(found, options, place, optimizer=self.optimizer)
        except BenchmarkError:
            raise
        except Exception as error:  # classes of any library
            raise BenchmarkError(f"{place}: {error}") from None


def check_schedules(training: Training) -> None:
    """Build the schedule of every stage for a tiny network, so that nothing is refused later.

    Raises
    ------
    BenchmarkError
        See `Schedule`.
    """
    for path, config, optimizer in tiny_optimizers(training):
        Schedule(config.schedule or (), optimizer, config.steps or 1000, f"{path}.schedule")


def _counted(option: str, value: Any, steps: int) -> Any:
    """Return the steps that an option counts; `value` as it is where it counts none."""
    is_share = option in STEPS and isinstance(value, float) and 0 < value < 1
    return max(round(value * steps), 1) if is_share else value
