"""A detector in the making: a method with fresh weights, tried on one image, then trained."""

from collections.abc import Callable

import torch

from benchmark.data.batches import Images
from benchmark.runtime import seed_everything
from benchmark.settings.training import Training
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.loop import Progress, SharedStages, TrainingData, train
from benchmark.training.records import StageRecord
from datasets.category import Category
from methods.method import Method


def fit(
    build: Callable[[], Method],
    training: Training,
    category: Category,
    images: Images,
    validation: Images | None,
    seed: int,
    title: str,
    shared: SharedStages | None = None,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> tuple[Method, list[StageRecord]]:
    """Build a method and train it on a category's normal images.

    Parameters
    ----------
    build
        Returns the method with fresh weights, drawn from the global generators.
    images
        All train images of the category.
    validation
        The category's own validation images; None: a part of the train images is held out.
    seed
        Decides the fresh weights, and all random numbers of the training.

    Raises
    ------
    DatasetError, MethodError, BenchmarkError
        See `datasets.category.Category.hold_out`, the method, and `train`.
    """
    runtime = images.runtime
    seed_everything(seed)
    method = runtime.move(build())
    split = category.hold_out(training.validation_fraction, training.validation_seed)
    if validation is None and split.validation:
        validation = images.select(split.validation)
    rehearse(method, images)
    seed_everything(seed)
    data = TrainingData(images.select(split.train), validation, shared)
    return method, train(method, training, data, seed, title, progress, checkpoint)


def rehearse(method: Method, images: Images) -> None:
    """Score one image, so that images which the method cannot process are reported before the training."""
    method.eval()
    with torch.no_grad(), images.runtime.autocast():
        batch = images.batch(torch.arange(1))
        method.image_score(method.anomaly_map(batch).float(), batch)
