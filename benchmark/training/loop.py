"""The training loop: the stages of a method, one after the other, then its calibration."""

import copy
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor

from benchmark.data.batches import Images
from benchmark.data.crops import CropSource
from benchmark.errors import BenchmarkError
from benchmark.runtime import Runtime
from benchmark.settings.training import StageConfig, Training
from benchmark.training.checkpoint import Checkpoint, TrainingState, restore_random_states
from benchmark.training.place import Place
from benchmark.training.records import StageRecord
from benchmark.training.steps import Steps, completed, length_of, steps_of
from datasets.batch import Batch
from methods.method import Method, Stage

log = logging.getLogger(__name__)

Progress = Callable[[str, int, float], AbstractContextManager[Callable[[int, float], object]]]
"""(title, rounds, seconds already spent) -> context of a function that takes each round and its loss."""


class SharedStages(Protocol):
    """Where stages that are independent of the category are trained, or loaded if they have been."""

    def train_once(self, method: Method, stage: Stage, config: StageConfig, title: str) -> StageRecord:
        """Give the stage's module its trained weights."""

    def crops_of(self, method: Method, stage: Stage, config: StageConfig) -> CropSource | None:
        """Return the crops on which the stage has yet to train; None if it has been trained."""

    def natural(self, method: Method, stage: Stage) -> CropSource | None:
        """Return the natural images that the stage sees besides the category's; None: it wants none or has none."""


@dataclass(frozen=True)
class TrainingData:
    """Everything that a method may learn from: normal images only.

    Attributes
    ----------
    train, validation
        Images of the category. Validation images choose an epoch and calibrate; None: there are none.
    shared
        For stages on crops of natural images; None: the method has no such stage.
    """

    train: Images
    validation: Images | None
    shared: SharedStages | None = None


