"""The results of a cell, written to a pending record."""

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmark.cell import Cell
from benchmark.figure import save_figure
from benchmark.run_cell import CellResult
from benchmark.settings.sweep import Tracking
from datasets.category import Sample
from metrics import image_roc, overlaps_at, pixel_roc, pro_curve, pro_of_regions
from store import files, tags
from store.pending import Pending

log = logging.getLogger(__name__)

# false-positive rates at which curves are drawn: evenly over all rates, and more densely where they are low
RATES = np.unique(np.concatenate([np.linspace(0, 1, 201), np.geomspace(1e-4, 1, 100)]))


def record(
    cell: Cell, result: CellResult, tracking: Tracking, tables: Sequence[str], pending: Pending
) -> None:
    """Write the numbers, curves and files of a cell; log the measures of the sweep's `tables`."""
    measures, cost, method = result.measures, result.cost, result.detector.method
    records = result.detector.records
    own = [item for item in records if not item.shared]
    seconds = sum(item.seconds for item in own)
    pending.add_metrics(
        {
            **measures.values,
            tags.THRESHOLD: measures.threshold,
            tags.IMAGE_THRESHOLD: measures.image_threshold,
            tags.DICE_MAX_THRESHOLD: measures.dice_max_threshold,
            tags.TRAIN_SECONDS: seconds,
            tags.TRAIN_IMAGES_PER_SECOND: sum(item.images for item in own) / seconds if own else math.nan,
            tags.PRETRAINING_SECONDS: sum(item.seconds for item in records if item.shared) or math.nan,
            tags.INFERENCE_SECONDS_SINGLE: cost.seconds_single,
            tags.INFERENCE_SECONDS_BATCHED: cost.seconds_batched,
            tags.INFERENCE_IMAGES_PER_SECOND: 1 / cost.seconds_batched,
            tags.MULTIPLY_ADDS: cost.multiply_adds,
            tags.PEAK_MEMORY_GB: result.peak_memory_gb,
            tags.PARAMETERS: float(sum(p.numel() for p in method.parameters() if p.requires_grad)),
        }
    )
    for item in records:
        curves = {item.name + tags.LOSS: item.losses, item.name + tags.SELECTION: item.selection}
        pending.metrics |= {
            name: {item.every * i: value for i, value in enumerate(values, 1)}
            for name, values in curves.items()
            if values
        }
        pending.add_metrics({item.name + tags.BEST_EPOCH: float(item.best_epoch)})
    if measures.missing:
        pending.tags[tags.MISSING] = "; ".join(f"{name}: {cause}" for name, cause in measures.missing.items())
    _write_files(cell, result, tracking, pending.files)
    pending.save()
    shown = (f"{name} {_number(measures.values.get(name, math.nan))}" for name in tables)
    log.info("%s: %s; trained in %.1f s", cell.name, ", ".join(shown), seconds)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _write_files(cell: Cell, result: CellResult, tracking: Tracking, folder: Path) -> None:
    stored, scores = result.stored, result.scores
    names = [_short(sample) for sample in stored.samples]
    rows = zip(names, stored.samples, scores.images.tolist(), strict=True)
    files.write_scores(folder, ((name, sample.kind, sample.label, value) for name, sample, value in rows))
    files.write_curves(folder, _curves(result))
    files.write_regions(folder, _regions(cell, result, names))
    if tracking.maps:
        files.write_maps(folder, scores.maps, names)
    if tracking.pictures:
        files.write_pictures(folder, stored.images, stored.masks, names)
    if result.pairs is not None:
        files.write_pairs(folder, result.pairs)
    if tracking.detector:
        result.detector.save(folder / tags.DETECTOR)
    if tracking.figure:
        save_figure(folder / tags.FIGURE, cell.name, stored, scores, result.measures.threshold)


def _short(sample: Sample) -> str:
    """Return test/<kind>/<file>, or test/<kind>/rgb/<file>."""
    return "/".join(sample.image.parts[-4 if sample.xyz else -3 :])


def _curves(result: CellResult) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the curves that are defined."""
    pixels = result.measures.pixels
    labels = [sample.label for sample in result.stored.samples]
    curves = {"image_roc": image_roc(labels, result.scores.images)}
    if not pixels.one_class:
        curves |= {"pixel_roc": (RATES, pixel_roc(pixels, RATES)), "pro": (RATES, pro_curve(pixels, RATES))}
    return curves


def _regions(
    cell: Cell, result: CellResult, names: Sequence[str]
) -> Iterator[tuple[str, str, int, float, float, float]]:
    """Yield the regions of the ground truth: see `store.files.REGION_COLUMNS`."""
    pixels, samples = result.measures.pixels, result.stored.samples
    side = result.stored.images.shape[1]
    columns = zip(
        pixels.images.tolist(),
        pixels.areas.tolist(),
        (pixels.areas / side**2).tolist(),
        overlaps_at(pixels, result.measures.threshold).tolist(),
        pro_of_regions(pixels, cell.evaluation.fpr_limit).tolist(),
        strict=True,
    )
    for image, *rest in columns:
        yield names[image], samples[image].kind, *rest
