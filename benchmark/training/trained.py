"""The detector of a cell: loaded if it has been trained before, otherwise trained and kept."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmark.cell import Cell, CellImages
from benchmark.detector import Detector, with_weights
from benchmark.detector_files import FORMAT, read_about, write_files
from benchmark.environment import environment, peak_memory
from benchmark.identity import training_makers
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.fit import fit
from benchmark.training.pretraining import PretrainedStages
from benchmark.training.records import StageRecord
from methods.method import Method
from store.doubts import MIN_IMAGES, few_images, still_improving, too_few_steps
from store.folders import write_folder_once
from store.keys import versions_of

log = logging.getLogger(__name__)


def trained(cell: Cell, images: CellImages, key: str, folder: Path, force: bool = False) -> Detector:
    """Return the detector of a cell: loaded by its training key, or trained and kept.

    Parameters
    ----------
    key
        The training key: see `benchmark.identity.training_key`.
    folder
        The folder of all detectors; each is a folder below it, named by its key.
    force
        Whether to train even if it is there.

    Raises
    ------
    DatasetError, MethodError, BenchmarkError
        See `benchmark.training.fit.fit`.
    StoreError
        If the detector cannot be written.
    """
    seconds = cell.settings.checkpoint_seconds
    path = folder.parent / "checkpoints" / f"{key}.checkpoint"
    checkpoint = None if seconds is None else Checkpoint(path, seconds)
    done = False

    def write(staging: Path) -> None:
        nonlocal done
        done = True
        method, records = train_method(cell, images, checkpoint)
        write_files(staging, method, _describe(cell, key, method, records))

    target = write_folder_once(folder / key, write, check=read_about, replace=force)
    if checkpoint is not None:
        checkpoint.discard()
    if not done:
        log.info("%s: trained before, detector loaded from %s", cell.name, target)
    detector = with_weights(target, cell.build_method(), cell.backbone, cell.runtime)
    for record in detector.records:
        _warn(cell.name, record)
    _warn_of_few_images(cell.name, len(cell.category.train), detector.records)
    return detector


def _warn(title: str, record: StageRecord) -> None:
    """Warn of a stage that ended too early to say much about its method."""
    option = "method.training.epochs" if record.every == 1 else "its steps in method.training.stages"
    if too_few_steps(record.steps):
        log.warning(
            "%s: stage '%s' took %d optimiser steps, too few to train a network (published schedules take 200 or "
            "more); raise %s",
            *(title, record.name, record.steps, option),
        )
    if still_improving(record.selection or record.losses, record.best_epoch):
        log.warning(
            "%s: the %s of stage '%s' was still falling when the training ended; raise %s",
            *(title, "held-out value" if record.selection else "training loss", record.name, option),
        )


def _warn_of_few_images(title: str, images: int, records: Sequence[StageRecord]) -> None:
    if few_images(images):
        steps = ", ".join(f"{record.name} {record.steps}" for record in records if not record.shared)
        log.warning(
            "%s: %d train images are fewer than in any category of MVTec AD (%d); a schedule that counts epochs takes "
            "fewer optimiser steps than published (here %s)",
            *(title, images, MIN_IMAGES, steps),
        )


def train_method(
    cell: Cell, images: CellImages, checkpoint: Checkpoint | None
) -> tuple[Method, list[StageRecord]]:
    """Train a cell's method on its decoded images, see `benchmark.training.fit.fit`."""
    shared = None
    if images.pretraining is not None:
        shared = PretrainedStages(
            images.pretraining,
            cell.method,
            cell.backbone,
            cell.runtime,
            cell.settings.cache_dir / "stages",
            cell.settings.checkpoint_seconds,
            cell.progress,
            cell.training.pretraining.images is not None,
        )
    train = cell.as_batches(images.train)
    validation = cell.as_batches(images.validation) if images.validation else None
    return fit(
        cell.build_method,
        cell.training,
        cell.category,
        train,
        validation,
        cell.seed,
        cell.name,
        shared,
        cell.progress,
        checkpoint,
    )


def _describe(cell: Cell, key: str, method: Method, records: Sequence[StageRecord]) -> dict[str, Any]:
    """Return the content of `detector.json`."""
    layers, backbone, training = list(method.teacher_layers), cell.backbone, asdict(cell.training)
    training["pretraining"]["images"] = str(training["pretraining"]["images"] or "")
    return {
        "format": FORMAT,
        "training_key": key,
        "name": cell.name,
        "method": {"name": cell.method_name, "options": dict(cell.method)},
        "training": training,
        "category": cell.category.name,
        "seed": cell.seed,
        "backbone": {
            "name": backbone.name,
            "weights": backbone.weights,
            "seed": backbone.seed,
            "padding_side": backbone.padding_side,
            "layers": layers,
            "layers_sha256": backbone.digest(layers) if layers else None,
            "crop_layers": list(cell.crop_layers),
            "crop_layers_sha256": backbone.digest(cell.crop_layers) if cell.crop_layers else None,
            "file_sha256": backbone.file_digest(),
        },
        "preprocessing": {
            "image_size": cell.training.image_size,
            "depth_size": cell.training.depth_size,
            "bit_depth": cell.category.bit_depth,
            "interpolation": "bilinear, antialiased",
            **asdict(backbone.normalisation),
        },
        "runtime": {
            "device": cell.runtime.device.type,
            "precision": cell.runtime.precision,
            "channels_last": cell.runtime.channels_last,
            "deterministic": cell.settings.deterministic,
        },
        "stages": [asdict(record) for record in records],
        "peak_memory_gb": peak_memory(),
        "versions": versions_of(*training_makers(cell)),
        "environment": environment(),
    }
