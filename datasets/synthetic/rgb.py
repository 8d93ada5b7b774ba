"""Generated textures and objects in MVTec AD's layout."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.category import GOOD
from datasets.synthetic.drawing import Camera, Defect, Scene, mix
from datasets.synthetic.generator import Exposure, Generator
from datasets.synthetic.objects import Capsule, Washer
from datasets.synthetic.textures import Granite, Weave

_MIN_OPACITY = 0.25
_DEFECT_AREA = (0.005, 0.06)
_MIN_CONTRAST = 15  # of 255, on average over the mask
_MIN_CHANGED = 0.7  # of the mask's pixels


class Picture(NamedTuple):
    """An image (size, size, 3) and its mask (size, size; 0 or 255), both uint8."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


class Photograph(Exposure[Picture]):
    """A scene before a camera; outside a defect's mask no pixel changes."""

    def __init__(self, scene: Scene, camera: Camera) -> None:
        self.scene, self.camera = scene, camera
        self.clean = camera.photograph(scene.colour)

    def normal(self) -> Picture:
        """Return the picture without a defect."""
        return Picture(self.clean, np.zeros(self.clean.shape[:2], np.uint8))

    def with_defect(self, defect: Defect) -> Picture | None:
        """Return the picture with a defect; None if it has not the required area and contrast."""
        mask = defect.opacity > _MIN_OPACITY
        if not _DEFECT_AREA[0] <= mask.mean() <= _DEFECT_AREA[1]:
            return None
        marred = self.camera.photograph(mix(self.scene.colour, defect.colour, defect.opacity))
        change = np.abs(marred.astype(int) - self.clean)[mask]
        if change.mean() < _MIN_CONTRAST or np.any(change, axis=1).mean() < _MIN_CHANGED:
            return None
        return Picture(np.where(mask[..., None], marred, self.clean), mask.astype(np.uint8) * 255)


class RGBGenerator(Generator[Picture]):
    """Two textures and two objects, as `<category>/{train/good, test/<kind>, ground_truth/<kind>}`."""

    name = "synthetic"
    scenes: ClassVar[Mapping[str, type[Scene]]] = {
        "weave": Weave,
        "granite": Granite,
        "washer": Washer,
        "capsule": Capsule,
    }
    parts: ClassVar[Mapping[str, tuple[str, int]]] = {"train": ("train", 60), "test_good": ("test", 12)}

    def expose(self, category: str, image_size: int, streams: Iterator[np.random.Generator]) -> Photograph:
        """Set up a scene and its camera."""
        scene = self.scenes[category](next(streams), image_size)
        return Photograph(scene, Camera.sample(next(streams), image_size))

    def write(self, folder: Path, split: str, kind: str, pictures: Iterator[Picture]) -> None:
        """Write the images of one split and kind, and the masks of anomalous ones."""
        images, masks = folder / split / kind, folder / "ground_truth" / kind
        images.mkdir(parents=True)
        if kind != GOOD:
            masks.mkdir(parents=True)
        for index, picture in enumerate(pictures):
            Image.fromarray(picture.image).save(images / f"{index:03d}.png")
            if kind != GOOD:
                Image.fromarray(picture.mask).save(masks / f"{index:03d}_mask.png")
