"""Predictions for images of any kind: decoded, scored and judged as in a cell."""

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

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

T = TypeVar("T")


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


@dataclass(frozen=True)
class DecodedInput:
    """An image as it is scored.

    Attributes
    ----------
    source
        What was decoded; its text stands in messages.
    arrays
        As of `datasets.decoding.Decoded`: images (side, side, 3) uint8, and depth and foreground if there is a point
        cloud.
    """

    source: Any
    arrays: Mapping[str, NDArray[Any]]


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
    decoded = (
        decode_input(preprocessing, *each) for each in zip(inputs, clouds, range(len(inputs)), strict=True)
    )
    side = preprocessing["image_size"]
    maps, scores = [np.empty((0, side, side), np.float32)], [np.empty(0)]
    for _, part in score_stream(method, backbone, runtime, preprocessing, decoded, batch_size):
        maps.append(part.maps)
        scores.append(part.scores)
    return Predictions(np.concatenate(maps), np.concatenate(scores), None)


def score_stream(
    method: Method,
    backbone: FeatureBackbone,
    runtime: Runtime,
    preprocessing: Mapping[str, Any],
    decoded: Iterable[DecodedInput],
    batch_size: int,
) -> Iterator[tuple[list[DecodedInput], Predictions]]:
    """Score any number of decoded images, of which a part is held in memory at a time; see `parts`.

    Yields
    ------
    The images of a part, and their predictions without verdicts.
    """
    normalisation = Normalisation(tuple(preprocessing["mean"]), tuple(preprocessing["std"]))
    for held, scored in parts(decoded, batch_size):
        stored = _stacked(held)
        found = _score(method, backbone, normalisation, runtime, stored, scored, batch_size)
        yield held[scored], Predictions(found.maps[:], found.images, None)


def parts(items: Iterable[T], batch_size: int) -> Iterator[tuple[list[T], slice]]:
    """Divide images into parts that are held in memory one after another.

    As in a cell, where recorded numbers come from, every part consists of whole batches, and is held together with all
    images that share a chunk of the teacher with its own.

    Yields
    ------
    The images that are held, and which of them are scored.

    Examples
    --------
    >>> [(held[0], held[-1], scored) for held, scored in parts(range(400), batch_size=300)]
    [(0, 319, slice(0, 300, None)), (288, 399, slice(12, 112, None))]
    """
    if batch_size < 1:
        raise BenchmarkError(f"batch_size={batch_size}; expected 1 or more")
    size = math.lcm(CHUNK, batch_size)
    if size > PART:  # batches that share no borders with chunks: images at the borders are held twice
        size = -(-PART // batch_size) * batch_size
    source, held, start = iter(items), list[T](), 0
    for first in range(0, sys.maxsize, size):
        del held[: first // CHUNK * CHUNK - start]
        start = first // CHUNK * CHUNK
        held += islice(source, -(-(first + size) // CHUNK) * CHUNK - start - len(held))
        if start + len(held) <= first:
            return
        yield held, slice(first - start, min(first + size - start, len(held)))


def as_list(values: Any) -> list[Any]:
    """Return one value or several as a list; an (H, W, 3) array is one image."""
    if isinstance(values, np.ndarray):
        return [values] if values.ndim == 3 else list(values)
    return [values] if isinstance(values, str | Path | Image.Image) else list(values)


def decode_input(
    preprocessing: Mapping[str, Any], image: ImageInput, cloud: str | Path | None, number: int = 0
) -> DecodedInput:
    """Decode an image as the image store does; `number` names one without a path in messages."""
    side, depth_side = preprocessing["image_size"], preprocessing["depth_size"]
    if isinstance(image, str | Path):
        sample = Sample(Path(image), xyz=None if cloud is None else Path(cloud))
        arrays = decode(sample, side, depth_side, bit_depth=preprocessing.get("bit_depth")).arrays
        return DecodedInput(image, arrays)
    if cloud is not None:
        raise BenchmarkError(f"image {number}: found no path; images with point clouds are expected as paths")
    return DecodedInput(f"image {number}", {"images": resize_image(_as_rgb(image, number), side)})


def _stacked(decoded: Sequence[DecodedInput]) -> StoredImages:
    """Return decoded images in the form of the image store."""
    samples = tuple(Sample(Path(str(each.source))) for each in decoded)
    arrays = {name: np.stack([each.arrays[name] for each in decoded]) for name in decoded[0].arrays}
    return StoredImages(samples, arrays["images"], None, "", arrays.get("depth"), arrays.get("foreground"))


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
