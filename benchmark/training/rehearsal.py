"""A rehearsal before the training: whatever the images or settings make impossible is reported in seconds."""

import logging
import math
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from benchmark.data.batches import Images
from benchmark.data.crops import CropSource
from benchmark.errors import BenchmarkError
from benchmark.settings.training import StageConfig, Training
from benchmark.training.loop import TrainingData, first_look, stages_of, validation_score
from benchmark.training.steps import completed, steps_of
from datasets.batch import Batch
from methods.method import Method, Stage

log = logging.getLogger(__name__)

ONE_VALUE = "Expected more than 1 value per channel"  # BatchNorm
TOO_SMALL = (
    "Kernel size can't be greater than actual input size",
    "Output size is too small",
    "Padding size should be less than the corresponding input dimension",
    "Expected more than 1 spatial element",
    "Input and output sizes should be greater than 0",
)
"""Parts of torch's messages about images with fewer pixels than a network needs."""


def rehearse(method: Method, training: Training, data: TrainingData, title: str) -> None:
    """Score one image, then take one step of every stage on the smallest batch that its training will have.

    It reports nothing that the training would accept: statistics that a method takes from all train images are taken
    from few here, and later stages learn from earlier ones that are not trained, so errors and losses that may come
    from that are left to the training.

    Parameters
    ----------
    method
        With fresh weights; useless afterwards.

    Raises
    ------
    BenchmarkError
        If images are too small, the last batch has a single image and BatchNorm needs more, the first loss is not
        finite, or the method returns maps or scores of the wrong shape.
    Exception
        Any other that the method raises, unchanged: a bug of a method is shown with its traceback.
    """
    _score(method, data.train, title)
    for place, (stage, config) in enumerate(stages_of(method, training)):
        source = _source(method, stage, config, data)
        if source is None:
            continue
        few = max(config.batch_size, 2)
        size = smallest_batch(source, config)
        prepares = isinstance(source, Images) and type(method).on_train_start is not Method.on_train_start
        from_few = prepares and few < len(source)
        try:
            batch = _first_batch(method, stage, source, size, few)
            loss = _step(method, stage, config, batch, source, data)
        except BenchmarkError:
            raise
        except Exception as error:
            if (reason := _reason(error, method, training, stage, source, size)) is not None:
                raise BenchmarkError(f"{title}: stage '{stage.name}' cannot train: {reason}") from error
            if not from_few:
                raise
            log.info("%s: stage '%s' cannot be tried on %d images (%s)", title, stage.name, few, error)
            continue
        if place == 0 and not from_few and not math.isfinite(loss):
            raise BenchmarkError(
                f"{title}: the loss of stage '{stage.name}' is {loss:g} before its first step; expected a number: "
                "look for such values in backbone.weights and the images, or try runtime.precision=fp32"
            )


def smallest_batch(source: Images | CropSource, config: StageConfig) -> int:
    """Return the number of images in the smallest batch that a training has.

    The last batch of an epoch has the images that full ones leave; batches of crops are always full.
    """
    full, rest = divmod(len(source), config.batch_size)
    is_met = isinstance(source, Images) and (config.steps is None or config.steps > full)
    return rest if rest and is_met else config.batch_size


def _source(
    method: Method, stage: Stage, config: StageConfig, data: TrainingData
) -> Images | CropSource | None:
    """Return what a stage trains on; None if it has been trained for another category."""
    if method.crops(stage) is None:
        return data.train
    assert data.shared is not None, "a stage on crops needs images to cut them from"
    return data.shared.crops_of(method, stage, config)


def _score(method: Method, images: Images, title: str) -> None:
    """Score one image, as test images will be."""
    batch = images.batch(torch.arange(1))
    method.eval()
    with torch.no_grad(), images.runtime.autocast():
        try:
            maps = method.anomaly_map(batch).float()
        except Exception as error:
            if (reason := _settings_at_fault(error, method)) is None:
                raise
            raise BenchmarkError(f"{title} cannot score an image: {reason}") from error
        _check_shape(method, "anomaly_map", maps, "(1, h, w)", maps.ndim == 3 and len(maps) == 1)
        scores = method.image_score(
            method.enlarged(maps, batch) if method.scores_enlarged_maps else maps, batch
        )
        _check_shape(method, "image_score", scores, "(1,)", tuple(scores.shape) == (1,))


