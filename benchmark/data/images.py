"""The store of decoded images: every image is decoded and resized once, then read from one array."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.data.array_files import create_array
from benchmark.data.file_digests import FileDigests
from datasets.category import Category, Sample
from datasets.decoding import Decoded, decode
from datasets.depth import FOREGROUND_M
from datasets.errors import DatasetError
from datasets.progress import with_bar
from store.errors import StoreError
from store.folders import write_folder_once
from store.keys import make_key

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredImages:
    """The decoded images of some samples, in their order.

    Attributes
    ----------
    samples
        N samples.
    images
        (N, side, side, 3) uint8 RGB.
    masks
        (N, side, side) bool, empty where `has_truth` is False; None if no anomalous image has ground truth.
    key
        The key of the arrays' content: see `images_key`.
    depth, foreground
        (N, depth_side, depth_side) float32, centimetres, and bool: see `datasets.depth.Depth`; None without
        point clouds.
    """

    samples: tuple[Sample, ...]
    images: NDArray[np.uint8]
    masks: NDArray[np.bool_] | None
    key: str
    depth: NDArray[np.float32] | None = None
    foreground: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self.samples)

    @cached_property
    def has_truth(self) -> NDArray[np.bool_]:
        """Whether the anomalous pixels of each image are known, (N,): a normal image has none."""
        return np.array([_has_truth(sample) for sample in self.samples], dtype=np.bool_)

    def positions(self, samples: Sequence[Sample]) -> NDArray[np.int64]:
        """Return the indices of the samples in the arrays."""
        index = {sample.image: i for i, sample in enumerate(self.samples)}
        return np.array([index[sample.image] for sample in samples], dtype=np.int64)


def images_key(
    category: Category, split: str, image_side: int, depth_side: int, file_digests: FileDigests
) -> str:
    """Return the key of the decoded images of one split.

    It depends on the contents of the image, mask and point cloud files, their order and kinds, the sizes, the
    threshold of the masks, the bits of 16-bit images, and the code that decodes; not on paths, names or times.

    Parameters
    ----------
    category, split, image_side, depth_side
        As for `open_images_store`.
    file_digests
        The digests of the files, remembered.

    Raises
    ------
    DatasetError
        If a file cannot be read.
    """
    samples: tuple[Sample, ...] = getattr(category, split)
    digests = iter(file_digests.of(_files(samples)))
    files = [
        [None if path is None else next(digests) for path in (sample.image, sample.mask, sample.xyz)]
        for sample in samples
    ]
    parts: dict[str, object] = {"files": files, "kinds": [sample.kind for sample in samples]}
    if _have_depth(samples):
        parts["depth_side"] = depth_side
    if any(sample.mask is not None for sample in samples):
        parts["mask_threshold"] = category.mask_threshold
    if category.bit_depth is not None:
        parts["bit_depth"] = category.bit_depth
    return make_key(decode, image_side=image_side, **parts)


def content_digest(category: Category, split: str, file_digests: FileDigests) -> str:
    """Return a digest of the contents of a split's files, whatever they are decoded to."""
    samples: tuple[Sample, ...] = getattr(category, split)
    return hashlib.sha256("".join(file_digests.of(_files(samples))).encode()).hexdigest()[:32]


def open_images_store(
    category: Category,
    split: str,
    image_side: int,
    cache_dir: Path,
    progress: bool = False,
    depth_side: int = 192,
) -> StoredImages:
    """Return the decoded images of one split; decode them in parallel if no store holds them yet.

    The store is the folder `cache_dir/images/<key>`; see `images_key` and `store.folders.write_folder_once`.

    Parameters
    ----------
    category
        The category before a part of its train images is held out, so that train and validation images share
        one store.
    split
        `train`, `validation` or `test`.
    image_side
        Width and height of the stored images, pixels.
    cache_dir
        The folder for everything that can be made again.
    progress
        Whether to draw a progress bar on a terminal.
    depth_side
        Width and height of the prepared depth, where the samples have point clouds, pixels.

    Raises
    ------
    DatasetError
        If a file cannot be read; the message names it. If no train image has a foreground.
    StoreError
        If the store cannot be written.
    """
    samples: tuple[Sample, ...] = getattr(category, split)
    file_digests = FileDigests(cache_dir)
    key = images_key(category, split, image_side, depth_side, file_digests)
    sides = image_side, depth_side if _have_depth(samples) else None
    load = partial(_load, samples=samples, sides=sides, key=key)

    def write(folder: Path) -> None:
        read = partial(
            decode,
            image_side=sides[0],
            depth_side=sides[1],
            mask_threshold=category.mask_threshold,
            bit_depth=category.bit_depth,
        )
        title = f"decoding {category.name} {split}"
        _check(samples, _decode_all(folder, samples, sides, read, title, progress), split, image_side)
        if images_key(category, split, image_side, depth_side, file_digests) != key:
            raise DatasetError(
                f"{samples[0].image.parent}: files changed while they were decoded; start again"
            )

    return load(write_folder_once(cache_dir / "images" / key, write, check=load))


