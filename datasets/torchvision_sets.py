"""Labelled datasets of torchvision for one-class novelty detection: official splits, an optional download."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from datasets.errors import DatasetError
from datasets.one_class import DIGITS, Labelled, OneClass
from datasets.options import check_folder, root_folder
from store.folders import locked

_UNREADABLE = (AssertionError, EOFError, KeyError, OSError, RuntimeError, ValueError)
"""What torchvision and Python raise on damaged files, and on downloads that fail."""


class TorchvisionSet(OneClass):
    """A dataset that torchvision keeps below `root`; see `OneClass` for the other parameters.

    Parameters
    ----------
    root
        The folder in which torchvision keeps its datasets.
    download
        Have torchvision fetch the files into `root` where they are missing; it compares them with its checksums.

    Raises
    ------
    DatasetError
        If a file is missing, damaged, or not the official one; the message names it.
    """

    title: ClassVar[str]
    source: ClassVar[str]
    """The name of torchvision's class."""
    place: ClassVar[str]
    """The folder of the files, below the root."""
    counts: ClassVar[dict[str, int]] = {"train": 60_000, "test": 10_000}
    """The number of images by split."""

    def __init__(
        self,
        root: str | None,
        cache_dir: Path,
        categories: object = "all",
        name: str | None = None,
        download: bool = False,
    ) -> None:
        advice = f"dataset.download=true fetches {self.title} into it"
        self.root, self.download = root_folder(root, f" {self.place}; {advice}"), download
        if not download:
            check_folder("dataset.root", self.root, f"; {advice}")
        super().__init__(cache_dir, categories, name)

    @abstractmethod
    def files(self) -> dict[Path, str | None]:
        """Return the MD5 of each file that `load` needs; None where torchvision knows that of its archive only."""

    @abstractmethod
    def load(self, split: str) -> tuple[Any, Any]:
        """Return the images and labels of a split."""

    @property
    def torchvision_class(self) -> Any:
        """The class of torchvision that downloads the dataset."""
        import torchvision.datasets  # takes seconds, which no mistyped option should wait for

        return getattr(torchvision.datasets, self.source)

    def read(self, split: str) -> Labelled:
        """Read the images of a split; download them before if that is wanted and they are not there."""
        files = self.files()
        if self.download and not all(_is_intact(path, md5) for path, md5 in files.items()):
            self._fetch()
        for path, md5 in files.items():
            self.load_file(path, partial(_check, md5=md5))
        images, labels = (np.asarray(values) for values in self.load(split))
        expected, classes = self.counts[split], sorted({*labels.tolist()})
        if not len(images) == len(labels) == expected or classes != [*range(len(self.classes))]:
            raise DatasetError(
                f"{self.root / self.place}: found {len(images)} {split} images, and {len(labels)} labels of "
                f"{len(classes)} classes; expected the official files of {self.title}, {expected} images of "
                f"{len(self.classes)} classes: delete the folder and set dataset.download=true"
            )
        return Labelled(images, labels.astype(np.int64))

    def load_file(self, path: Path, load: Callable[[str], Any]) -> Any:
        """Return what `load` reads from a file.

        Raises
        ------
        DatasetError
            If the file is missing or damaged.
        """
        try:
            return load(str(path))
        except FileNotFoundError:
            raise DatasetError(
                f"{path}: the file is missing; expected {self.title} as torchvision keeps it below dataset.root, or "
                "dataset.download=true"
            ) from None
        except _UNREADABLE as error:
            raise DatasetError(
                f"{path}: the file is damaged ({type(error).__name__}: {error}); delete it and set "
                "dataset.download=true"
            ) from None

    def _fetch(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with locked(self.root / self.source, f"downloading {self.title}"):
                self.torchvision_class(str(self.root), download=True)
        except _UNREADABLE as error:
            raise DatasetError(
                f"dataset.download=true: cannot fetch {self.title} into {self.root / self.place} "
                f"({' '.join(str(error).split())}); expected a connection, or the official files put there by hand"
            ) from None


def _check(path: str, md5: str | None) -> None:
    """Refuse a file that cannot be opened, or with another MD5 than the expected one."""
    with Path(path).open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest() if md5 else None
    if found != md5:
        raise ValueError(f"found md5:{found}; expected md5:{md5}")


def _is_intact(path: Path, md5: str | None) -> bool:
    try:
        _check(str(path), md5)
    except (OSError, ValueError):
        return False
    return True


class MNIST(TorchvisionSet):
    """Handwritten digits, 28x28 grey pixels (LeCun et al., 1998)."""

    name = "mnist"
    title = source = "MNIST"
    place = "MNIST/raw"
    classes = DIGITS

    def files(self) -> dict[Path, str | None]:
        """Return the unpacked files."""
        archives = [Path(name) for name, _ in self.torchvision_class.resources]
        return {self.root / self.place / archive.stem: None for archive in archives}

    def load(self, split: str) -> tuple[Any, Any]:
        """Return the images and labels of a split."""
        from torchvision.datasets.mnist import read_image_file, read_label_file

        begin = f"{self.root / self.place}/{ {'train': 'train', 'test': 't10k'}[split] }"
        return (
            self.load_file(Path(f"{begin}-images-idx3-ubyte"), read_image_file),
            self.load_file(Path(f"{begin}-labels-idx1-ubyte"), read_label_file),
        )


class FashionMNIST(MNIST):
    """Articles of clothing, 28x28 grey pixels (Xiao et al., 2017), in files like those of MNIST."""

    name = "fashion_mnist"
    title, source = "Fashion-MNIST", "FashionMNIST"
    place = "FashionMNIST/raw"
    classes = (
        *("tshirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle_boot"),
    )


class CIFAR10(TorchvisionSet):
    """Photographs, 32x32 pixels in colour (Krizhevsky, 2009)."""

    name = "cifar10"
    title, source = "CIFAR-10", "CIFAR10"
    place = "cifar-10-batches-py"
    counts: ClassVar[dict[str, int]] = {"train": 50_000, "test": 10_000}
    classes = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )

    def files(self) -> dict[Path, str | None]:
        """Return the batches, which are unpickled only after their checksums were found right."""
        kind = self.torchvision_class
        batches = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
        return {self.root / self.place / name: md5 for name, md5 in batches}

    def load(self, split: str) -> tuple[Any, Any]:
        """Return the images and labels of a split."""
        loaded = self.torchvision_class(str(self.root), train=split == "train")
        return loaded.data, loaded.targets
