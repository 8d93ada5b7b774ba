"""Generated solids with depth, in MVTec 3D-AD's layout.

Each category has three kinds of defects: one is visible in depth only, one in colour only, one in both, so that a
method must use both to find all of them.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from datasets.synthetic.drawing import Camera, Defect, mix
from datasets.synthetic.generator import Exposure, Generator
from datasets.synthetic.sensor import Sensor
from datasets.synthetic.solids import MARGIN, Biscuit, Rod, Solid

_MIN_OPACITY = 0.25
_MIN_RISE = 0.0003  # metres; twice the sensor's noise
_DEFECT_AREA = (0.008, 0.06)
_MIN_CONTRAST = 40  # of 255, on average over the mask
_MIN_MEAN_RISE = 0.003  # metres, over the mask
_MIN_PEAK_RISE = 0.0045  # metres


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


class Scan(Exposure[Picture3D]):
    """A solid before a camera and a depth sensor; outside a defect's mask no pixel changes."""

    scene: Solid

    def __init__(self, scene: Solid, camera: Camera, sensor: Sensor) -> None:
        self.scene, self.camera, self.sensor = scene, camera, sensor
        self.clean = camera.photograph(scene.colour)

    def normal(self) -> Picture3D:
        """Return the picture without a defect."""
        mask = np.zeros((self.scene.size, self.scene.size), np.uint8)
        return Picture3D(self.clean, self.sensor.measure(self.scene.height), mask)

    def with_defect(self, defect: Defect) -> Picture3D | None:
        """Return the picture with a defect; None unless it is within the solid and visible."""
        mask = (defect.opacity > _MIN_OPACITY) | (np.abs(defect.rise) > _MIN_RISE)
        if not _DEFECT_AREA[0] <= mask.mean() <= _DEFECT_AREA[1] or self.scene.body[mask].max() > -MARGIN:
            return None
        defect = Defect(defect.colour, defect.opacity * mask, defect.rise * mask)
        image = self.camera.photograph(mix(self.scene.colour, defect.colour, defect.opacity))
        if not _is_visible(defect, np.abs(image.astype(int) - self.clean), mask):
            return None
        xyz = self.sensor.measure(self.scene.height + defect.rise)
        return Picture3D(image, xyz, mask.astype(np.uint8) * 255)


def _is_visible(defect: Defect, change: NDArray[np.int_], mask: NDArray[np.bool_]) -> bool:
    """Return whether a defect is clear in colour if it has an opacity, and in depth if it rises or falls."""
    rise = np.abs(defect.rise)
    in_colour = not defect.opacity.any() or change[mask].mean() >= _MIN_CONTRAST
    in_depth = not rise.any() or (rise[mask].mean() >= _MIN_MEAN_RISE and rise.max() >= _MIN_PEAK_RISE)
    return bool(in_colour and in_depth)


class RGBDGenerator(Generator[Picture3D]):
    """Two solids, as `<category>/<split>/<kind>/{rgb/000.png, xyz/000.tiff, gt/000.png}`.

    Normal images have an empty mask.
    """

    name = "synthetic-3d"
    scenes: ClassVar[Mapping[str, type[Solid]]] = {"biscuit": Biscuit, "rod": Rod}
    parts: ClassVar[Mapping[str, tuple[str, int]]] = {
        "train": ("train", 60),
        "validation": ("validation", 10),
        "test_good": ("test", 12),
    }

    def expose(self, category: str, image_size: int, streams: Iterator[np.random.Generator]) -> Scan:
        """Set up a solid, its camera and its depth sensor."""
        solid = self.scenes[category](next(streams), image_size)
        camera = Camera.sample(next(streams), image_size)
        return Scan(solid, camera, Sensor.sample(next(streams), solid.height, solid.tilt))

    def write(self, folder: Path, split: str, kind: str, pictures: Iterator[Picture3D]) -> None:
        """Write the images, the point clouds and the masks of one split and kind."""
        part = folder / split / kind
        for name in ("rgb", "xyz", "gt"):
            (part / name).mkdir(parents=True)
        for index, picture in enumerate(pictures):
            Image.fromarray(picture.image).save(part / "rgb" / f"{index:03d}.png")
            # Without the notes that the library adds: they may differ from one of its versions to the next.
            tifffile.imwrite(
                part / "xyz" / f"{index:03d}.tiff",
                picture.xyz,
                photometric="minisblack",
                planarconfig="contig",
                metadata=None,
                software=False,
            )
            Image.fromarray(picture.mask).save(part / "gt" / f"{index:03d}.png")
