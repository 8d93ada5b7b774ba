"""The one training loop: every stage of every method runs through it."""

import copy
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from benchmark.checkpoint import Checkpoint, Stream, TrainingState, restore_random_states
from benchmark.crops import CropSource
from benchmark.data import Images
from benchmark.errors import BenchmarkError
from benchmark.pretext import PretextStages
from benchmark.progress import StageProgress
from benchmark.records import StageRecord
from benchmark.runtime import Runtime
from benchmark.schedules import build_optimizer, schedules
from benchmark.settings import Schedule, Training
from datasets.batch import Batch
from methods.method import Method, Stage

log = logging.getLogger(__name__)

ROUND = 100  # steps between two records of the loss, where steps are counted instead of epochs


@dataclass(frozen=True)
class TrainingData:
    """What a method may learn from: defect-free images alone.

    Attributes
    ----------
    train, validation
        Of the category. Validation images choose an epoch and calibrate; None: there are none.
    pretext
        For stages that train on crops of images of no category; None: the method has no such stage.
    """

    train: Images
    validation: Images | None
    pretext: PretextStages | None = None


def fit(
    method: Method,
    training: Training,
    data: TrainingData,
    seed: int,
    title: str,
    progress: bool = True,
    checkpoint: Checkpoint | None = None,
) -> list[StageRecord]:
    """Train a method's stages in order, then let it calibrate.

    Parameters
    ----------
    method
        On the device of the images.
    training
        The schedule; `training.stages.<name>` overrides it for one stage.
    seed
        Of the order of the images.
    title
        Method and category, for progress and messages.
    checkpoint
        Where the training's state is kept, and from where one that was interrupted goes on, to the same
        numbers. It stays there: the caller discards it when it has no more use for it. What a method holds
        beside its weights and buffers is not in it.

    Raises
    ------
    BenchmarkError
        If a loss is not finite any more or beyond its stage's limit (method, category, stage and epoch are
        named), or validation images are needed and there are none.
    """
    generator = torch.Generator().manual_seed(seed)
    train, validation = data.train, data.validation
    planned = schedules(method, training)
    if validation is None:
        _check_that_none_is_needed(method, [stage for stage, _ in planned], title)
    state = TrainingState(checkpoint, method, _plan(seed, train.runtime, planned), train.runtime.device)
    saved = state.load()
    for stage, schedule in planned[len(state.records) :]:
        if stage.prepare is not None and saved is None:
            method.eval()
            with torch.no_grad(), train.runtime.autocast():
                stage.prepare(train.batches(schedule.batch_size))
        lesson = _Lesson(method, stage, schedule, train, validation, generator, title, progress, state)
        record = lesson.learn(saved) if stage.crops is None else _learn_once(lesson, data.pretext)
        state.records.append(record)
        saved = None  # the stages that follow start from their beginning
    method.eval()
    with torch.no_grad(), train.runtime.autocast():
        method.calibrate((validation or train).batches(training.batch_size))
    return state.records


def _plan(seed: int, runtime: Runtime, planned: Sequence[tuple[Stage, Schedule]]) -> dict[str, str]:
    """Name what tells a training from others: a checkpoint of another one is refused."""
    stages = {f"stage {stage.name}": repr(schedule) for stage, schedule in planned}
    return {"seed": str(seed), "runtime": repr(runtime), **stages}


def _check_that_none_is_needed(method: Method, stages: Sequence[Stage], title: str) -> None:
    """Refuse a training that needs validation images, where there are none."""
    reasons = [f"stage '{stage.name}' keeps its best epoch by them" for stage in stages if stage.select]
    if method.calibrates_on_validation:
        reasons.append("its scores are standardised on them")
    if reasons:
        raise BenchmarkError(
            f"{title}: there are no held-out validation images, and {reasons[0]}; set "
            "method.training.validation_fraction above 0"
        )


def _learn_once(lesson: "_Lesson", pretext: PretextStages | None) -> StageRecord:
    """Train a stage on crops, or load what the same training has left before."""
    assert pretext is not None, "a stage has crops, and no images to cut them from were given"

    def learn(source: CropSource, generator: torch.Generator, checkpoint: Checkpoint | None) -> StageRecord:
        stage, runtime = lesson.stage, source.runtime
        plan = _plan(generator.initial_seed(), runtime, [(stage, lesson.schedule)])
        state = TrainingState(checkpoint, stage.module, plan, runtime.device)
        own = replace(lesson, source=source, validation=None, generator=generator, state=state)
        return own.learn(state.load())

    return pretext.once(lesson.stage, lesson.schedule, learn)


