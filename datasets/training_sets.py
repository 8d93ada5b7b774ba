"""Other train images than all of a dataset's own: a few of them, or with defective test images among them."""

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from datasets.category import Category, Sample
from datasets.dataset import Dataset
from datasets.errors import DatasetError, counted


class DrawnTrainImages(Dataset):
    """A dataset whose categories have the train and test images that `draw` returns.

    Parameters
    ----------
    dataset
        The whole dataset.
    train_images, contamination, seed
        See `draw`.
    """

    def __init__(self, dataset: Dataset, train_images: int | None, contamination: float, seed: int) -> None:
        self.dataset, self.name, self.categories = dataset, dataset.name, dataset.categories
        self.has_depth, self.has_ground_truth = dataset.has_depth, dataset.has_ground_truth
        self.has_validation = dataset.has_validation
        self.train_images, self.contamination, self.seed = train_images, contamination, seed

    def category(self, name: str) -> Category:
        """Return the category with the images drawn.

        Raises
        ------
        DatasetError
            As the whole dataset and `draw` say.
        """
        return draw(self.dataset.category(name), self.train_images, self.contamination, self.seed)

    def group(self, name: str) -> str:
        """Return the group of the category in the whole dataset."""
        return self.dataset.group(name)

    def unused(self, category: Category) -> tuple[str, ...]:
        """Return what the whole dataset passes over: images that are not drawn do not count."""
        return self.dataset.unused(self.dataset.category(category.name))


def draw(category: Category, train_images: int | None, contamination: float, seed: int) -> Category:
    """Return a category that is trained on other images.

    The images that are drawn depend on the seed, on the category's name and on the numbers of its images alone, and are
    nested: those of 8 train images are among those of 16, and the defective ones of 5 % among those of 10 %.

    Parameters
    ----------
    train_images
        The number of train images; None: all. The category's own validation images are left as they are.
    contamination
        The share of them that are defective test images, 0 to 0.5, rounded to whole images. They take the place of
        normal images, count as normal, and are no test images any more, the setting without overlap of SoftPatch (Jiang
        et al., NeurIPS 2022), whose released code adds them to the train images instead. They are spread over the kinds
        of defects as evenly as these last; at least one image of each kind stays in the test set.

    Raises
    ------
    DatasetError
        If there are not as many train or test images, or the share is no image.
    """
    total = len(category.train) if train_images is None else train_images
    if total > len(category.train):
        raise DatasetError(
            f"dataset.train_images={train_images}: category '{category.name}' has "
            f"{counted(len(category.train), 'train image')}; expected null, or at most {len(category.train)}"
        )
    defective = _drawn_defects(category, total, contamination, seed)
    kept = total - len(defective)
    order = _permutation(len(category.train), f"{seed} {category.name} train")
    normal = [category.train[i] for i in sorted(order[:kept])]
    moved = {sample.image for sample in defective}
    return replace(
        category,
        train=(*normal, *(Sample(sample.image, xyz=sample.xyz) for sample in defective)),
        test=tuple(sample for sample in category.test if sample.image not in moved),
    )


def contaminating(train_images: int, contamination: float) -> int:
    """Return how many of the train images are defective ones: the share, rounded to whole images, a half downwards.

    >>> contaminating(209, 0.1), contaminating(60, 0.05), contaminating(8, 0.05)
    (21, 3, 0)
    """
    return math.ceil(train_images * contamination - 0.5)


def _drawn_defects(category: Category, total: int, contamination: float, seed: int) -> list[Sample]:
    """Return the defective test images that are trained on, in the order of the test images."""
    option = f"dataset.contamination={contamination:g}"
    count = contaminating(total, contamination)
    if contamination and not count:
        raise DatasetError(
            f"{option} of the {counted(total, 'train image')} of category '{category.name}' are none; expected 0, or "
            f"more than {0.5 / total:g}"
        )
    kinds: dict[str, list[int]] = {}
    for i, sample in enumerate(category.test):
        if sample.label:
            kinds.setdefault(sample.kind, []).append(i)
    available = sum(len(images) - 1 for images in kinds.values())
    if count > available:
        found = sum(map(len, kinds.values()))
        raise DatasetError(
            f"{option} of the {total} train images of category '{category.name}' asks for "
            f"{counted(count, 'defective test image')}; found {found} of {counted(len(kinds), 'kind')}, of which "
            f"{available} can be moved, as one of each kind stays in the test set; expected at most "
            f"{math.floor(1000 * available / total) / 1000:g}"
        )
    shuffled = []
    for position in _permutation(len(kinds), f"{seed} {category.name} kinds"):
        kind, images = list(kinds.items())[position]
        order = _permutation(len(images), f"{seed} {category.name} {kind}")
        shuffled.append([images[i] for i in order[1:]])
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*shuffled))
    drawn = [i for i in rounds if i is not None][:count]
    return [category.test[i] for i in sorted(drawn)]


def _permutation(count: int, seed: str) -> Sequence[int]:
    """Return the numbers from 0 in an order that depends on the seed alone, on every machine and version."""
    return sorted(range(count), key=lambda i: hashlib.sha256(f"{seed} {i}".encode()).digest())
