"""Images on which an exported detector is compared with the detector: a user's, those of its run, or generated ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.deployment.inputs import check_clouds, list_inputs
from benchmark.detector import Detector
from benchmark.prediction import DecodedInput, decode_input
from datasets.images import read_image
from store.artifacts import Artifacts

SIZES = ((1.6, 1.2), (0.7, 0.8), (1.0, 2.5), (3.1, 3.1))
"""Heights and widths, in sides of the detector's images, for a file that resizes."""


@dataclass(frozen=True)
class Example:
    """An image before and after the suite's own preparation: (H, W, 3) uint8 of any size, and the decoded arrays."""

    original: NDArray[np.uint8]
    decoded: DecodedInput


def from_folder(detector: Detector, folder: Path, resize: bool) -> list[Example]:
    """Read all images of a folder, with point clouds for a method that sees depth; at their own size with `resize`.

    Raises
    ------
    DatasetError
        If there is none, or one cannot be read.
    """
    about, mode = detector.about["preprocessing"], detector.method.mode
    inputs, examples = list_inputs([folder]), []
    if mode != "rgb":
        check_clouds(inputs, mode)
    for each in inputs:
        decoded = decode_input(about, each.file, each.xyz if mode != "rgb" else None)
        original = (
            np.asarray(read_image(each.file, about.get("bit_depth"))) if resize else decoded.arrays["images"]
        )
        examples.append(Example(original, decoded))
    return examples


def from_run(detector: Detector, run_id: str, uri: str, count: int, resize: bool) -> list[Example]:
    """Return evenly spaced test images of a run, at the size at which they were scored; none if it keeps no pictures.

    They are JPEG, so not to the last bit those of the run, and have no depth, so that there are none for methods that
    see depth. With `resize` they are brought to other sizes.
    """
    with TemporaryDirectory() as folder:
        artifacts = Artifacts(uri, Path(folder))
        scores, pictures = artifacts.scores(run_id), artifacts.pictures(run_id)
        if scores is None or pictures is None or detector.method.mode != "rgb":
            return []
        names = scores["image"].iloc[np.unique(np.linspace(0, len(scores) - 1, count).round().astype(int))]
        found = [picture for picture in map(pictures.image, names) if picture is not None]
    return list(_examples(detector, found, resize))


def generated(detector: Detector, count: int, resize: bool) -> list[Example]:
    """Return images of noise of several scales, and depth of the same kind; with `resize` of several sizes."""
    side, random = detector.about["preprocessing"]["image_size"], np.random.default_rng(0)
    images = []
    for number in range(count):
        cells = 2 ** (1 + number % 6)
        noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
        images.append(noise.resize((side, side), Image.Resampling.BICUBIC))
    return list(_examples(detector, images, resize))


def _examples(detector: Detector, images: Sequence[Image.Image], resize: bool) -> Iterator[Example]:
    about, random = detector.about["preprocessing"], np.random.default_rng(1)
    for number, image in enumerate(images):
        height, width = SIZES[number % len(SIZES)] if resize else (1.0, 1.0)
        size = round(width * image.width), round(height * image.height)
        original = image.resize(size, Image.Resampling.BICUBIC)
        arrays = dict(decode_input(about, original, None, number).arrays)
        if detector.method.mode != "rgb":
            arrays |= _depth(random, about["depth_size"])
        yield Example(np.asarray(original), DecodedInput(f"image {number}", arrays))


def _depth(random: np.random.Generator, side: int) -> dict[str, NDArray[Any]]:
    """Return depth of a few waves on a foreground of a few spots, as `datasets.depth` prepares them."""
    depth, spots = (
        np.asarray(Image.fromarray(random.normal(size=(5, 5)).astype(np.float32)).resize((side, side)))
        for _ in range(2)
    )
    foreground = spots > 0
    return {"depth": np.where(foreground, depth, np.float32(0)), "foreground": foreground}
