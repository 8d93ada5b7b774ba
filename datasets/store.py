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
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.atomic import write_folder_once
from datasets.category import Category, Sample
from datasets.depth import FOREGROUND_M, read_depth
from datasets.depth import VERSION as DEPTH_VERSION
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
        Hash of the bytes of the image, mask and xyz files and of their preparation.
    depth, foreground
        (N, depth_side, depth_side) float32, centimetres, and bool: see `datasets.depth.Depth`; None without
        point clouds.
    """

    samples: tuple[Sample, ...]
    images: NDArray[np.uint8]
    masks: NDArray[np.bool_] | None
    fingerprint: str
    depth: NDArray[np.float32] | None = None
    foreground: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self.samples)

    def positions(self, samples: Sequence[Sample]) -> NDArray[np.int64]:
        """Return where the samples stand in the arrays."""
        place = {sample.image: i for i, sample in enumerate(self.samples)}
        return np.array([place[sample.image] for sample in samples], dtype=np.int64)


def open_store(
    category: Category, split: str, side: int, cache_dir: Path, progress: bool = False, depth_side: int = 192
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
    depth_side
        Width and height of the prepared depth, where the samples have point clouds, pixels.

    Raises
    ------
    DatasetError
        If a file cannot be read; the message names it. If no train image has a foreground.
    """
    samples: tuple[Sample, ...] = getattr(category, split)
    sizes = _Sizes(side, depth_side if _all_have(samples, "xyz") else None)
    folder = cache_dir / "images" / _key(category, samples, sizes)
    read = partial(_read, sizes=sizes, mask_threshold=category.mask_threshold)
    title = f"{category.name} {split}" if progress else None
    load = partial(_load, samples=samples, sizes=sizes)

    def write(staging: Path) -> None:
        _report(samples, _write(staging, samples, sizes, read, title), split)

    return load(write_folder_once(folder, write, check=load))


class _Sizes(NamedTuple):
    """Sides of what is stored, in pixels; no depth: None."""

    image: int
    depth: int | None

    @property
    def made_of(self) -> list[int]:
        """Versions and sizes, for keys; without depth they are as if there was none at all."""
        return [VERSION, self.image] + ([] if self.depth is None else [DEPTH_VERSION, self.depth])


def _key(category: Category, samples: Sequence[Sample], sizes: _Sizes) -> str:
    """Hash what decides the content of a store: cheap, as no file is read."""
    files = [path for sample in samples for path in _files(sample)]
    try:
        stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    except OSError as error:
        raise DatasetError(f"{error.filename}: cannot be read ({error.strerror})") from error
    text = json.dumps([*sizes.made_of, category.mask_threshold, stats])
    return f"{category.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _files(sample: Sample) -> list[Path]:
    return [path for path in (sample.image, sample.mask, sample.xyz) if path is not None]


def _all_have(samples: Sequence[Sample], part: str) -> bool:
    """Tell whether there is ground truth (`mask`) for all defective images, or a point cloud (`xyz`) for all."""
    return all(
        getattr(sample, part) is not None or (part == "mask" and not sample.label) for sample in samples
    )


def _shapes(samples: Sequence[Sample], sizes: _Sizes) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
    """Return shape and type of each array of a store; booleans are kept as bytes."""
    square, depth_square = (len(samples), *[sizes.image] * 2), (len(samples), *[sizes.depth or 0] * 2)
    shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {"images": ((*square, 3), np.uint8)}
    if _all_have(samples, "mask"):
        shapes["masks"] = square, np.uint8
    if sizes.depth is not None:
        shapes |= {"depth": (depth_square, np.float32), "foreground": (depth_square, np.uint8)}
    return shapes


_MODES: dict[str, Literal["r"]] = {"images": "r", "depth": "r"}  # mapped; the others are small


def _load(folder: Path, samples: tuple[Sample, ...], sizes: _Sizes) -> StoredImages:
    """Open a store; a DatasetError says that it is damaged."""
    shapes = _shapes(samples, sizes)
    try:
        fingerprint = json.loads((folder / "index.json").read_text())["fingerprint"]
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode=_MODES.get(name)) for name in shapes}
    except Exception as error:  # numpy raises nearly anything on a damaged header
        raise DatasetError(f"{folder}: the stored images are damaged ({error})") from error
    if any((arrays[name].shape, arrays[name].dtype) != shape for name, shape in shapes.items()):
        raise DatasetError(f"{folder}: the stored images are damaged (other shapes than expected)")
    return StoredImages(
        samples,
        arrays["images"],
        arrays["masks"].view(np.bool_) if "masks" in arrays else None,
        fingerprint,
        arrays.get("depth"),
        arrays["foreground"].view(np.bool_) if "foreground" in arrays else None,
    )


