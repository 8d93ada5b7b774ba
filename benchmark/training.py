"""The one training loop: every stage of every method runs through it."""

import copy
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor

from benchmark.data import Images
from benchmark.errors import BenchmarkError
from benchmark.progress import StageProgress
from benchmark.settings import Training
from methods.method import Method, Stage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageRecord:
    """What a stage left behind: per epoch its mean loss, and the value by which an epoch was chosen."""

    name: str
    losses: list[float]
    selection: list[float]
    best_epoch: int
    seconds: float
    images: int


def fit(
    method: Method,
    training: Training,
    train: Images,
    validation: Images | None,
    seed: int,
    title: str,
    progress: bool = True,
) -> list[StageRecord]:
    """Train a method's stages in order, then let it calibrate, on defect-free images alone.

    Parameters
    ----------
    method
        On the device of the images.
    training
        The schedule; `training.stages.<name>` overrides it for one stage.
    train, validation
        Defect-free images; validation images choose an epoch and calibrate, and may be None.
    seed
        Of the order of the images.
    title
        Method and category, for progress and messages.

    Raises
    ------
    BenchmarkError
        If the loss is not finite any more (method, category, stage and epoch are named), or a stage selects
        epochs and there are no validation images.
    """
    generator = torch.Generator().manual_seed(seed)
    records = []
    for stage in method.stages():
        schedule = replace(training, **training.stages.get(stage.name, {}))
        if stage.select is not None and validation is None:
            raise BenchmarkError(
                f"{title}: stage '{stage.name}' keeps its best epoch by validation images and has none; set "
                "method.training.validation_fraction above 0"
            )
        records.append(_run_stage(method, stage, schedule, train, validation, generator, title, progress))
    method.eval()
    with torch.no_grad(), train.runtime.autocast():
        method.calibrate((validation or train).batches(training.batch_size))
    return records


def _run_stage(
    method: Method,
    stage: Stage,
    training: Training,
    train: Images,
    validation: Images | None,
    generator: torch.Generator,
    title: str,
    progress: bool,
) -> StageRecord:
    optimizer = _optimizer(training.optimizer, stage)
    losses: list[float] = []
    selection: list[float] = []
    best: dict[str, Tensor] = {}
    best_epoch = training.epochs
    log.info("%s: %s trains for %d epochs on %d images", title, stage.name, training.epochs, len(train))
    start = time.perf_counter()
    with StageProgress(f"{title} {stage.name}", training.epochs, progress) as bar:
        for epoch in range(1, training.epochs + 1):
            losses.append(_run_epoch(method, stage, optimizer, train, training.batch_size, generator))
            if not math.isfinite(losses[-1]):
                raise BenchmarkError(
                    f"{title}: the loss of stage '{stage.name}' became {losses[-1]} in epoch {epoch}; a lower "
                    "method.training.optimizer.lr, or trainer.precision=fp32, may help"
                )
            if stage.select is not None and validation is not None:
                selection.append(_selection_value(method, stage, validation, training.batch_size))
                if selection[-1] < min(selection[:-1], default=math.inf):
                    best, best_epoch = copy.deepcopy(stage.module.state_dict()), epoch
            bar.epoch_done(epoch, losses[-1])
    if best:
        stage.module.load_state_dict(best)
    seconds = time.perf_counter() - start
    return StageRecord(stage.name, losses, selection, best_epoch, seconds, len(train) * training.epochs)


def _optimizer(settings: Mapping[str, Any], stage: Stage) -> torch.optim.Optimizer:
    try:
        return instantiate(settings, params=list(stage.module.parameters()), _convert_="all")
    except Exception as error:  # Hydra wraps whatever the optimiser raises
        reason = error.__cause__ or error
        raise BenchmarkError(f"method.training.optimizer: {reason}") from None


def _run_epoch(
    method: Method,
    stage: Stage,
    optimizer: torch.optim.Optimizer,
    train: Images,
    batch_size: int,
    generator: torch.Generator,
) -> float:
    """Run one epoch and return the mean loss over its images; the device is waited for once, at its end."""
    method.eval()
    stage.module.train()
    total = torch.zeros((), device=train.runtime.device, dtype=torch.float64)
    for batch in train.batches(batch_size, generator):
        with train.runtime.autocast():
            loss = stage.loss(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(batch)
    return total.item() / len(train)


def _selection_value(method: Method, stage: Stage, validation: Images, batch_size: int) -> float:
    assert stage.select is not None
    method.eval()
    with torch.no_grad(), validation.runtime.autocast():
        values = [stage.select(batch) for batch in validation.batches(batch_size)]
    return torch.cat(values).double().mean().item()
