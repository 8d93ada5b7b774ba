"""The image store: every image is decoded and resized once, and read from one array ever after."""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.atomic import write_folder_once
from datasets.category import Category, Sample
from datasets.errors import DatasetError
from datasets.images import read_image, read_mask, resize_image, resize_mask
from datasets.progress import with_bar

log = logging.getLogger(__name__)

VERSION = 1  # of the decoding and resizing; a new one makes new stores


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
        (N, side, side) bool; None where a defective image has no ground truth.
    fingerprint
        Hash of the bytes of the image and mask files and of the resizing.
    """

    samples: tuple[Sample, ...]
    images: NDArray[np.uint8]
    masks: NDArray[np.bool_] | None
    fingerprint: str

    def __len__(self) -> int:
        """Return N."""
        return len(self.samples)

    def positions(self, samples: Sequence[Sample]) -> NDArray[np.int64]:
        """Return where the samples stand in the arrays."""
        place = {sample.image: i for i, sample in enumerate(self.samples)}
        return np.array([place[sample.image] for sample in samples], dtype=np.int64)


def open_store(
    category: Category, split: str, side: int, cache_dir: Path, progress: bool = False
) -> StoredImages:
    """Return the decoded images of one split; decode them in parallel if no store holds them yet.

    The store is a folder below `cache_dir/images`, named by a hash of what went in: files (name, size and
    time of change), image side, reading of masks, version. It appears whole or not at all; one that was
    damaged later (a file missing, cut short or unreadable) is noticed and written anew.

    Parameters
    ----------
    category
        Before a part of its train images is held out, so that every split of them reads one store.
    split
        `train`, `validation` or `test`.
    side
        Width and height of the stored images, pixels.
    progress
        Whether to draw a progress bar on a terminal.

    Raises
    ------
    DatasetError
        If a file cannot be read; the message names it.
    """
    samples: tuple[Sample, ...] = getattr(category, split)
    folder = cache_dir / "images" / _key(category, samples, side)
    read = partial(_read, side=side, mask_threshold=category.mask_threshold)
    title = f"{category.name} {split}" if progress else None
    load = partial(_load, samples=samples, side=side)
    return load(
        write_folder_once(folder, lambda staging: _write(staging, samples, side, read, title), check=load)
    )


def _key(category: Category, samples: Sequence[Sample], side: int) -> str:
    """Hash what decides the content of a store: cheap, as no file is read."""
    files = [path for sample in samples for path in (sample.image, sample.mask) if path is not None]
    try:
        stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    except OSError as error:
        raise DatasetError(f"{error.filename}: cannot be read ({error.strerror})") from error
    text = json.dumps([VERSION, side, category.mask_threshold, stats])
    return f"{category.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _has_masks(samples: Sequence[Sample]) -> bool:
    return all(sample.mask is not None or not sample.label for sample in samples)


def _load(folder: Path, samples: tuple[Sample, ...], side: int) -> StoredImages:
    """Open a store; a DatasetError says that it is damaged."""
    try:
        fingerprint = json.loads((folder / "index.json").read_text())["fingerprint"]
        images = np.load(folder / "images.npy", mmap_mode="r")
        masks = np.load(folder / "masks.npy").view(np.bool_) if _has_masks(samples) else None
    except Exception as error:  # numpy raises nearly anything on a damaged header
        raise DatasetError(f"{folder}: the stored images are damaged ({error})") from error
    shape = (len(samples), side, side)
    if (
        images.shape != (*shape, 3)
        or images.dtype != np.uint8
        or (masks is not None and masks.shape != shape)
    ):
        raise DatasetError(f"{folder}: the stored images are damaged (other shapes than expected)")
    return StoredImages(samples, images, masks, fingerprint)


@dataclass(frozen=True)
class _Decoded:
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None
    size: tuple[int, int]
    sha256: str


def _read(sample: Sample, side: int, mask_threshold: int | None) -> _Decoded:
    image = read_image(sample.image)
    digest = hashlib.sha256(sample.image.read_bytes())
    mask = None
    if sample.mask is not None:
        mask = resize_mask(read_mask(sample.mask, image.size, mask_threshold), side)
        digest.update(sample.mask.read_bytes())
        if not mask.any():
            log.warning("%s: no defective pixel is left at %dx%d", sample.mask, side, side)
    elif not sample.label:
        mask = np.zeros((side, side), np.bool_)
    return _Decoded(resize_image(image, side), mask, image.size, digest.hexdigest())


def _write(
    folder: Path, samples: Sequence[Sample], side: int, read: Callable[[Sample], _Decoded], title: str | None
) -> None:
    """Decode all samples into arrays below `folder`; the index, written last, makes it a store."""
    shape = (len(samples), side, side)
    images = np.empty((*shape, 3), np.uint8)
    masks = np.zeros(shape, np.bool_)
    decoded: list[tuple[str, tuple[int, int]]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            results = pool.map(read, samples)
            for i, item in enumerate(with_bar(results, len(samples), f"decoding {title}", title is not None)):
                images[i] = item.image
                if item.mask is not None:
                    masks[i] = item.mask
                decoded.append((item.sha256, item.size))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    np.save(folder / "images.npy", images)
    _report_sizes(samples, [size for _, size in decoded])
    if _has_masks(samples):
        np.save(folder / "masks.npy", masks.view(np.uint8))
    content = json.dumps([VERSION, side, [sha256 for sha256, _ in decoded]])
    index = {
        "fingerprint": hashlib.sha256(content.encode()).hexdigest(),
        "files": {str(sample.image): item[0] for sample, item in zip(samples, decoded, strict=True)},
    }
    (folder / "index.json").write_text(json.dumps(index, indent=1))


def _report_sizes(samples: Sequence[Sample], sizes: Sequence[tuple[int, int]]) -> None:
    """Warn where images differ in size: each is brought to the same square, so shapes are distorted apart."""
    (usual, _), *others = Counter(sizes).most_common()
    if others:
        first = next(sample.image for sample, size in zip(samples, sizes, strict=True) if size != usual)
        log.warning(
            "%s: %d of %d images have another size than %dx%d (the first is %s); each is resized to a square",
            first.parent,
            sum(count for _, count in others),
            len(sizes),
            *usual,
            first.name,
        )