def _check_shape(method: Method, hook: str, found: Tensor, expected: str, is_right: bool) -> None:
    if not is_right:
        raise BenchmarkError(
            f"{type(method).__name__}.{hook}: found shape {tuple(found.shape)} for one image; expected {expected}"
        )


def _first_batch(method: Method, stage: Stage, source: Images | CropSource, size: int, few: int) -> Batch:
    """Return a batch with what the stage adds to it, after `on_train_start` has seen the first images."""
    method.eval()
    with torch.no_grad(), source.runtime.autocast():
        if isinstance(source, CropSource):
            method.on_train_start(stage, islice(first_look(source, size), 1))
            return next(source.batches(size, torch.Generator().manual_seed(0)))
        batches = torch.arange(min(few, len(source))).split(few)
        method.on_train_start(stage, map(source.batch, batches))
        batch = source.batch(torch.arange(size))
        return replace(batch, targets=method.targets(stage, batch))


def _step(
    method: Method,
    stage: Stage,
    config: StageConfig,
    batch: Batch,
    source: Images | CropSource,
    data: TrainingData,
) -> float:
    """Take one step, score validation images where they choose the epoch, and return the loss."""
    runtime, validation = source.runtime, data.validation
    natural = data.shared.natural(method, stage) if data.shared else None
    natural_batches = natural.batches(len(batch), torch.Generator().manual_seed(0)) if natural else None
    steps = steps_of(stage, config, source)
    method.eval()
    stage.module.train()
    loss = steps.take(completed(method, stage, batch, source, natural_batches), runtime).item()
    steps.finish()
    steps.free()
    if method.keeps_best_epoch and validation is not None and method.crops(stage) is None:
        size = smallest_batch(validation, replace(config, steps=None))
        validation_score(method, stage, [validation.batch(torch.arange(size))], runtime)
    return loss


def _reason(
    error: Exception,
    method: Method,
    training: Training,
    stage: Stage,
    source: Images | CropSource,
    size: int,
) -> str | None:
    """Return what to change if a network cannot process so few images or pixels; None: another error."""
    if ONE_VALUE in str(error):
        images, entry = len(source), training.entry_of(stage.name)
        own = entry is not None and "batch_size" in training.stages[entry]
        option = f"method.training{f'.stages.{entry}' if own else ''}.batch_size"
        batch_size = training.stage(stage.name).batch_size
        others = [other for other in range(2, images + 1) if images % other != 1]
        way = f"{option}={min(others, key=lambda n: abs(n - batch_size))}" if others else "more train images"
        return (
            f"its BatchNorm needs more than one value per channel, and the {images} train images in batches of "
            f"{option}={batch_size} leave a batch of {size} ({_first_line(error)}); set {way}, or a larger "
            "method.training.image_size"
        )
    return _settings_at_fault(error, method) if isinstance(source, Images) else None


def _settings_at_fault(error: Exception, method: Method) -> str | None:
    """Return which settings to look at, if torch reports sizes that do not fit; None: another error.

    Whatever torch refuses of a method of this suite comes from its settings; of a user's, it may be a bug.
    """
    text = _first_line(error)
    if any(sign in text for sign in TOO_SMALL):
        return f"its images are too small for the network's layers ({text}); set a larger method.training.image_size"
    is_ours = type(method).__module__.partition(".")[0] == "methods"
    if is_ours and isinstance(error, RuntimeError) and "memory" not in text.lower():
        return (
            f"its networks do not fit the images or features ({text}); look at method.layers, "
            "method.training.image_size and depth_size, and the sizes among the method's options"
        )
    return None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
