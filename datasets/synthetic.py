"""A small synthetic dataset of textures and objects with defects and pixel masks, in MVTec AD's layout.

It stands in for the real datasets where those are too large or may not be shipped: in tests, in examples and
for a first look. The same arguments give the same images everywhere; nothing is downloaded.
"""

import difflib
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.atomic import write_folder_once
from datasets.category import GOOD
from datasets.errors import DatasetError
from datasets.folder import Folder
from datasets.synthetic_drawing import Camera, Scene, mix
from datasets.synthetic_objects import Capsule, Washer
from datasets.synthetic_textures import Granite, Weave

GENERATOR_VERSION = 1
"""Part of the folder's name: raise it with every change of what is drawn."""

MIN_IMAGE_SIZE = 32

_SCENES: dict[str, type[Scene]] = {"weave": Weave, "granite": Granite, "washer": Washer, "capsule": Capsule}

CATEGORIES: tuple[str, ...] = tuple(_SCENES)
"""The known categories: two textures, then two objects."""

_MIN_OPACITY = 0.25
_DEFECT_AREA = (0.005, 0.06)
_MIN_CONTRAST = 15  # of 255, on average over the mask
_MIN_CHANGED = 0.7  # of the mask's pixels
_MAX_DRAWS = 200


class Picture(NamedTuple):
    """An image (size, size, 3) and its mask (size, size; 0 or 255), both uint8."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


class Synthetic(Folder):
    """Generated textures and objects; see `generate` for the parameters."""

    def __init__(
        self,
        cache_dir: Path,
        categories: str | Sequence[str] = "all",
        image_size: int = 128,
        train: int = 60,
        test_good: int = 12,
        test_defective: int = 8,
        seed: int = 0,
    ) -> None:
        root = generate(
            Path(cache_dir),
            categories=listed(categories, CATEGORIES),
            image_size=image_size,
            train=train,
            test_good=test_good,
            test_defective=test_defective,
            seed=seed,
        )
        super().__init__(str(root), categories)


def generate(
    root: Path,
    *,
    categories: Sequence[str] = CATEGORIES,
    image_size: int = 128,
    train: int = 60,
    test_good: int = 12,
    test_defective: int = 8,
    seed: int = 0,
) -> Path:
    """Write a synthetic dataset below ``root``, unless it is there already.

    The files lie as in MVTec AD: ``<category>/train/good/000.png``, ``<category>/test/good/000.png``,
    ``<category>/test/<kind>/000.png`` and ``<category>/ground_truth/<kind>/000_mask.png``. The dataset
    appears under its name only when it is complete, and several processes may ask for it at once.

    Parameters
    ----------
    root
        The folder below which the dataset's own folder is made, named by a hash of all the other arguments.
    categories
        Which of `CATEGORIES` to draw.
    image_size
        The side of the square images, in pixels; at least 32.
    train, test_good
        How many defect-free images a category has for training and for testing.
    test_defective
        How many defective images a category has of each of its three kinds.
    seed
        An image depends on the seed, its category, split, kind, index and size, and on nothing else.

    Returns
    -------
    Path
        The dataset's folder.

    Raises
    ------
    DatasetError
        If an argument is out of range, or ``root`` cannot be written.
    """
    counts = {"train": train, "test_good": test_good, "test_defective": test_defective}
    check_arguments(categories, CATEGORIES, image_size, counts)
    names = sorted(set(categories))
    target = root / f"synthetic-{digest(GENERATOR_VERSION, names, image_size, seed, counts)}"

    def write(folder: Path) -> None:
        for category in names:
            for split, kind, count in _parts(category, **counts):
                pictures = (
                    draw(category, split, kind, index, image_size=image_size, seed=seed)
                    for index in range(count)
                )
                _write_part(folder / category, split, kind, pictures)

    return write_folder_once(target, write)


def draw(category: str, split: str, kind: str, index: int, *, image_size: int, seed: int) -> Picture:
    """Draw one image and its mask.

    Parameters
    ----------
    category
        One of `CATEGORIES`.
    split
        ``train`` or ``test``.
    kind
        ``good``, or one of the category's defect kinds.
    index, image_size, seed
        The image's number, its side in pixels, and the dataset's seed.
    """
    scene, camera, rng = _stage(category, split, kind, index, image_size, seed)
    if kind == GOOD:
        return Picture(camera.photograph(scene.colour), np.zeros((image_size, image_size), np.uint8))
    return _photograph_defect(scene, camera, kind, rng)


def _stage(
    category: str, split: str, kind: str, index: int, image_size: int, seed: int
) -> tuple[Scene, Camera, np.random.Generator]:
    """Set up the defect-free scene and its camera, and give the random numbers left for a defect."""
    of_scene, of_camera, of_defect = random_streams(3, seed, category, split, kind, index, image_size)
    return _SCENES[category](of_scene, image_size), Camera.sample(of_camera, image_size), of_defect


def _photograph_defect(scene: Scene, camera: Camera, kind: str, rng: np.random.Generator) -> Picture:
    """Draw defects until one has the wanted area and contrast; outside its mask no pixel changes."""
    clean = camera.photograph(scene.colour)
    for _ in range(_MAX_DRAWS):
        defect = scene.defect(kind, rng)
        mask = defect.opacity > _MIN_OPACITY
        if not _DEFECT_AREA[0] <= mask.mean() <= _DEFECT_AREA[1]:
            continue
        marred = camera.photograph(mix(scene.colour, defect.colour, defect.opacity))
        change = np.abs(marred.astype(int) - clean)[mask]
        if change.mean() >= _MIN_CONTRAST and np.any(change, axis=1).mean() >= _MIN_CHANGED:
            return Picture(np.where(mask[..., None], marred, clean), mask.astype(np.uint8) * 255)
    raise RuntimeError(f"no {kind} of the wanted area and contrast in {_MAX_DRAWS} draws")


def _parts(category: str, train: int, test_good: int, test_defective: int) -> Iterator[tuple[str, str, int]]:
    """List a category's parts: the split, the kind, and how many images it has."""
    yield "train", GOOD, train
    yield "test", GOOD, test_good
    for kind in _SCENES[category].kinds:
        yield "test", kind, test_defective