@dataclass
class _Course:
    """How far a stage is."""

    best_round: int
    best: dict[str, Tensor] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    selection: list[float] = field(default_factory=list)
    images: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Lesson:
    """One stage with everything that it is trained with."""

    method: Method
    stage: Stage
    schedule: Schedule
    source: Images | CropSource
    validation: Images | None
    generator: torch.Generator
    title: str
    progress: bool
    state: TrainingState

    @property
    def every(self) -> int:
        """Epochs or steps between two records of the loss."""
        return 1 if self.schedule.epochs else ROUND

    def learn(self, saved: Mapping[str, Any] | None = None) -> StageRecord:
        """Train the stage, or the rest of it that is left after the saved state."""
        stage = self.stage
        rounds = math.ceil((self.schedule.epochs or self.schedule.steps or 0) / self.every)
        optimizer = build_optimizer(self.schedule.optimizer, stage)
        source, seconds = self._with_constants()
        stream = Stream(source, self.schedule.batch_size, self.generator)
        course = _Course(rounds, seconds=seconds)
        if saved is not None:
            course = self._go_on(saved, optimizer, stream)
        self._announce(len(course.losses))
        with StageProgress(f"{self.title} {stage.name}", rounds, self.progress) as bar:
            bar.started -= course.seconds
            for number in range(len(course.losses) + 1, rounds + 1):
                self._learn_round(number, optimizer, stream, course)
                bar.epoch_done(number, course.losses[-1])
                self.state.offer(lambda: _stage_state(optimizer, stream, course))
        optimizer.zero_grad(set_to_none=True)  # the memory is the next stage's
        if course.best:
            stage.module.load_state_dict(course.best)
        return StageRecord(
            stage.name,
            course.losses,
            self.every,
            course.selection,
            course.best_round,
            course.seconds,
            course.images,
        )

    def _with_constants(self) -> tuple[Images | CropSource, float]:
        """Return the images with what the stage computes once, and the seconds that this took."""
        if self.stage.constant is None:
            return self.source, 0.0
        assert isinstance(self.source, Images), "a stage on crops has no constants"
        start = time.perf_counter()
        self.method.eval()
        source = self.source.with_constants(self.stage.constant, self.schedule.batch_size)
        return source, time.perf_counter() - start

    def _go_on(self, saved: Mapping[str, Any], optimizer: torch.optim.Optimizer, stream: Stream) -> _Course:
        """Bring all but the weights, which are there already, to the saved state."""
        optimizer.load_state_dict(saved["stage"]["optimizer"])
        stream.go_on(**saved["stage"]["stream"])
        restore_random_states(saved["random"], self.source.runtime.device)
        return _Course(**saved["stage"]["course"])

    def _announce(self, done: int) -> None:
        name, schedule = self.stage.name, self.schedule
        unit, length = ("epoch", schedule.epochs) if schedule.epochs else ("step", schedule.steps or 0)
        if done:
            at = min(done * self.every, length)
            log.info("%s: stage %s goes on after %s %d of %d", self.title, name, unit, at, length)
        else:
            log.info(
                "%s: %s trains for %d %ss on %d images", self.title, name, length, unit, len(self.source)
            )

    def _learn_round(
        self, number: int, optimizer: torch.optim.Optimizer, stream: Stream, course: _Course
    ) -> None:
        """Go through an epoch or, where steps are counted, `ROUND` of them; note what comes of it."""
        start = time.perf_counter()
        loss, seen = self._run_round(optimizer, self._batches(number, stream))
        self._check(loss, number)
        course.losses.append(loss)
        course.images += seen
        if self.stage.select is not None and self.validation is not None:
            value = self._selection_value(self.validation)
            if value < min(course.selection, default=math.inf):
                course.best, course.best_round = copy.deepcopy(self.stage.module.state_dict()), number
            course.selection.append(value)
        course.seconds += time.perf_counter() - start

    def _batches(self, number: int, stream: Stream) -> Iterator[Batch]:
        if self.schedule.steps is None:
            return stream.epoch()
        return islice(stream.endless, min(ROUND, self.schedule.steps - (number - 1) * ROUND))

    def _run_round(self, optimizer: torch.optim.Optimizer, batches: Iterator[Batch]) -> tuple[float, int]:
        """Return the mean loss over the images, and their number; the device is waited for once, at the end."""
        runtime = self.source.runtime
        self.method.eval()
        self.stage.module.train()
        total = torch.zeros((), device=runtime.device, dtype=torch.float64)
        images = 0
        for batch in batches:
            with runtime.autocast():
                loss = self.stage.loss(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(batch)
            images += len(batch)
        return total.item() / images, images

    def _check(self, loss: float, number: int) -> None:
        """Stop a training that has diverged."""
        limit = self.stage.limit
        if math.isfinite(loss) and abs(loss) <= limit:
            return
        at = f"epoch {number}" if self.schedule.epochs else f"the {ROUND} steps up to {number * ROUND}"
        beyond = f" (a loss beyond {limit:g} has diverged)" if math.isfinite(loss) else ""
        raise BenchmarkError(
            f"{self.title}: the loss of stage '{self.stage.name}' became {loss:g} in {at}{beyond}; a lower "
            "method.training.optimizer.lr, or trainer.precision=fp32, may help"
        )

    def _selection_value(self, validation: Images) -> float:
        assert self.stage.select is not None
        self.method.eval()
        with torch.no_grad(), validation.runtime.autocast():
            values = [self.stage.select(batch) for batch in validation.batches(self.schedule.batch_size)]
        return torch.cat(values).double().mean().item()


def _stage_state(optimizer: torch.optim.Optimizer, stream: Stream, course: _Course) -> dict[str, Any]:
    """Return what a stage needs beside the weights to go on: see `_Lesson._go_on`."""
    course_state = {**vars(course), "best": dict(course.best)}
    return {"optimizer": optimizer.state_dict(), "stream": stream.place(), "course": course_state}
