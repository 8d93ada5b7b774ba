"""A detector in the making: a rehearsal, then a method with fresh weights that is trained."""

from collections.abc import Callable

from benchmark.data.batches import Images
from benchmark.runtime import seed_everything
from benchmark.settings.training import Training
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.loop import Progress, SharedStages, TrainingData, train
from benchmark.training.records import StageRecord
from benchmark.training.rehearsal import rehearse
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
        See `datasets.category.Category.hold_out`, the method, `rehearse` and `train`.
    """
    split = category.hold_out(training.validation_fraction, training.validation_seed)
    if validation is None and split.validation:
        validation = images.select(split.validation)
    data = TrainingData(images.select(split.train), validation, shared)
    seed_everything(seed)
    rehearse(images.runtime.move(build()), training, data, title)
    seed_everything(seed)  # the method that is trained is another one: the rehearsal leaves no trace in it
    method = images.runtime.move(build())
    seed_everything(seed)
    return method, train(method, training, data, seed, title, progress, checkpoint)
