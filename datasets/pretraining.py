"""The images for pretraining: natural images from a folder, or the train images of the categories."""

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from datasets.category import Category, Sample
from datasets.errors import DatasetError
from datasets.images import IMAGE_SUFFIXES
from datasets.listing import images_below, is_folder

NAME = "pretraining"


def natural_images(folder: Path, limit: int) -> Category:
    """Return the images below a folder, at any depth, as the train images of one category.

    Parameters
    ----------
    folder
        The folder; links are followed, hidden files and folders below it ignored.
    limit
        The largest number of images; of more, a random subset, the same at every call.

    Raises
    ------
    DatasetError
        If the folder is missing, cannot be read or holds no image, or a link below it leads nowhere.
    """
    if not is_folder(folder):
        raise DatasetError(f"method.training.pretraining.images={folder}: there is no such folder")
    found = sorted(images_below(folder))
    if not found:
        raise DatasetError(
            f"method.training.pretraining.images={folder}: found no image at any depth; expected "
            f"{', '.join(sorted(IMAGE_SUFFIXES))} files"
        )
    return _category([Sample(path) for path in found], limit)


def train_images(categories: Iterable[Category], limit: int) -> Category:
    """Return the train images of some categories together; see `natural_images` for `limit`.

    Raises
    ------
    DatasetError
        If the categories' images are read with different bit depths.
    """
    chosen = list(categories)
    bit_depths = {category.bit_depth for category in chosen}
    if len(bit_depths) > 1:
        raise DatasetError(
            f"the categories have the bit depths {sorted(map(str, bit_depths))}; expected one for all, as their train "
            "images are used together"
        )
    images = [Sample(sample.image) for category in chosen for sample in category.train]
    return replace(_category(images, limit), bit_depth=next(iter(bit_depths), None))


def _category(samples: list[Sample], limit: int) -> Category:
    if len(samples) > limit:
        at = sorted(random.Random(0).sample(range(len(samples)), limit))
        samples = [samples[i] for i in at]
    return Category(NAME, train=tuple(samples), test=())
