"""`method.training`: how a method is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.settings.values import at_least_one, typed


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
    limit: int = 10_000
    image_size: int = 256

    def __post_init__(self) -> None:
        at_least_one("method.training.pretraining", limit=self.limit, image_size=self.image_size)


@dataclass(frozen=True)
class StageConfig:
    """How one stage trains: for a number of epochs, or of steps (batches)."""

    batch_size: int
    optimizer: Mapping[str, Any]
    epochs: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Training:
    """`training` in conf/method/<name>.yaml.

    `stages.<name>` overrides batch size, optimizer and epochs for one stage, or counts steps instead; without
    such an entry, that of a prefix applies: `teacher` to all stages named `teacher_<anything>`. Depth is resized
    to a side of `depth_size` pixels, where the dataset has any.
    """

    image_size: int
    batch_size: int
    epochs: int
    validation_fraction: float
    validation_seed: int
    optimizer: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pretraining: Pretraining = field(default_factory=Pretraining)
    depth_size: int = 192

    def __post_init__(self) -> None:
        at_least_one("method.training", image_size=self.image_size, depth_size=self.depth_size)
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
        if not isinstance(own, Mapping):
            raise BenchmarkError(f"{path}={own}: expected a group of options")
        if "epochs" in own and "steps" in own:
            raise BenchmarkError(f"{path} has both epochs and steps; expected one of the two")
        usual = {"batch_size": self.batch_size, "optimizer": self.optimizer}
        length = {} if "steps" in own else {"epochs": self.epochs}
        config = typed(StageConfig, {**usual, **length, **own}, path)
        at_least_one(path, batch_size=config.batch_size, epochs=config.epochs, steps=config.steps)
        return config
