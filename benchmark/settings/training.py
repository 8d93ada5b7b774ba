"""`method.training`: how a method is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from benchmark.errors import BenchmarkError
from benchmark.settings.ranges import BatchSize, Seed, Side
from benchmark.settings.values import check_group, typed
from methods.ranges import Range

Epochs = Annotated[int, Range(at_least=1, at_most=1_000_000)]
Steps = Annotated[int, Range(at_least=1, at_most=1_000_000_000)]
Count = Annotated[int, Range(at_least=1, at_most=100_000_000, note="images")]
Share = Annotated[float, Range(at_least=0, below=1, note="a fraction of the train images")]
Norm = Annotated[float, Range(above=0)]
Accumulate = Annotated[int, Range(at_least=1, at_most=10_000, note="batches")]
Schedule = Sequence[Mapping[str, Any]]
HOLD_OUT = ("validation_fraction", "validation_seed")
"""Options of `method.training` without effect on categories with validation images of their own."""


@dataclass(frozen=True)
class Pretraining:
    """Images of the stages that are independent of the category.

    Attributes
    ----------
    images
        A folder of natural images, searched with all its subfolders; None: the train images of all
        categories of the run.
    limit
        Number of images used at most; of more, a random part.
    image_size
        Side to which they are resized, pixels.
    """

    images: Path | None = None
    limit: Count = 10_000
    image_size: Side = 256


@dataclass(frozen=True)
class StageConfig:
    """How one stage trains: for a number of epochs, or of steps (batches).

    Attributes
    ----------
    schedule
        Classes of `torch.optim.lr_scheduler` with their options, one after the other, each but the last `until` a step:
        see `benchmark.training.schedules.Schedule`. None: the learning rate is constant.
    clip_norm
        Gradients of all weights together are scaled to this norm where theirs is larger; None: never.
    accumulate
        Batches of which a step of the optimiser takes the mean gradient; those that an epoch leaves over take one of
        their own. `steps` counts batches, `schedule` steps of the optimiser.
    """

    batch_size: BatchSize
    optimizer: Mapping[str, Any]
    epochs: Epochs | None = None
    steps: Steps | None = None
    schedule: Schedule | None = None
    clip_norm: Norm | None = None
    accumulate: Accumulate = 1


@dataclass(frozen=True)
class Training:
    """`training` in conf/method/<name>.yaml.

    `stages.<name>` overrides batch size, optimizer, schedule, clip_norm, accumulate and epochs for one stage, or counts
    steps instead; without such an entry, that of a prefix applies: `teacher` to all stages named `teacher_<anything>`;
    null leaves an option as it is for the method. `validation_fraction` of the train images, drawn with
    `validation_seed`, are held out, unless the category has validation images of its own. Depth is resized to a side of
    `depth_size` pixels, where the dataset has any.
    """

    image_size: Side
    batch_size: BatchSize
    epochs: Epochs
    validation_fraction: Share
    validation_seed: Seed
    optimizer: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pretraining: Pretraining = field(default_factory=Pretraining)
    depth_size: Side = 192
    schedule: Schedule | None = None
    clip_norm: Norm | None = None
    accumulate: Accumulate = 1

    def __post_init__(self) -> None:
        self.stage("")
        for name in self.stages:
            self.stage(name)

    def entry_of(self, stage: str) -> str | None:
        """Return the name of the entry in `stages` that applies to a stage; None: there is none."""
        candidates = [stage, *(stage[:i] for i in range(len(stage) - 1, 0, -1) if stage[i] == "_")]
        return next((name for name in candidates if name in self.stages), None)

    def stage(self, name: str) -> StageConfig:
        """Return how a stage trains.

        Raises
        ------
        BenchmarkError
            If a value is of the wrong type or out of range.
        """
        entry = self.entry_of(name)
        own = {} if entry is None else self.stages[entry]
        path = "method.training" if entry is None else f"method.training.stages.{entry}"
        check_group(path, own)
        own = {option: value for option, value in own.items() if value is not None}
        if "epochs" in own and "steps" in own:
            raise BenchmarkError(f"{path} has both epochs and steps; expected one of the two")
        usual = {
            name: getattr(self, name)
            for name in ("batch_size", "optimizer", "schedule", "clip_norm", "accumulate")
        }
        length = {} if "steps" in own else {"epochs": self.epochs}
        return typed(StageConfig, {**usual, **length, **own}, path)
