"""A small synthetic dataset of images with depth, defects and pixel masks, in MVTec 3D-AD's layout.

The counterpart of `datasets.synthetic` for methods that look at depth. Of a category's defects, one is seen in
depth only, one in colour only, and one in both, so that a method must look at both to find all.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from datasets.atomic import write_folder_once
from datasets.category import GOOD
from datasets.folder_3d import Folder3D
from datasets.synthetic import check_arguments, digest, listed, random_streams
from datasets.synthetic_drawing import Camera, Defect, Sensor, mix
from datasets.synthetic_solids import MARGIN, Biscuit, Rod, Solid

GENERATOR_VERSION = 1
"""Part of the folder's name: raise it with every change of what is drawn."""

_SOLIDS: dict[str, type[Solid]] = {"biscuit": Biscuit, "rod": Rod}

CATEGORIES: tuple[str, ...] = tuple(_SOLIDS)
"""The known categories."""

_MIN_OPACITY = 0.25
_MIN_RISE = 0.0003  # metres; twice the sensor's noise
_DEFECT_AREA = (0.008, 0.06)
_MIN_CONTRAST = 40  # of 255, on average over the mask
_MIN_MEAN_RISE = 0.003  # metres, over the mask
_MIN_PEAK_RISE = 0.0045  # metres
_MAX_DRAWS = 200


class Picture3D(NamedTuple):
    """An image with depth.

    Attributes
    ----------
    image
        (size, size, 3) uint8.
    xyz
        The point of each pixel, (size, size, 3) float32 metres; z is the distance along the view axis. 0 where
        the sensor has no value.
    mask
        (size, size) uint8, 0 or 255.
    """

    image: NDArray[np.uint8]
    xyz: NDArray[np.float32]
    mask: NDArray[np.uint8]


