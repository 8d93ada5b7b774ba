"""The files of a submission to MVTec AD 2's evaluation server: their names, their values, and how they are written.

For every private test image there are its anomaly map, float16 at the image's own size, and the same map
thresholded, 255 on anomalous pixels and 0 on others.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from datasets.errors import DatasetError
from datasets.mvtec_ad_2 import PRIVATE_COUNTS, PRIVATE_SPLITS, MVTecAD2

MAPS, THRESHOLDED = PARTS = ("anomaly_images", "anomaly_images_thresholded")
"""The folders of a submission; below them, `<category>/<split>/<number>_<suffix>`."""
SUFFIXES: Mapping[str, str] = {MAPS: ".tiff", THRESHOLDED: ".png"}
LARGEST = float(np.finfo(np.float16).max)
ANOMALOUS_PIXEL = 255
COMPRESSION: Mapping[str, Any] = {"compression": "zlib", "compressionargs": {"level": 1}}
"""Maps take a third of their size, and tifffile reads them without another package."""


def official_names() -> list[str]:
    """Return the names of all images of a complete submission, without folder and suffix.

    >>> names = official_names()
    >>> len(names), names[0], names[-1]
    (4090, 'can/test_private/000_regular', 'walnuts/test_private_mixed/227_mixed')
    """
    return [
        f"{category}/{split}/{number:03d}_{suffix}"
        for category, count in PRIVATE_COUNTS.items()
        for split, suffix in PRIVATE_SPLITS.items()
        for number in range(count)
    ]


def private_images(dataset: MVTecAD2) -> dict[str, Path]:
    """Return the private test images of all categories, {name in the submission: file}.

    Raises
    ------
    DatasetError
        If a split has none, or an image is not named as those of the dataset are.
    """
    found, faults = {}, []
    for category in dataset.categories:
        for split, paths in dataset.private_images(category).items():
            place, suffix = dataset.root / category / split, PRIVATE_SPLITS[split]
            if not paths:
                faults.append(f"{place}: found no private test image; expected 000_{suffix}.png and others")
            for path in paths:
                if re.fullmatch(rf"\d{{3}}_{suffix}", path.stem):
                    found[f"{category}/{split}/{path.stem}"] = path
                else:
                    faults.append(f"{path}: expected a name as 000_{suffix}.png")
    if faults:
        raise DatasetError(*faults)
    return found


def file_of(folder: Path, part: str, name: str) -> Path:
    """Return the file of an image in a part of a submission."""
    return folder / part / f"{name}{SUFFIXES[part]}"


def scale_of(threshold: float) -> float:
    """Return the factor by which the maps of a category are stored: it brings the threshold to 1, or just above.

    Some methods have maps of a millionth, of which float16 would keep a few levels. A power of two changes no
    mantissa, and one factor for all images of a category no order of their pixels.

    >>> scale_of(3e-6) * 3e-6, scale_of(40.0), scale_of(-2.0)
    (1.572864, 0.03125, 1.0)
    """
    return 2.0 ** -math.floor(math.log2(threshold)) if threshold > 0 else 1.0


def at_size(anomaly_map: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a map, resized bilinearly to a width and height in pixels."""
    return np.asarray(Image.fromarray(anomaly_map).resize(size, Image.Resampling.BILINEAR))


def write_pair(
    folder: Path,
    name: str,
    anomaly_map: NDArray[np.float32],
    size: tuple[int, int],
    threshold: float,
    spare: Path,
) -> None:
    """Write the map of an image and its thresholded form, each whole or not at all.

    Parameters
    ----------
    folder
        The submission.
    name
        The name of the image in it.
    anomaly_map
        (H, W), of any size. Values beyond those of float16, once scaled, are stored as its largest.
    size
        Width and height of the image, pixels.
    threshold
        A pixel is anomalous if its value is at least this.
    spare
        A folder of the same file system for files that are not whole yet.
    """
    values = at_size(anomaly_map, size)
    pixels = (values >= np.float64(threshold)).astype(np.uint8) * ANOMALOUS_PIXEL
    scaled = (values * np.float32(scale_of(threshold))).clip(-LARGEST, LARGEST).astype(np.float16)
    for part in (THRESHOLDED, MAPS):
        path = file_of(folder, part, name)
        partial = spare / f"{part}-{name.replace('/', '-')}{SUFFIXES[part]}"
        if part == MAPS:
            tifffile.imwrite(partial, scaled, metadata=None, **COMPRESSION)
        else:
            Image.fromarray(pixels).save(partial)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(path)