def train(
    method: Method,
    training: Training,
    data: TrainingData,
    seed: int,
    title: str,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[StageRecord]:
    """Train a method's stages in order, then calibrate it.

    Parameters
    ----------
    method
        On the device of the images.
    seed
        Decides the order of the images.
    title
        Method and category, for progress and messages.
    checkpoint
        Keeps the training's state, from which an interrupted training resumes with the same results. The
        caller discards it. Only weights and buffers of the method are in it.

    Raises
    ------
    BenchmarkError
        If a loss or validation score is no longer finite, or a loss exceeds `method.max_loss` (method, category,
        stage, epoch and learning rate are named), or validation images are needed and there are none.
    """
    runtime = data.train.runtime
    generator = torch.Generator().manual_seed(seed)
    plan = stages_of(method, training)
    if data.validation is None:
        refuse_missing_validation(method, title)
    state = TrainingState(checkpoint, method, describe_plan(seed, runtime, plan), runtime.device)
    saved = state.load()
    for stage, config in plan[len(state.records) :]:
        if method.crops(stage) is not None:
            assert data.shared is not None, "a stage on crops needs images to cut them from"
            record = data.shared.train_once(method, stage, config, title)
        else:
            record = train_stage(
                method,
                stage,
                config,
                data.train,
                data.validation,
                generator,
                title,
                state,
                saved,
                progress,
                data.shared.natural(method, stage) if data.shared else None,
            )
        state.records.append(record)
        saved = None  # the following stages start from their beginning
    method.eval()
    with torch.no_grad(), runtime.autocast():
        method.calibrate((data.validation or data.train).batches(training.batch_size))
    return state.records


@dataclass
class StageProgress:
    """How far the training of a stage is."""

    best_round: int
    best: dict[str, Tensor] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    selection: list[float] = field(default_factory=list)
    images: int = 0
    steps: int = 0
    seconds: float = 0.0


def train_stage(
    method: Method,
    stage: Stage,
    config: StageConfig,
    source: Images | CropSource,
    validation: Images | None,
    generator: torch.Generator,
    title: str,
    state: TrainingState,
    saved: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    natural: CropSource | None = None,
) -> StageRecord:
    """Train one stage, or what is left of it after the saved state, and return its record."""
    runtime = source.runtime
    method.eval()
    if saved is None:
        with torch.no_grad(), runtime.autocast():
            method.on_train_start(stage, first_look(source, config.batch_size))
    start = time.perf_counter()
    if isinstance(source, Images):
        source = source.with_targets(partial(method.targets, stage), config.batch_size)

    count, per_round = length_of(source, config)
    rounds = math.ceil(count / per_round)
    every = per_round if config.epochs is None else 1

    steps = steps_of(stage, config, source)
    natural_batches = natural.batches(config.batch_size, generator) if natural else None
    done = StageProgress(rounds, seconds=time.perf_counter() - start)
    if saved is not None:
        steps.load_state_dict(saved["stage"]["steps"])
        generator.set_state(saved["stage"]["generator"])
        restore_random_states(saved["random"], runtime.device)
        done = StageProgress(**saved["stage"]["progress"])
    _log_start(title, stage, config, len(source), min(len(done.losses) * every, count))

    with (progress or _no_progress)(f"{title} {stage.name}", rounds, done.seconds) as report:
        for number in range(len(done.losses) + 1, rounds + 1):
            start = time.perf_counter()
            method.eval()
            stage.module.train()
            total = torch.zeros((), device=runtime.device, dtype=torch.float64)
            images = 0
            batches = source.batches(config.batch_size, generator)
            for batch in islice(batches, min(per_round, count - (number - 1) * per_round)):
                batch = completed(method, stage, batch, source, natural_batches)
                total += steps.take(batch, runtime) * len(batch)
                images += len(batch)
            steps.finish()
            done.steps = steps.schedule.taken
            done.losses.append(total.item() / images)  # the only wait for the device in a round
            done.images += images
            where = Place(title, stage.name, config, min(number * every, count), steps.optimizer, runtime)
            where.check("loss", done.losses[-1], method.max_loss)
            if method.keeps_best_epoch and validation is not None:
                value = validation_score(method, stage, validation.batches(config.batch_size), runtime)
                where.check("validation score", value)
                if value < min(done.selection, default=math.inf):
                    done.best, done.best_round = copy.deepcopy(stage.module.state_dict()), number
                done.selection.append(value)
            done.seconds += time.perf_counter() - start
            report(number, done.losses[-1])
            state.maybe_save(lambda: _stage_state(steps, generator, done))

    steps.free()  # for the next stage
    if done.best:
        stage.module.load_state_dict(done.best)
    return StageRecord(
        stage.name,
        done.losses,
        every,
        done.selection,
        done.best_round,
        done.seconds,
        done.images,
        steps=done.steps,
        batches=count,
    )


def first_look(source: Images | CropSource, size: int) -> Iterable[Batch]:
    """Yield the images of a stage before it trains: all once, or as many crops as there are images to crop."""
    if isinstance(source, Images):
        return source.batches(size)
    crops = source.batches(size, torch.Generator().manual_seed(0))
    return islice(crops, source.steps_per_epoch(size))


def validation_score(method: Method, stage: Stage, batches: Iterable[Batch], runtime: Runtime) -> float:
    """Return the mean of a stage's validation scores: see `methods.method.Method.validation_score`."""
    method.eval()
    with torch.no_grad(), runtime.autocast():
        values = [method.validation_score(stage, batch) for batch in batches]
    return torch.cat(values).double().mean().item()


def stages_of(method: Method, training: Training) -> list[tuple[Stage, StageConfig]]:
    """Return a method's stages, each with its configuration.

    Raises
    ------
    BenchmarkError
        If `training.stages` names a stage that the method does not have.
    """
    stages = list(method.stages())
    used = {training.entry_of(stage.name) for stage in stages}
    for name in training.stages:
        if name not in used:
            known = ", ".join(stage.name for stage in stages)
            raise BenchmarkError(
                f"method.training.stages.{name}: the method has no such stage; known: {known}, or a prefix of one "
                "that ends before a _"
            )
    return [(stage, training.stage(stage.name)) for stage in stages]


def describe_plan(seed: int, runtime: Runtime, plan: Sequence[tuple[Stage, StageConfig]]) -> dict[str, str]:
    """Return what distinguishes a training from others: a checkpoint of another one is rejected."""
    stages = {f"stage {stage.name}": repr(config) for stage, config in plan}
    return {"seed": str(seed), "runtime": repr(runtime), **stages}


def refuse_missing_validation(method: Method, title: str) -> None:
    """Refuse a training without held-out images if the method needs some.

    Raises
    ------
    BenchmarkError
        If it does; the message begins with `title`.
    """
    reason = ""
    if method.needs_validation:
        reason = "its scores are standardised on them"
    elif method.keeps_best_epoch:
        reason = "it keeps the best epoch by them"
    if reason:
        raise BenchmarkError(
            f"{title}: there are no held-out validation images, and {reason}; set "
            "method.training.validation_fraction above 0"
        )


def _no_progress(
    title: str, rounds: int, seconds: float
) -> AbstractContextManager[Callable[[int, float], object]]:
    return nullcontext(lambda number, loss: None)


def _log_start(title: str, stage: Stage, config: StageConfig, images: int, done: int) -> None:
    length, unit = (config.epochs, "epoch") if config.epochs else (config.steps, "step")
    if done:
        log.info("%s: %s resumes after %s %d of %d", title, stage.name, unit, done, length)
    else:
        log.info("%s: %s trains for %d %ss on %d images", title, stage.name, length, unit, images)


def _stage_state(steps: Steps, generator: torch.Generator, done: StageProgress) -> dict[str, Any]:
    """Return the state of a stage, apart from its weights: see `train_stage`."""
    progress = {**vars(done), "best": dict(done.best)}
    return {"steps": steps.state_dict(), "generator": generator.get_state(), "progress": progress}