Sides = tuple[int, int | None]  # of the images and of the depth, pixels


def _files(samples: Sequence[Sample]) -> list[Path]:
    return [
        path for sample in samples for path in (sample.image, sample.mask, sample.xyz) if path is not None
    ]


def _have_depth(samples: Sequence[Sample]) -> bool:
    return all(sample.xyz is not None for sample in samples)


def _has_truth(sample: Sample) -> bool:
    return sample.mask is not None or not sample.label


def _have_masks(samples: Sequence[Sample]) -> bool:
    """Return whether any anomalous image has ground truth, or there is none."""
    anomalous = [sample for sample in samples if sample.label]
    return not anomalous or any(map(_has_truth, anomalous))


def _shapes(samples: Sequence[Sample], sides: Sides) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
    """Return shape and type of each array of a store; booleans are stored as bytes."""
    square, depth_square = (len(samples), *[sides[0]] * 2), (len(samples), *[sides[1] or 0] * 2)
    shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {"images": ((*square, 3), np.uint8)}
    if _have_masks(samples):
        shapes["masks"] = square, np.uint8
    if sides[1] is not None:
        shapes |= {"depth": (depth_square, np.float32), "foreground": (depth_square, np.uint8)}
    return shapes


def _load(folder: Path, samples: tuple[Sample, ...], sides: Sides, key: str) -> StoredImages:
    """Open the arrays of a store; a StoreError says that they are not the expected ones."""
    shapes = _shapes(samples, sides)
    try:
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in shapes}
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder}: the stored images cannot be read ({error})") from error
    for name, (shape, dtype) in shapes.items():
        if (arrays[name].shape, arrays[name].dtype) != (shape, dtype):
            raise StoreError(
                f"{folder / name}.npy: found {arrays[name].shape} values of type {arrays[name].dtype}; "
                f"expected {shape} of type {np.dtype(dtype)}"
            )
    return StoredImages(
        samples,
        arrays["images"],
        arrays["masks"].view(np.bool_) if "masks" in arrays else None,
        key,
        arrays.get("depth"),
        arrays["foreground"].view(np.bool_) if "foreground" in arrays else None,
    )


@dataclass(frozen=True)
class _Findings:
    """Properties of a decoded sample that a user may have to know of."""

    size: tuple[int, int]
    has_empty_mask: bool
    has_foreground: bool
    has_corners: bool


def _decode_all(
    folder: Path,
    samples: Sequence[Sample],
    sides: Sides,
    read: Callable[[Sample], Decoded],
    title: str,
    progress: bool,
) -> list[_Findings]:
    """Decode all samples into arrays in a folder, which need not fit into memory together."""
    arrays = {
        name: create_array(folder / f"{name}.npy", *form) for name, form in _shapes(samples, sides).items()
    }
    findings: list[_Findings] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for i, decoded in enumerate(with_bar(pool.map(read, samples), len(samples), title, progress)):
                for name in arrays.keys() & decoded.arrays.keys():
                    arrays[name][i] = decoded.arrays[name]
                findings.append(
                    _Findings(
                        decoded.size,
                        not decoded.arrays.get("masks", np.ones(1)).any(),
                        bool(decoded.arrays.get("foreground", np.ones(1)).any()),
                        decoded.has_corners,
                    )
                )
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for array in arrays.values():
        array.flush()
    return findings


def _check(samples: Sequence[Sample], findings: Sequence[_Findings], split: str, image_side: int) -> None:
    """Warn of images that are unlike the others; refuse train images of which none shows an object."""
    (usual, _), *_ = Counter(each.size for each in findings).most_common()
    pairs = list(zip(samples, findings, strict=True))
    count = len(samples)
    _warn(
        [sample.image for sample, each in pairs if each.size != usual],
        f"of {count} images have another size than {usual[0]}x{usual[1]}",
        "; each is resized to a square",
    )
    _warn(
        [sample.mask for sample, each in pairs if sample.mask and each.has_empty_mask],
        f"of {count} images have a mask without an anomalous pixel at {image_side}x{image_side}",
    )
    empty = [sample.xyz for sample, each in pairs if sample.xyz and not each.has_foreground]
    if split == "train" and empty and len(empty) == count:
        raise DatasetError(
            f"{empty[0].parent}: none of the {count} point clouds has anything {1000 * FOREGROUND_M:g} mm off its "
            "background; expected objects on a plane, with x, y and z in metres"
        )
    _warn(
        empty,
        f"of {count} images have no foreground, as nothing is {1000 * FOREGROUND_M:g} mm off the background",
    )
    _warn(
        [sample.xyz for sample, each in pairs if sample.xyz and not each.has_corners],
        f"of {count} images have no depth in a corner",
        "; their background is the plane of the image's border",
    )


def _warn(files: Sequence[Path], finding: str, consequence: str = "") -> None:
    if files:
        first = files[0]
        log.warning(
            "%s: %d %s (the first is %s)%s", first.parent, len(files), finding, first.name, consequence
        )