def _write_part(folder: Path, split: str, kind: str, pictures: Iterator[Picture]) -> None:
    """Write the images of one kind below a category's folder, and their masks where the kind is a defect."""
    images, masks = folder / split / kind, folder / "ground_truth" / kind
    images.mkdir(parents=True)
    if kind != GOOD:
        masks.mkdir(parents=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture.image).save(images / f"{index:03d}.png")
        if kind != GOOD:
            Image.fromarray(picture.mask).save(masks / f"{index:03d}_mask.png")


def listed(categories: str | Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """Return the categories that ``all``, one name or a list of names stands for."""
    chosen = [categories] if isinstance(categories, str) else list(categories)
    return known if chosen == ["all"] else chosen


def digest(*arguments: object) -> str:
    """Return a short name for what a dataset is made of."""
    return hashlib.sha256(json.dumps(arguments).encode()).hexdigest()[:12]


def random_streams(count: int, *key: object) -> list[np.random.Generator]:
    """Return independent random numbers, ``count`` times, that depend on an image's key and on nothing else."""
    entropy = int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode()).digest())
    return [np.random.default_rng(child) for child in np.random.SeedSequence(entropy).spawn(count)]


def check_arguments(
    categories: Sequence[str], known: Sequence[str], image_size: int, counts: dict[str, int]
) -> None:
    """Refuse arguments of a generator that are out of range."""
    if isinstance(categories, str) or not categories:
        raise DatasetError(
            f"dataset.categories={categories!r}: give a list of one or more of {', '.join(known)}"
        )
    for category in categories:
        if category not in known:
            near = difflib.get_close_matches(category, known)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise DatasetError(
                f"dataset.categories: unknown category {category!r}{hint} Known: {', '.join(known)}"
            )
    if image_size < MIN_IMAGE_SIZE:
        raise DatasetError(f"dataset.image_size={image_size}: must be at least {MIN_IMAGE_SIZE} pixels")
    for name, count in counts.items():
        if count < 1:
            raise DatasetError(f"dataset.{name}={count}: must be at least 1")
