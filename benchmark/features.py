"""Teacher features are data: computed once per image, kept where there is room, shared by all who need them."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.arrays import Rows, place, to_tensor
from benchmark.runtime import Runtime
from benchmark.settings import Trainer
from datasets.atomic import write_folder_once
from datasets.batch import IMAGENET_MEAN, IMAGENET_STD
from datasets.errors import DatasetError
from datasets.progress import with_bar
from datasets.store import StoredImages
from methods.backbone import FeatureBackbone

log = logging.getLogger(__name__)

CHUNK = 32  # images per forward of the teacher
GB = 1e9


def normalise(images: Tensor, runtime: Runtime) -> Tensor:
    """Turn (B, H, W, 3) uint8 into (B, 3, H, W) float32 with ImageNet's mean and deviation, on the device."""
    mean = torch.tensor(IMAGENET_MEAN, device=runtime.device)
    std = torch.tensor(IMAGENET_STD, device=runtime.device)
    scaled = images.to(runtime.device, non_blocking=True).float().div_(255).sub_(mean).div_(std)
    return scaled.permute(0, 3, 1, 2).contiguous(memory_format=runtime.memory_format)


@dataclass
class TeacherFeatures:
    """The teacher's features of stored images: read where they are kept, computed where they are not."""

    teacher: nn.Module
    runtime: Runtime
    kept: dict[str, Rows] | None = None

    def take(self, at: Tensor, image: Tensor) -> dict[str, Tensor]:
        """Return {layer: (B, C, h, w)} of the images at positions `at`, whose normalised form is `image`."""
        if self.kept is None:
            return self.compute(image)
        return {
            layer: self._arrange(rows.take(at.to(rows.home)).to(self.runtime.device))
            for layer, rows in self.kept.items()
        }

    def compute(self, image: Tensor) -> dict[str, Tensor]:
        """Run the teacher on normalised images (B, 3, H, W)."""
        with torch.no_grad(), self.runtime.autocast():
            return self.teacher(image)

    def _arrange(self, stored: Tensor) -> Tensor:
        return stored.permute(0, 3, 1, 2) if self.runtime.channels_last else stored


def open_features(
    stored: StoredImages,
    backbone: FeatureBackbone,
    layers: Sequence[str],
    runtime: Runtime,
    trainer: Trainer,
    epochs: bool,
) -> TeacherFeatures:
    """Return the features of all images of a split, computing and keeping them if nobody has yet.

    The disk form is a folder below `cache_dir/features`, named by a hash of the images' content, the
    weights' content, layers, precision, memory format, device and torch version.

    Parameters
    ----------
    epochs
        Whether the features are read more than once; those that are not are kept on disk or not at all.
    """
    teacher = runtime.move(backbone.teacher(layers))
    features = TeacherFeatures(teacher, runtime)
    sample = features.compute(normalise(to_tensor(stored.images[:1]), runtime))
    size = len(stored) * sum(value.nbytes for value in sample.values()) / GB
    limits = trainer.features
    if size <= limits.disk_gb:
        arrays = _on_disk(stored, backbone, layers, features, sample, trainer, size)
    elif epochs and size <= max(limits.memory_gb, limits.device_gb if runtime.device.type == "cuda" else 0):
        log.info("teacher features: %.2f GB, in memory", size)
        arrays = {k: np.empty(_shape(stored, v, runtime), _dtype(v)) for k, v in sample.items()}
        _fill(arrays, stored, features, trainer.progress)
    else:
        log.info(
            "teacher features: %.2f GB are over the limits of trainer.features; computed when needed", size
        )
        return features
    resident = epochs and size <= limits.resident_gb(runtime.device.type)
    features.kept = {k: place(v, runtime.device if resident else None) for k, v in arrays.items()}
    return features


def _shape(stored: StoredImages, sample: Tensor, runtime: Runtime) -> tuple[int, ...]:
    _, channels, height, width = sample.shape
    place = (height, width, channels) if runtime.channels_last else (channels, height, width)
    return (len(stored), *place)


def _dtype(sample: Tensor) -> type[np.generic]:
    """Return numpy's type for the bits of a feature; numpy has no bfloat16, so its bits are kept as uint16."""
    return np.uint16 if sample.dtype is torch.bfloat16 else np.float32


def _on_disk(
    stored: StoredImages,
    backbone: FeatureBackbone,
    layers: Sequence[str],
    features: TeacherFeatures,
    sample: dict[str, Tensor],
    trainer: Trainer,
    size: float,
) -> dict[str, NDArray[Any]]:
    runtime = features.runtime
    identity = backbone.identity(layers)
    made_of = [stored.fingerprint, identity, runtime.precision, runtime.channels_last, runtime.device.type]
    text = json.dumps([*made_of, torch.__version__])
    folder = trainer.cache_dir / "features" / hashlib.sha256(text.encode()).hexdigest()[:20]

    def write(staging: Path) -> None:
        log.info("teacher features: %.2f GB, computed once for all epochs, methods and seeds", size)
        _make_room(folder.parent, trainer.features.disk_gb - size)
        arrays = {k: _create(_file(staging, k), stored, v, runtime) for k, v in sample.items()}
        _fill(arrays, stored, features, trainer.progress)
        for array in arrays.values():
            array.flush()
        (staging / "index.json").write_text(json.dumps(made_of, indent=1))

    shapes = {layer: _shape(stored, value, runtime) for layer, value in sample.items()}
    write_folder_once(folder, write, check=lambda folder: _read(folder, shapes))
    os.utime(folder)  # the least recently used make room
    return _read(folder, shapes)


def _read(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Map the files of an entry; one that is missing, cut or of another shape is told by name."""
    arrays = {}
    for layer, shape in shapes.items():
        try:
            arrays[layer] = np.load(_file(folder, layer), mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise DatasetError(f"{_file(folder, layer)}: damaged ({error})") from None
        if arrays[layer].shape != shape:
            raise DatasetError(f"{_file(folder, layer)}: damaged (shape {arrays[layer].shape}, not {shape})")
    return arrays


def _file(folder: Path, layer: str) -> Path:
    return folder / f"{layer}.npy"


def _create(path: Path, stored: StoredImages, sample: Tensor, runtime: Runtime) -> np.memmap:
    array = np.lib.format.open_memmap(path, "w+", _dtype(sample), _shape(stored, sample, runtime))
    with path.open("r+b") as file:
        # reserve the blocks now: on a full disk a mapped write would kill the process, this is an error
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _fill(
    arrays: Mapping[str, NDArray[Any]], stored: StoredImages, features: TeacherFeatures, progress: bool
) -> None:
    starts = range(0, len(stored), CHUNK)
    for first in with_bar(starts, len(starts), "teacher features", progress):
        rows = slice(first, first + CHUNK)
        image = normalise(to_tensor(stored.images[rows]), features.runtime)
        for layer, value in features.compute(image).items():
            laid_out = value.permute(0, 2, 3, 1) if features.runtime.channels_last else value
            bits = laid_out.view(torch.uint16) if value.dtype is torch.bfloat16 else laid_out.float()
            arrays[layer][rows] = bits.cpu().numpy()


def _make_room(cache: Path, room: float) -> None:
    """Delete the least recently used entries until at most `room` GB are taken."""
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
