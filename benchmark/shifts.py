"""A trained detector on shifted test images, at the thresholds of the images as they are."""

import logging
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.data.array_files import reserve
from benchmark.data.batches import as_batches
from benchmark.data.shifts import moves, shift
from benchmark.data.teacher import TeacherFeatures
from benchmark.scoring import Scores, score
from datasets.progress import with_bar
from metrics import (
    JUDGES_MAPS,
    Measures,
    count_pixels,
    count_verdicts,
    image_auroc,
    image_f1,
    pixel_auroc,
    pro,
)
from metrics.slices import Selection, open_stacks
from store.shifts import LEVELS, SHIFTS, UNSHIFTED, ShiftedMeasures, named_shifts

if TYPE_CHECKING:
    from benchmark.cell import Cell
    from benchmark.data.images import StoredImages
    from methods.method import Method

log = logging.getLogger(__name__)


def measure_shifts(
    cell: "Cell", stored: "StoredImages", method: "Method", scores: Scores, measures: Measures
) -> tuple[ShiftedMeasures, ...]:
    """Measure a trained method on the shifted test images; nothing if no shifts are asked for.

    The decoded 8-bit images are shifted at the size that the method uses, before they are normalised. Depth is left as
    it is. The teacher's features are computed for each batch and not kept.

    Parameters
    ----------
    stored
        The test images.
    scores, measures
        Those of the images as they are, with the threshold of the run.

    Returns
    -------
    The measures of the images as they are, and at five levels of each shift.

    Raises
    ------
    BenchmarkError, MetricError
        See `benchmark.scoring.score` and `metrics.count_pixels`.
    OSError
        If there is no room for the shifted images, which are written to a temporary file.
    """
    names = named_shifts(cell.evaluation.shifts)
    if not names:
        return ()
    if method.mode == "depth":
        log.warning("%s: evaluation.shifts is not measured, as method.mode=depth reads no image", cell.name)
        return ()
    if method.mode == "rgbd":
        log.warning(
            "%s: evaluation.shifts leaves depth as it is, so rotation and translation part it from the image",
            cell.name,
        )
    row = partial(_measured, cell, stored, measures.image_threshold)
    first = row(UNSHIFTED, 0, scores, stored.masks)
    return (first, *(row(*each) for each in _scored(cell, stored, method, names)))


def _scored(
    cell: "Cell", stored: "StoredImages", method: "Method", names: tuple[str, ...]
) -> Iterator[tuple[str, int, Scores, np.ndarray | None]]:
    """Yield the scores and the masks of the test images at each level of each shift."""
    runtime, settings, normalisation = cell.runtime, cell.settings, cell.backbone.normalisation
    features = None
    if cell.layers:
        features = TeacherFeatures(runtime.move(cell.backbone.teacher(cell.layers)), normalisation, runtime)
    steps = [*product(names, LEVELS)]
    with TemporaryFile(dir=settings.cache_dir) as file:
        reserve(file, stored.images.nbytes)
        images = np.memmap(file, np.uint8, "r+", shape=stored.images.shape)
        for name, level in with_bar(steps, len(steps), f"shifts of {cell.name}", settings.progress):
            masks = (
                np.empty(stored.masks.shape, np.bool_) if stored.masks is not None and moves(name) else None
            )
            _fill(images, masks, stored, name, level)
            shifted = replace(stored, images=images, masks=stored.masks if masks is None else masks, key="")
            room = settings.features.resident_gb(runtime.device.type)
            batches = as_batches(shifted, features, normalisation, runtime, room)
            scores = score(method, batches, cell.evaluation.batch_size, settings.cache_dir)
            yield name, level, scores, shifted.masks


def _fill(
    images: np.ndarray, masks: np.ndarray | None, stored: "StoredImages", name: str, level: int
) -> None:
    """Write the shifted images, and the masks that move with them, to arrays."""

    def write(i: int) -> None:
        mask = None if masks is None or stored.masks is None else stored.masks[i]
        images[i], moved = shift(name, level, stored.images[i], mask)
        if masks is not None:
            masks[i] = moved

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, range(len(stored))))


def _measured(
    cell: "Cell",
    stored: "StoredImages",
    threshold: float,
    name: str,
    level: int,
    scores: Scores,
    masks: Any,
) -> ShiftedMeasures:
    """Take the measures at one level; pixel measures of the images with ground truth."""
    labels = np.array([sample.label for sample in stored.samples])
    maps: Any = scores.maps
    if masks is not None and not stored.has_truth.all():
        maps, masks = (Selection(stack, stored.has_truth) for stack in open_stacks(maps, masks))
    pixels = count_pixels(maps, masks)
    judged = scores.map_max if cell.evaluation.threshold == JUDGES_MAPS else scores.images
    verdicts = None if math.isnan(threshold) else count_verdicts(labels, judged, threshold)
    return ShiftedMeasures(
        shift=name,
        level=level,
        strength=SHIFTS[name].levels[level - 1] if level else 0.0,
        image_auroc=image_auroc(labels, scores.images),
        pixel_auroc=pixel_auroc(pixels),
        pro=pro(pixels, cell.evaluation.fpr_limit),
        image_f1=image_f1(labels, judged, threshold),
        misses=math.nan if verdicts is None else verdicts.misses,
        false_alarms=math.nan if verdicts is None else verdicts.false_alarms,
        anomalous=int(np.count_nonzero(labels)),
        normal=int(np.count_nonzero(labels == 0)),
    )
