"""The images for pretraining: natural images from a folder, or the train images of the categories."""

import os
import random
from collections.abc import Iterable
from pathlib import Path

from datasets.category import Category, Sample
from datasets.errors import DatasetError
from datasets.images import IMAGE_SUFFIXES

NAME = "pretraining"


def natural_images(folder: Path, limit: int) -> Category:
    """Return the images below a folder, at any depth, as the train images of one category.

    Parameters
    ----------
    folder
        The folder; hidden files and folders below it are ignored.
    limit
        The largest number of images; of more, a random subset, the same at every call.

    Raises
    ------
    DatasetError
        If the folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise DatasetError(f"method.training.pretraining.images={folder}: there is no such folder")
    found = sorted(_images_below(folder))
    if not found:
        raise DatasetError(
            f"method.training.pretraining.images={folder}: found no image at any depth; expected "
            f"{', '.join(sorted(IMAGE_SUFFIXES))} files"
        )
    return _category([Sample(path) for path in found], limit)


def train_images(categories: Iterable[Category], limit: int) -> Category:
    """Return the train images of some categories together; see `natural_images` for `limit`."""
    images = [Sample(sample.image) for category in categories for sample in category.train]
    return _category(images, limit)


def _category(samples: list[Sample], limit: int) -> Category:
    if len(samples) > limit:
        at = sorted(random.Random(0).sample(range(len(samples)), limit))
        samples = [samples[i] for i in at]
    return Category(NAME, train=tuple(samples), test=())


def _images_below(folder: Path) -> Iterable[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(parent, name)
