"""The base of the generators: it draws pictures with and without defects and writes them as a dataset."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np

from datasets.category import GOOD
from datasets.errors import DatasetError
from datasets.synthetic.drawing import Defect, Scene
from store.errors import near
from store.folders import write_folder_once
from store.keys import make_key

MIN_IMAGE_SIZE = 32

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
        categories: str | Sequence[str] = "all",
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
            Width and height of the images, pixels; at least 32.
        seed
            An image depends only on the seed and on its category, split, kind, index and size.
        counts
            The number of normal images of a category, by the names in `parts`: `train`, `test_good` and, with
            depth, `validation`; and `test_defective`, the number of images of each of its three kinds of defects.

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
        names = self._checked(categories, image_size, counts)
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

    def _checked(
        self, categories: str | Sequence[str], image_size: int, counts: Mapping[str, int]
    ) -> list[str]:
        """Return the names of the categories, sorted; refuse arguments that are out of range."""
        names = [categories] if isinstance(categories, str) else list(categories)
        if not names:
            raise DatasetError(
                f"dataset.categories={names}; expected all, or one or more of {', '.join(self.scenes)}"
            )
        for name in names:
            if name not in self.scenes and names != ["all"]:
                raise DatasetError(
                    f"dataset.categories: unknown category {name!r}{near(name, self.scenes)}; expected all, or one "
                    f"or more of {', '.join(self.scenes)}"
                )
        if image_size < MIN_IMAGE_SIZE:
            raise DatasetError(f"dataset.image_size={image_size}; expected at least {MIN_IMAGE_SIZE} pixels")
        for name, count in counts.items():
            if name not in self.parts and name != "test_defective":
                raise TypeError(f"unknown count {name!r}; expected {', '.join(self.parts)} or test_defective")
            if count < 1:
                raise DatasetError(f"dataset.{name}={count}; expected at least 1")
        return sorted(self.scenes if names == ["all"] else set(names))


def _random_streams(*key: object) -> Iterator[np.random.Generator]:
    """Yield independent random numbers that depend only on an image's key."""
    entropy = int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode()).digest())
    sequence = np.random.SeedSequence(entropy)
    while True:
        yield np.random.default_rng(*sequence.spawn(1))
