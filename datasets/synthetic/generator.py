"""The base of the generators: it draws pictures with and without defects and writes them as a dataset."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np

from datasets.category import GOOD
from datasets.errors import DatasetError
from datasets.names import choose
from datasets.synthetic.drawing import Defect, Scene
from store.folders import write_folder_once
from store.keys import make_key

IMAGE_SIZES = range(32, 2049)
COUNTS = range(1, 10_001)
SEEDS = range(2**32)

_MAX_DRAWS = 200

Picture = TypeVar("Picture")


class Exposure(ABC, Generic[Picture]):
    """One scene before a camera: the same light and noise with and without a defect."""

    scene: Scene

    @abstractmethod
    def normal(self) -> Picture:
        """Return the picture without a defect."""

    @abstractmethod
    def with_defect(self, defect: Defect) -> Picture | None:
        """Return the picture with a defect; None if the defect is too small, too large or hardly visible."""


class Generator(ABC, Generic[Picture]):
    """Draws the pictures of a dataset; a subclass has the scenes and the form of a picture.

    Attributes
    ----------
    name
        The beginning of the name of the dataset's folder.
    scenes
        {category: class of its scenes}.
    parts
        {name of a count: (split, default)} of the normal images; `test_defective` comes on top.
    """

    name: ClassVar[str]
    scenes: ClassVar[Mapping[str, type[Scene]]]
    parts: ClassVar[Mapping[str, tuple[str, int]]]

    @abstractmethod
    def expose(
        self, category: str, image_size: int, streams: Iterator[np.random.Generator]
    ) -> Exposure[Picture]:
        """Set up a scene of a category, each of its parts from the next stream of random numbers."""

    @abstractmethod
    def write(self, folder: Path, split: str, kind: str, pictures: Iterator[Picture]) -> None:
        """Write the pictures of one split and kind below a category's folder."""

    def generate(
        self,
        root: Path,
        categories: object = "all",
        image_size: int = 128,
        seed: int = 0,
        **counts: int,
    ) -> Path:
        """Write a synthetic dataset below ``root``, unless it is there already.

        The dataset appears under its name only when it is complete, and several processes may ask for it at
        once. A damaged file is noticed and the dataset written anew.

        Parameters
        ----------
        root
            The folder below which the dataset's own folder is made, named by a key of the arguments and the code.
        categories
            `all`, one name, or a list of names of `scenes`.
        image_size
            Width and height of the images, pixels; 32 to 2048.
        seed
            0 to 2**32 - 1; an image depends only on the seed and on its category, split, kind, index and size.
        counts
            The number of normal images of a category, by the names in `parts`: `train`, `test_good` and, with
            depth, `validation`; and `test_defective`, the number of images of each of its three kinds of defects; each
            1 to 10000.

        Returns
        -------
        Path
            The dataset's folder.

        Raises
        ------
        DatasetError
            If an argument is out of range.
        StoreError
            If ``root`` cannot be written.
        """
        counts = {name: default for name, (_, default) in self.parts.items()} | {"test_defective": 8} | counts
        names = sorted(choose("dataset.categories", categories, tuple(self.scenes), "a generated category"))
        self._check(image_size, seed, counts)
        key = make_key(type(self), categories=names, image_size=image_size, seed=seed, counts=counts)

        def write(folder: Path) -> None:
            for category in names:
                for split, kind, count in self._parts(category, counts):
                    pictures = (
                        self.draw(category, split, kind, index, image_size=image_size, seed=seed)
                        for index in range(count)
                    )
                    self.write(folder / category, split, kind, pictures)

        return write_folder_once(root / f"{self.name}-{key[:12]}", write)

    def draw(
        self, category: str, split: str, kind: str, index: int, *, image_size: int, seed: int
    ) -> Picture:
        """Draw one picture.

        Parameters
        ----------
        category
            One of `scenes`.
        split
            ``train``, ``validation`` or ``test``.
        kind
            ``good``, or one of the category's kinds of defects.
        index, image_size, seed
            The image's number, its width and height in pixels, and the dataset's seed.
        """
        exposure, rng = self.set_up(category, split, kind, index, image_size=image_size, seed=seed)
        if kind == GOOD:
            return exposure.normal()
        for _ in range(_MAX_DRAWS):
            picture = exposure.with_defect(exposure.scene.defect(kind, rng))
            if picture is not None:
                return picture
        raise RuntimeError(f"no {kind} of the required area and contrast in {_MAX_DRAWS} draws")

    def set_up(
        self, category: str, split: str, kind: str, index: int, *, image_size: int, seed: int
    ) -> tuple[Exposure[Picture], np.random.Generator]:
        """Set up the scene that `draw` draws; also return the random numbers for its defect."""
        streams = _random_streams(seed, category, split, kind, index, image_size)
        return self.expose(category, image_size, streams), next(streams)

    def _parts(self, category: str, counts: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
        """Yield a category's parts: the split, the kind, and the number of images."""
        for name, (split, _) in self.parts.items():
            yield split, GOOD, counts[name]
        for kind in self.scenes[category].kinds:
            yield "test", kind, counts["test_defective"]

    def _check(self, image_size: int, seed: int, counts: Mapping[str, int]) -> None:
        """Refuse arguments that are out of range."""
        for name in counts:
            if name not in self.parts and name != "test_defective":
                raise TypeError(f"unknown count {name!r}; expected {', '.join(self.parts)} or test_defective")
        allowed = {"image_size": IMAGE_SIZES, "seed": SEEDS} | dict.fromkeys(counts, COUNTS)
        for name, value in {"image_size": image_size, "seed": seed, **counts}.items():
            if value not in allowed[name]:
                raise DatasetError(
                    f"dataset.{name}={value}; expected {allowed[name][0]} to {allowed[name][-1]}"
                )


def _random_streams(*key: object) -> Iterator[np.random.Generator]:
    """Yield independent random numbers that depend only on an image's key."""
    entropy = int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode()).digest())
    sequence = np.random.SeedSequence(entropy)
    while True:
        yield np.random.default_rng(*sequence.spawn(1))
