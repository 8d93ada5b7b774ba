"""Predictions for images of any kind: decoded, scored and judged as in a cell."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.data.arrays import to_device
from benchmark.data.batches import as_batches
from benchmark.data.images import StoredImages
from benchmark.data.teacher import CHUNK, TeacherFeatures, feature_chunks
from benchmark.errors import BenchmarkError
from benchmark.runtime import Runtime
from benchmark.scoring import Scores, score
from datasets.batch import Normalisation
from datasets.category import Sample
from datasets.decoding import decode
from datasets.images import resize_image
from methods.backbone import FeatureBackbone
from methods.method import Method

PART = 8 * CHUNK
"""Images that are held in memory together, unless a batch has more."""

ImageInput = str | Path | Image.Image | NDArray[np.uint8]


@dataclass(frozen=True)
class Predictions:
    """Predictions for N images.

    Attributes
    ----------
    maps
        (N, H, W) float32 anomaly maps at the detector's image size; larger is more anomalous.
    scores
        (N,) float64 image scores.
    verdicts
        (N,) bool, True: anomalous; None if the detector has no threshold.
    """

    maps: NDArray[np.float32]
    scores: NDArray[np.float64]
    verdicts: NDArray[np.bool_] | None


def score_inputs(
    method: Method,
    backbone: FeatureBackbone,
    runtime: Runtime,
    preprocessing: Mapping[str, Any],
    images: ImageInput | Sequence[ImageInput],
    xyz: str | Path | Sequence[str | Path] | None,
    batch_size: int,
) -> Predictions:
    """Score images as in a cell; see `benchmark.detector.Detector.predict`.

    Parameters
    ----------
    preprocessing
        `image_size` and `depth_size`, pixels a side; `mean` and `std` of the teacher; `bit_depth` as in
        `datasets.category.Category`, none in detectors of earlier versions.

    Returns
    -------
    Predictions without verdicts.
    """
    inputs = as_list(images)
    clouds: list[Any] = [None] * len(inputs) if xyz is None else as_list(xyz)
    if len(clouds) != len(inputs) or (method.mode != "rgb" and None in clouds):
        raise BenchmarkError(
            f"xyz: found {len(clouds) - clouds.count(None)} point clouds for {len(inputs)} images; expected one for "
            f"each image (method.mode={method.mode})"
        )
    side = preprocessing["image_size"]
    normalisation = Normalisation(tuple(preprocessing["mean"]), tuple(preprocessing["std"]))
    maps, scores = [np.empty((0, side, side), np.float32)], [np.empty(0)]
    for decoded, scored in windows(len(inputs), batch_size):
        stored = _decode(preprocessing, inputs[decoded], clouds[decoded])
        part = _score(method, backbone, normalisation, runtime, stored, scored, batch_size)
        maps.append(part.maps[:])
        scores.append(part.images)
    return Predictions(np.concatenate(maps), np.concatenate(scores), None)


def windows(count: int, batch_size: int) -> Iterator[tuple[slice, slice]]:
    """Divide images into parts that are held in memory one after another.

    As in a cell, where recorded numbers come from, every part consists of whole batches, and is decoded with all
    images that share a chunk of the teacher with its own.

    Yields
    ------
    Which of all images are decoded, and which of the decoded ones are scored.

    Examples
    --------
    >>> list(windows(count=400, batch_size=300))
    [(slice(0, 320, None), slice(0, 300, None)), (slice(288, 400, None), slice(12, 112, None))]
    """
    size = math.lcm(CHUNK, batch_size)
    if size > PART:  # batches that share no borders with chunks: images at the borders are decoded twice
        size = -(-PART // batch_size) * batch_size
    for first in range(0, count, size):
        last = min(first + size, count)
        start = first // CHUNK * CHUNK
        yield slice(start, min(-(-last // CHUNK) * CHUNK, count)), slice(first - start, last - start)


def as_list(values: Any) -> list[Any]:
    """Return one value or several as a list; an (H, W, 3) array is one image."""
    if isinstance(values, np.ndarray):
        return [values] if values.ndim == 3 else list(values)
    return [values] if isinstance(values, str | Path | Image.Image) else list(values)


def _decode(
    preprocessing: Mapping[str, Any], images: Sequence[ImageInput], clouds: Sequence[str | Path | None]
) -> StoredImages:
    """Decode images as the image store does."""
    side, depth_side = preprocessing["image_size"], preprocessing["depth_size"]
    samples, arrays = [], []
    for number, (image, cloud) in enumerate(zip(images, clouds, strict=True)):
        if isinstance(image, str | Path):
            sample = Sample(Path(image), xyz=None if cloud is None else Path(cloud))
            arrays.append(decode(sample, side, depth_side, bit_depth=preprocessing.get("bit_depth")).arrays)
        elif cloud is None:
            sample = Sample(Path(f"image {number}"))
            arrays.append({"images": resize_image(_as_rgb(image, number), side)})
        else:
            raise BenchmarkError(
                f"image {number}: found no path; images with point clouds are expected as paths"
            )
        samples.append(sample)
    stacked = {name: np.stack([each[name] for each in arrays]) for name in arrays[0]}
    depth, foreground = stacked.get("depth"), stacked.get("foreground")
    return StoredImages(tuple(samples), stacked["images"], None, "", depth, foreground)


def _as_rgb(image: Image.Image | NDArray[np.uint8], number: int) -> Image.Image:
    if isinstance(image, Image.Image) and image.mode[0] in "IF":  # Pillow would cut their values at 255
        raise BenchmarkError(
            f"image {number}: found a PIL image of mode {image.mode}; expected 8 bits, or the path of the file"
        )
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise BenchmarkError(
            f"image {number}: found an array {image.shape} of type {image.dtype}; expected (H, W, 3) uint8"
        )
    return Image.fromarray(image)


def _score(
    method: Method,
    backbone: FeatureBackbone,
    normalisation: Normalisation,
    runtime: Runtime,
    stored: StoredImages,
    scored: slice,
    batch_size: int,
) -> Scores:
    """Score some of the decoded images, whose features the teacher computes in chunks as in a cell."""
    features = None
    if method.teacher_layers:
        teacher = runtime.move(backbone.teacher(method.teacher_layers))
        features = TeacherFeatures(teacher, normalisation, runtime)
        chunks = [chunk for _, chunk in feature_chunks(stored.images, features)]
        features.cached = {
            layer: to_device(np.concatenate([chunk[layer] for chunk in chunks]), runtime.device)
            for layer in chunks[0]
        }
    images = as_batches(stored, features, normalisation, runtime, room_gb=math.inf)
    return score(method, replace(images, indices=images.indices[scored]), batch_size)
