"""Teacher features are data: computed once per image, kept where there is room, shared by all who need them."""

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data.array_files import create_array
from benchmark.data.arrays import to_device
from benchmark.data.images import StoredImages
from benchmark.data.teacher import CHUNK, TeacherFeatures, feature_chunks
from benchmark.runtime import Runtime
from benchmark.settings.runtime import RuntimeSettings
from datasets.progress import with_bar
from methods.backbone import FeatureBackbone
from store.errors import StoreError
from store.folders import write_folder_once
from store.keys import make_key

log = logging.getLogger(__name__)

GB = 1e9

Forms = Mapping[str, tuple[tuple[int, ...], type[np.generic]]]  # {layer: shape and type of its array}


def features_key(images: str, backbone: FeatureBackbone, layers: Sequence[str], runtime: Runtime) -> str:
    """Return the key of the teacher's features of the stored images with the key `images`."""
    return make_key(
        feature_chunks,
        FeatureBackbone,
        images=images,
        teacher=backbone.identity(layers),
        normalisation=backbone.normalisation,
        precision=runtime.precision,
        channels_last=runtime.channels_last,
        device=runtime.device.type,
    )


def open_features(
    stored: StoredImages,
    backbone: FeatureBackbone,
    layers: Sequence[str],
    runtime: Runtime,
    settings: RuntimeSettings,
    reread: bool,
) -> TeacherFeatures:
    """Return the features of all images of a split, computing them if they are not kept yet.

    On disk they are the folder `cache_dir/features/<key>`: see `features_key` and `write_folder_once`.

    Parameters
    ----------
    reread
        Whether the features are read more than once; otherwise they are kept on disk or not at all.
    """
    features = TeacherFeatures(runtime.move(backbone.teacher(layers)), backbone.normalisation, runtime)
    _, first = next(feature_chunks(stored.images[:1], features))
    forms = {layer: ((len(stored), *rows.shape[1:]), rows.dtype.type) for layer, rows in first.items()}
    size = len(stored) * sum(rows.nbytes for rows in first.values()) / GB
    limits = settings.features
    if size <= limits.disk_gb:
        folder = settings.cache_dir / "features" / features_key(stored.key, backbone, layers, runtime)
        arrays = _on_disk(folder, forms, stored, features, settings, size)
    elif reread and size <= max(limits.memory_gb, limits.device_gb if runtime.device.type == "cuda" else 0):
        log.info("teacher features of %d images: %.2f GB, in memory", len(stored), size)
        arrays = {layer: np.empty(*form) for layer, form in forms.items()}
        _fill(arrays, stored, features, settings.progress)
    else:
        log.info(
            "teacher features of %d images: %.2f GB exceed the limits of runtime.features; computed when needed",
            *(len(stored), size),
        )
        return features
    resident = reread and size <= limits.resident_gb(runtime.device.type)
    device = runtime.device if resident else None
    # layer by layer, so that arrays in memory and their copies on the device do not all exist at once
    features.cached = {layer: to_device(arrays.pop(layer), device) for layer in forms}
    return features


def _on_disk(
    folder: Path,
    forms: Forms,
    stored: StoredImages,
    features: TeacherFeatures,
    settings: RuntimeSettings,
    size: float,
) -> dict[str, NDArray[Any]]:
    def write(staging: Path) -> None:
        log.info(
            "teacher features of %d images: %.2f GB, computed once for all epochs, methods and seeds",
            *(len(stored), size),
        )
        _make_room(folder.parent, settings.features.disk_gb - size)
        arrays = {layer: create_array(_file(staging, layer), *form) for layer, form in forms.items()}
        _fill(arrays, stored, features, settings.progress)
        for array in arrays.values():
            array.flush()

    write_folder_once(folder, write, check=lambda folder: _read(folder, forms))
    os.utime(folder)  # the least recently used are deleted first
    return _read(folder, forms)


def _read(folder: Path, forms: Forms) -> dict[str, NDArray[Any]]:
    """Map the files of an entry; a StoreError names one that is not of the expected form."""
    arrays = {}
    for layer, (shape, dtype) in forms.items():
        path = _file(folder, layer)
        try:
            arrays[layer] = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(f"{path}: the file is damaged ({error})") from None
        if (arrays[layer].shape, arrays[layer].dtype) != (shape, dtype):
            raise StoreError(
                f"{path}: found {arrays[layer].shape} values of type {arrays[layer].dtype}; expected {shape} of "
                f"type {np.dtype(dtype)}"
            )
    return arrays


def _file(folder: Path, layer: str) -> Path:
    return folder / f"{layer}.npy"


def _fill(
    arrays: Mapping[str, NDArray[Any]], stored: StoredImages, features: TeacherFeatures, progress: bool
) -> None:
    chunks = -(-len(stored) // CHUNK)
    for rows, values in with_bar(
        feature_chunks(stored.images, features), chunks, "teacher features", progress
    ):
        for layer, value in values.items():
            arrays[layer][rows] = value


def _make_room(cache: Path, room: float) -> None:
    """Delete the least recently used entries until the others take at most `room` GB."""
    entries = sorted(
        (path for path in cache.iterdir() if path.is_dir() and not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime,
    )
    sizes = {path: sum(file.stat().st_size for file in path.iterdir()) / GB for path in entries}
    taken = sum(sizes.values())
    for path in entries:
        if taken <= room:
            return
        log.info("teacher features: deleted the least recently used %.2f GB from the cache", sizes[path])
        shutil.rmtree(path)
        taken -= sizes[path]
