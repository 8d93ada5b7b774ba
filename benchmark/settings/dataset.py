"""The options that every dataset has: which of its images train what."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from benchmark.settings.values import UnknownOptionError, build, typed
from datasets.dataset import Dataset
from datasets.training_sets import DrawnTrainImages, contaminating
from methods.ranges import Range

TrainImages = Annotated[int, Range(at_least=1, at_most=100_000_000, note="images of each category")]
Contamination = Annotated[float, Range(at_least=0, at_most=0.5, note="a fraction of the train images")]


@dataclass(frozen=True)
class TrainingSet:
    """Which images of a dataset a model is trained on, see `datasets.training_sets.draw` and `datasets.pooled.pool`.

    Attributes
    ----------
    train_images
        Number of train images of each category, drawn with the seed of the run; None: all.
    contamination
        The share of them that are defective test images, which are no longer tested.
    pool
        `category`: a model for each category; `all`: one for all categories of the run.
    """

    train_images: TrainImages | None = None
    contamination: Contamination = 0.0
    pool: Literal["category", "all"] = "category"

    @property
    def draws(self) -> bool:
        """Whether train images are drawn."""
        return self.train_images is not None or self.contamination > 0

    def describe(self, train_images: int, categories: int) -> str:
        """Return in words what a cell is trained on that differs from a dataset's own train images; "": nothing.

        Parameters
        ----------
        train_images
            Number of train images of the cell's category.
        categories
            Number of categories of the run.

        Examples
        --------
        >>> TrainingSet(contamination=0.1).describe(60, 4), TrainingSet(train_images=8, pool="all").describe(8, 4)
        ('6 of 60 train images are defective', '8 train images; one model for all 4 categories')
        """
        defective = contaminating(train_images, self.contamination)
        parts = [
            *([f"{train_images} train images"] if self.train_images is not None else []),
            *([f"{defective} of {train_images} train images are defective"] if self.contamination else []),
            *([f"one model for all {categories} categories"] if self.pool == "all" else []),
        ]
        return "; ".join(parts)


OPTIONS = tuple(field.name for field in fields(TrainingSet))


def read_training_set(options: Mapping[str, Any]) -> TrainingSet:
    """Read and check the options that every dataset has; those that are missing have their defaults.

    Parameters
    ----------
    options
        All options of `dataset`.

    Raises
    ------
    BenchmarkError
        If one is of the wrong type or out of range.
    """
    return typed(TrainingSet, {name: options[name] for name in OPTIONS if name in options}, "dataset")


def build_dataset(options: Mapping[str, Any]) -> Dataset:
    """Return the whole dataset that `_target_` and the options of its own describe.

    Raises
    ------
    BenchmarkError, DatasetError
        If an option is unknown, missing, of the wrong type or out of range, or the dataset cannot be read.
    """
    own = {name: value for name, value in options.items() if name not in OPTIONS}
    try:
        return build("dataset", own, Dataset)
    except UnknownOptionError as error:
        raise UnknownOptionError(error.path, error.name, [*error.known, *OPTIONS]) from None


def with_drawn_images(dataset: Dataset, training_set: TrainingSet, seed: int) -> Dataset:
    """Return a dataset whose train images are drawn, if they are, with the seed of the run."""
    if not training_set.draws:
        return dataset
    return DrawnTrainImages(dataset, training_set.train_images, training_set.contamination, seed)
