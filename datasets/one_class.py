"""One-class novelty detection: one class of a labelled dataset is normal, and all others are anomalous."""

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.category import GOOD, Category, Sample
from datasets.dataset import Dataset
from datasets.listing import image_files
from datasets.names import check_dataset_name, choose
from store.folders import write_folder_once
from store.keys import make_key

DIGITS = tuple("0123456789")


class Labelled(NamedTuple):
    """The images of one split.

    Attributes
    ----------
    images
        (N, height, width) grey or (N, height, width, 3) RGB, uint8.
    labels
        (N,) positions in the dataset's `classes`.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


class OneClass(Dataset):
    """A category per class: its train images are normal, and so are its test images, all others are anomalous.

    Every category is measured on all test images. No image has ground truth, so that pixel measures are undefined.
    The images are written once as PNG files, `<split>/<class>/<number>.png` with their number in the split, to a kept
    folder that is named by a key of their content.

    Parameters
    ----------
    cache_dir
        The folder below which that folder is made.
    categories
        `all`, one class, or a list of classes, each the normal one of a category.
    name
        The dataset's name in tables, captions and files. None: that of the class.

    Raises
    ------
    DatasetError
        If a category is unknown, or the images cannot be read.
    StoreError
        If `cache_dir` cannot be written.
    """

    classes: ClassVar[tuple[str, ...]]
    has_ground_truth = False

    def __init__(self, cache_dir: Path, categories: object = "all", name: str | None = None) -> None:
        self.name = check_dataset_name(self.name if name is None else name)
        self.categories = choose("dataset.categories", categories, self.classes, f"a class of {self.name}")
        self.folder = self._written(Path(cache_dir))

    @abstractmethod
    def read(self, split: str) -> Labelled:
        """Read the images of a split, `train` or `test`.

        Raises
        ------
        DatasetError
            If they cannot be read; the message names the file.
        """

    def category(self, name: str) -> Category:
        """List the samples of the category with this normal class; no image is decoded."""
        return Category(
            name=name,
            train=self._samples("train", name, GOOD),
            test=tuple(
                sample
                for each in self.classes
                for sample in self._samples("test", each, GOOD if each == name else each)
            ),
        )

    def _samples(self, split: str, name: str, kind: str) -> tuple[Sample, ...]:
        return tuple(Sample(path, kind) for path in image_files(self.folder / split / name))

    def _written(self, cache_dir: Path) -> Path:
        """Return the folder of the images, which is written unless it is there and intact."""
        splits = {split: self.read(split) for split in ("train", "test")}
        contents = {split: [_digest(array) for array in arrays] for split, arrays in splits.items()}
        key = make_key(write_images, classes=self.classes, contents=contents)

        def write(folder: Path) -> None:
            for split, labelled in splits.items():
                write_images(folder / split, labelled, self.classes)

        return write_folder_once(cache_dir / f"{type(self).name}-{key[:12]}", write)


def write_images(folder: Path, labelled: Labelled, classes: tuple[str, ...]) -> None:
    """Write the images of a split as PNG files, each in the folder of its class."""
    for name in classes:
        (folder / name).mkdir(parents=True)
    for number, (pixels, label) in enumerate(zip(*labelled, strict=True)):
        Image.fromarray(pixels).save(folder / classes[label] / f"{number:05d}.png")


def _digest(array: NDArray[Any]) -> str:
    """Return a digest of an array's shape and values."""
    return hashlib.sha256(f"{array.shape} {array.dtype} ".encode() + array.tobytes()).hexdigest()


class Digits(OneClass):
    """Handwritten digits of 8x8 pixels, which scikit-learn holds: no download.

    They have no official split: a third of each class, drawn with a fixed seed, are the test images.
    """

    classes = DIGITS

    def read(self, split: str) -> Labelled:
        """Read the images of a split; their 17 grey levels are scaled to 0..255."""
        # imports of seconds, which no mistyped option should wait for
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        parts = train_test_split(
            range(len(digits.target)), test_size=1 / 3, stratify=digits.target, random_state=0
        )
        chosen = sorted(parts[("train", "test").index(split)])
        grey = (digits.images[chosen] * (255 / 16)).round().astype(np.uint8)
        return Labelled(grey, digits.target[chosen].astype(np.int64))
