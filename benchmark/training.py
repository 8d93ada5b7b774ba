"""The one training loop: every stage of every method runs through it."""

import copy
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor

from benchmark.crops import CropSource
from benchmark.data import Images
from benchmark.errors import BenchmarkError
from benchmark.pretext import PretextStages
from benchmark.progress import StageProgress
from benchmark.records import StageRecord
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


def fit(
    method: Method, training: Training, data: TrainingData, seed: int, title: str, progress: bool = True
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
    records = []
    for stage, schedule in planned:
        if stage.prepare is not None:
            method.eval()
            with torch.no_grad(), train.runtime.autocast():
                stage.prepare(train.batches(schedule.batch_size))
        lesson = _Lesson(method, stage, schedule, train, validation, generator, title, progress)
        records.append(lesson.learn() if stage.crops is None else _learn_once(lesson, data.pretext))
    method.eval()
    with torch.no_grad(), train.runtime.autocast():
        method.calibrate((validation or train).batches(training.batch_size))
    return records


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

    def learn(source: CropSource, generator: torch.Generator) -> StageRecord:
        return replace(lesson, source=source, validation=None, generator=generator).learn()

    return pretext.once(lesson.stage, lesson.schedule, learn)


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

    def learn(self) -> StageRecord:
        stage, schedule = self.stage, self.schedule
        optimizer = _optimizer(schedule.optimizer, stage)
        rounds = schedule.epochs or math.ceil((schedule.steps or 0) / ROUND)
        losses: list[float] = []
        selection: list[float] = []
        best: dict[str, Tensor] = {}
        best_round, images = rounds, 0
        length = f"{schedule.epochs} epochs" if schedule.epochs else f"{schedule.steps} steps"
        log.info("%s: %s trains for %s on %d images", self.title, stage.name, length, len(self.source))
        start = time.perf_counter()
        with StageProgress(f"{self.title} {stage.name}", rounds, self.progress) as bar:
            for number, batches in enumerate(self._rounds(), 1):
                loss, seen = self._run_round(optimizer, batches)
                self._check(loss, number)
                losses.append(loss)
                images += seen
                if stage.select is not None and self.validation is not None:
                    selection.append(self._selection_value(self.validation))
                    if selection[-1] < min(selection[:-1], default=math.inf):
                        best, best_round = copy.deepcopy(stage.module.state_dict()), number
                bar.epoch_done(number, loss)
        if best:
            stage.module.load_state_dict(best)
        seconds = time.perf_counter() - start
        every = 1 if schedule.epochs else ROUND
        return StageRecord(stage.name, losses, every, selection, best_round, seconds, images)

    def _rounds(self) -> Iterator[Iterator[Batch]]:
        """Yield the batches of each epoch or, where steps are counted, of each `ROUND` of them."""
        size = self.schedule.batch_size
        if self.schedule.steps is None:
            for _ in range(self.schedule.epochs or 0):
                yield self.source.batches(size, self.generator)
            return
        endless = (batch for _ in count() for batch in self.source.batches(size, self.generator))
        for first in range(0, self.schedule.steps, ROUND):
            yield islice(endless, min(ROUND, self.schedule.steps - first))

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


def _optimizer(settings: Mapping[str, Any], stage: Stage) -> torch.optim.Optimizer:
    try:
        return instantiate(settings, params=list(stage.module.parameters()), _convert_="all")
    except Exception as error:  # Hydra wraps whatever the optimiser raises
        reason = error.__cause__ or error
        raise BenchmarkError(f"method.training.optimizer: {reason}") from None