class Synthetic3D(Folder3D):
    """Generated solids with depth; see `generate` for the parameters."""

    def __init__(
        self,
        cache_dir: Path,
        categories: str | Sequence[str] = "all",
        image_size: int = 128,
        train: int = 60,
        validation: int = 10,
        test_good: int = 12,
        test_defective: int = 8,
        seed: int = 0,
    ) -> None:
        root = generate(
            Path(cache_dir),
            categories=listed(categories, CATEGORIES),
            image_size=image_size,
            train=train,
            validation=validation,
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
    validation: int = 10,
    test_good: int = 12,
    test_defective: int = 8,
    seed: int = 0,
) -> Path:
    """Write a synthetic dataset with depth below ``root``, unless it is there already.

    The files lie as in MVTec 3D-AD: ``<category>/<split>/<kind>/{rgb/000.png, xyz/000.tiff, gt/000.png}``, the
    splits being ``train``, ``validation`` and ``test``; defect-free images have an empty mask. The dataset
    appears under its name only when it is complete, and several processes may ask for it at once.

    Parameters
    ----------
    root
        The folder below which the dataset's own folder is made, named by a hash of all the other arguments.
    categories
        Which of `CATEGORIES` to draw.
    image_size
        The side of the square images, in pixels; at least 32.
    train, validation, test_good
        How many defect-free images a category has for training, for validation and for testing.
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
    counts = {
        "train": train,
        "validation": validation,
        "test_good": test_good,
        "test_defective": test_defective,
    }
    check_arguments(categories, CATEGORIES, image_size, counts)
    names = sorted(set(categories))
    target = root / f"synthetic-3d-{digest(GENERATOR_VERSION, names, image_size, seed, counts)}"

    def write(folder: Path) -> None:
        for category in names:
            for split, kind, count in _parts(category, **counts):
                pictures = (
                    draw(category, split, kind, index, image_size=image_size, seed=seed)
                    for index in range(count)
                )
                _write_part(folder / category / split / kind, pictures)

    return write_folder_once(target, write)


def draw(category: str, split: str, kind: str, index: int, *, image_size: int, seed: int) -> Picture3D:
    """Draw one image, its depth and its mask.

    Parameters
    ----------
    category
        One of `CATEGORIES`.
    split
        ``train``, ``validation`` or ``test``.
    kind
        ``good``, or one of the category's defect kinds.
    index, image_size, seed
        The image's number, its side in pixels, and the dataset's seed.
    """
    solid, camera, sensor, rng = _stage(category, split, kind, index, image_size, seed)
    if kind == GOOD:
        return _defect_free(solid, camera, sensor)
    return _with_defect(solid, camera, sensor, kind, rng)


def draw_defect_free(
    category: str, split: str, kind: str, index: int, *, image_size: int, seed: int
) -> Picture3D:
    """Draw what `draw` would give if the same scene had no defect, under the same light and sensor noise."""
    return _defect_free(*_stage(category, split, kind, index, image_size, seed)[:3])


def _stage(
    category: str, split: str, kind: str, index: int, image_size: int, seed: int
) -> tuple[Solid, Camera, Sensor, np.random.Generator]:
    """Set up the defect-free scene, its camera and its sensor; give the random numbers left for a defect."""
    of_solid, of_camera, of_sensor, of_defect = random_streams(
        4, seed, category, split, kind, index, image_size
    )
    solid = _SOLIDS[category](of_solid, image_size)
    sensor = Sensor.sample(of_sensor, solid.height, solid.tilt)
    return solid, Camera.sample(of_camera, image_size), sensor, of_defect


def _defect_free(solid: Solid, camera: Camera, sensor: Sensor) -> Picture3D:
    """Take a picture of a scene as it is."""
    mask = np.zeros((solid.size, solid.size), np.uint8)
    return Picture3D(camera.photograph(solid.colour), sensor.measure(solid.height), mask)


def _with_defect(
    solid: Solid, camera: Camera, sensor: Sensor, kind: str, rng: np.random.Generator
) -> Picture3D:
    """Draw defects until one lies within the solid and is visible; outside its mask nothing changes."""
    clean = camera.photograph(solid.colour)
    for _ in range(_MAX_DRAWS):
        defect = solid.defect(kind, rng)
        mask = (defect.opacity > _MIN_OPACITY) | (np.abs(defect.rise) > _MIN_RISE)
        if not _DEFECT_AREA[0] <= mask.mean() <= _DEFECT_AREA[1] or solid.body[mask].max() > -MARGIN:
            continue
        defect = Defect(defect.colour, defect.opacity * mask, defect.rise * mask)
        image = camera.photograph(mix(solid.colour, defect.colour, defect.opacity))
        if _is_visible(defect, np.abs(image.astype(int) - clean), mask):
            xyz = sensor.measure(solid.height + defect.rise)
            return Picture3D(image, xyz, mask.astype(np.uint8) * 255)
    raise RuntimeError(f"no {kind} within the solid and visible in {_MAX_DRAWS} draws")


def _is_visible(defect: Defect, change: NDArray[np.int_], mask: NDArray[np.bool_]) -> bool:
    """Tell whether a defect is clear in colour if it has an opacity, and in depth if it rises or falls."""
    rise = np.abs(defect.rise)
    in_colour = not defect.opacity.any() or change[mask].mean() >= _MIN_CONTRAST
    in_depth = not rise.any() or (rise[mask].mean() >= _MIN_MEAN_RISE and rise.max() >= _MIN_PEAK_RISE)
    return bool(in_colour and in_depth)


def _parts(
    category: str, train: int, validation: int, test_good: int, test_defective: int
) -> Iterator[tuple[str, str, int]]:
    """List a category's parts: the split, the kind, and how many images it has."""
    yield "train", GOOD, train
    yield "validation", GOOD, validation
    yield "test", GOOD, test_good
    for kind in _SOLIDS[category].kinds:
        yield "test", kind, test_defective


def _write_part(folder: Path, pictures: Iterator[Picture3D]) -> None:
    """Write the images, the point clouds and the masks of one split and kind."""
    for name in ("rgb", "xyz", "gt"):
        (folder / name).mkdir(parents=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture.image).save(folder / "rgb" / f"{index:03d}.png")
        # The library's own notes are left out: they may differ from one of its versions to the next.
        tifffile.imwrite(
            folder / "xyz" / f"{index:03d}.tiff",
            picture.xyz,
            photometric="minisblack",
            planarconfig="contig",
            metadata=None,
            software=False,
        )
        Image.fromarray(picture.mask).save(folder / "gt" / f"{index:03d}.png")