class _Note(NamedTuple):
    """What is remembered of a decoded image: hash of its files, its width and height, and of its depth two facts."""

    sha256: str
    size: tuple[int, int]
    has_foreground: bool
    has_corners: bool


class _Decoded(NamedTuple):
    arrays: dict[str, NDArray[Any]]
    note: _Note


def _read(sample: Sample, sizes: _Sizes, mask_threshold: int | None) -> _Decoded:
    image = read_image(sample.image)
    arrays: dict[str, NDArray[Any]] = {"images": resize_image(image, sizes.image)}
    has_foreground = has_corners = True
    if sample.mask is not None:
        mask = arrays["masks"] = resize_mask(read_mask(sample.mask, image.size, mask_threshold), sizes.image)
        if not mask.any():
            log.warning("%s: no defective pixel is left at %dx%d", sample.mask, sizes.image, sizes.image)
    if sample.xyz is not None and sizes.depth is not None:
        prepared = read_depth(sample.xyz, image.size, sizes.depth)
        arrays |= {"depth": prepared.depth, "foreground": prepared.foreground}
        has_foreground, has_corners = bool(prepared.foreground.any()), prepared.corners
    digest = hashlib.sha256()
    for path in _files(sample):
        digest.update(path.read_bytes())
    return _Decoded(arrays, _Note(digest.hexdigest(), image.size, has_foreground, has_corners))


def _write(
    folder: Path,
    samples: Sequence[Sample],
    sizes: _Sizes,
    read: Callable[[Sample], _Decoded],
    title: str | None,
) -> list[_Note]:
    """Decode all samples into arrays below `folder`; the index, written last, makes it a store."""
    arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in _shapes(samples, sizes).items()}
    notes: list[_Note] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            results = pool.map(read, samples)
            for i, item in enumerate(with_bar(results, len(samples), f"decoding {title}", title is not None)):
                for name in arrays.keys() & item.arrays.keys():
                    arrays[name][i] = item.arrays[name]
                notes.append(item.note)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    content = json.dumps([*sizes.made_of, [note.sha256 for note in notes]])
    index = {
        "fingerprint": hashlib.sha256(content.encode()).hexdigest(),
        "files": {str(sample.image): note.sha256 for sample, note in zip(samples, notes, strict=True)},
    }
    (folder / "index.json").write_text(json.dumps(index, indent=1))
    return notes


def _report(samples: Sequence[Sample], notes: Sequence[_Note], split: str) -> None:
    """Warn of images that are unlike the others; refuse train images of which none shows an object."""
    (usual, _), *_ = Counter(note.size for note in notes).most_common()
    _warn(
        [sample.image for sample, note in zip(samples, notes, strict=True) if note.size != usual],
        len(samples),
        f"another size than {usual[0]}x{usual[1]}",
        "; each is resized to a square",
    )
    clouds = [
        (sample.xyz, note) for sample, note in zip(samples, notes, strict=True) if sample.xyz is not None
    ]
    empty = [xyz for xyz, note in clouds if not note.has_foreground]
    if split == "train" and clouds and len(empty) == len(clouds):
        raise DatasetError(
            f"{empty[0].parent}: none of the {len(empty)} point clouds has anything {1000 * FOREGROUND_M:g} mm off "
            "its background; accepted: objects on a plane, x, y and z in metres"
        )
    _warn(empty, len(clouds), f"no foreground, as nothing is {1000 * FOREGROUND_M:g} mm off the background")
    cut = [xyz for xyz, note in clouds if not note.has_corners]
    _warn(cut, len(clouds), "no depth in a corner", "; their background is the plane of the image's border")


def _warn(files: Sequence[Path], total: int, finding: str, consequence: str = "") -> None:
    if files:
        head, first = files[0].parent, files[0].name
        log.warning(
            "%s: %d of %d images have %s (the first is %s)%s",
            head,
            len(files),
            total,
            finding,
            first,
            consequence,
        )
