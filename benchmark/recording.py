"""The results of a cell, written to a pending record."""

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmark.cell import Cell
from benchmark.data.images import StoredImages
from benchmark.detector import Detector
from benchmark.figure import save_figure
from benchmark.run_cell import CellResult, TrainedResult
from benchmark.settings.sweep import Tracking
from benchmark.training.records import StageRecord
from datasets.category import Sample
from metrics import (
    FROM_HELD_OUT,
    JUDGES_MAPS,
    Measures,
    Replicates,
    image_roc,
    is_oracle,
    overlaps_at,
    pixel_roc,
    pro_curve,
    pro_of_regions,
    with_companions,
)
from store import files, tags
from store.doubts import chance_auroc, chance_level, false_alarm_odds, pixel_chance_level, still_improving
from store.pending import Pending
from store.predictions import outcome_of
from store.replicates import write_replicates
from store.shifts import mean_aurocs

log = logging.getLogger(__name__)

# false-positive rates at which curves are drawn: evenly over all rates, and more densely where they are low
RATES = np.unique(np.concatenate([np.linspace(0, 1, 201), np.geomspace(1e-4, 1, 100)]))


def record(
    cell: Cell, result: CellResult, tracking: Tracking, tables: Sequence[str], pending: Pending
) -> None:
    """Write the numbers, curves and files of a cell; log the measures of the sweep's `tables`."""
    measures = result.measures
    pending.add_metrics(
        {
            **measures.values,
            **_verdicts(measures),
            **_by_policy(measures),
            **mean_aurocs(result.shifts),
            tags.THRESHOLD: measures.threshold,
            tags.IMAGE_THRESHOLD: measures.image_threshold,
            tags.DICE_MAX_THRESHOLD: measures.dice_max_threshold,
            tags.WITHOUT_TRUTH: float(np.count_nonzero(~result.stored.has_truth)),
            tags.HELD_OUT_IMAGES: float(len(cell.held_out)),
        }
    )
    _add_training(pending, cell, result)
    if cell.evaluation.threshold == FROM_HELD_OUT:
        _warn_of_few_held_out(cell)
    _add_chance(pending, cell.name, result)
    if measures.missing:
        pending.tags[tags.MISSING] = "; ".join(f"{name}: {cause}" for name, cause in measures.missing.items())
    _write_files(cell, result, tracking, pending.files)
    _write_model(cell, result.detector, tracking, pending)
    pending.save()
    shown = (f"{name} {_number(measures.values.get(name, math.nan))}" for name in with_companions(tables))
    parts = [*_about_verdicts(measures, cell.evaluation.threshold), ", ".join(shown)]
    log.info("%s: %s; trained in %.1f s", cell.name, "; ".join(parts), _seconds(result))


def _verdicts(measures: Measures) -> dict[str, float]:
    """Return the numbers of misses and false alarms by every threshold policy, and of images of both kinds."""
    numbers: dict[str, float] = {}
    for policy, confusion in measures.confusions.items():
        numbers |= {
            tags.MISSES + policy: float(confusion.misses),
            tags.FALSE_ALARMS + policy: float(confusion.false_alarms),
            tags.ANOMALOUS_IMAGES: float(confusion.anomalous),
            tags.NORMAL_IMAGES: float(confusion.normal),
        }
    return numbers


def _by_policy(measures: Measures) -> dict[str, float]:
    """Return the measures at a threshold by every threshold policy."""
    return {
        f"{name}/{policy}": value
        for policy, values in measures.by_policy.items()
        for name, value in values.items()
    }


def _about_verdicts(measures: Measures, policy: str) -> Iterator[str]:
    """Say how many verdicts are wrong by the run's policy; nothing where it has no threshold."""
    if confusion := measures.confusions.get(policy):
        oracle = ", an oracle" if is_oracle(policy) else ""
        yield (
            f"misses {confusion.misses} of {confusion.anomalous}, false alarms {confusion.false_alarms} of "
            f"{confusion.normal} (threshold {policy}{oracle})"
        )


def record_training(cell: Cell, result: TrainedResult, tracking: Tracking, pending: Pending) -> None:
    """Write the numbers and the detector of a cell without test images, and say what its thresholds are."""
    detector, held_out = result.detector, len(cell.held_out)
    threshold = detector.thresholds.get(detector.policy or "", {})
    pending.add_metrics(
        {
            tags.THRESHOLD: threshold.get("pixel", math.nan),
            tags.IMAGE_THRESHOLD: threshold.get("image", math.nan),
            tags.HELD_OUT_IMAGES: float(held_out),
        }
    )
    _add_training(pending, cell, result)
    pending.tags |= {tags.UNMEASURED: "no test images", tags.THRESHOLD_POLICY: detector.policy or ""}
    if tracking.detector:
        detector.save(pending.files / tags.DETECTOR)
    _write_model(cell, detector, tracking, pending)
    pending.save()
    if detector.policy == FROM_HELD_OUT:
        _warn_of_few_held_out(cell)
    log.info(
        "%s: trained in %.1f s, not measured, as there are no test images; %s",
        *(cell.name, _seconds(result), _about_thresholds(cell, detector, held_out)),
    )


def _about_thresholds(cell: Cell, detector: Detector, held_out: int) -> str:
    """Say where the thresholds of a detector that was not measured come from."""
    threshold, asked = detector.thresholds.get(detector.policy or ""), cell.evaluation.threshold
    if threshold is None:
        return "no threshold, as no normal images are held out"
    instead = "" if asked == detector.policy else f" instead of {asked}, which needs test images"
    return (
        f"thresholds by {detector.policy}{instead}: image {threshold['image']:.4g}, pixel {threshold['pixel']:.4g}, "
        f"from {held_out} held-out normal images"
    )


def _write_model(cell: Cell, detector: Detector, tracking: Tracking, pending: Pending) -> None:
    if tracking.model:
        from benchmark.deployment.logged_model import write_logged_model  # optional packages

        write_logged_model(cell, detector, pending)


def _add_training(pending: Pending, cell: Cell, result: TrainedResult) -> None:
    """Add what the detector and its use cost, and the curves of its stages."""
    cost, records = result.cost, result.detector.records
    own = [item for item in records if not item.shared]
    parameters = result.detector.method.parameters()
    pending.add_metrics(
        {
            tags.TRAIN_IMAGES: float(len(cell.trained_on.train)),
            tags.TRAIN_SECONDS: _seconds(result),
            tags.TRAIN_IMAGES_PER_SECOND: sum(item.images for item in own) / _seconds(result)
            if own
            else math.nan,
            tags.PRETRAINING_SECONDS: sum(item.seconds for item in records if item.shared) or math.nan,
            tags.INFERENCE_SECONDS_SINGLE: cost.seconds_single,
            tags.INFERENCE_SECONDS_BATCHED: cost.seconds_batched,
            tags.INFERENCE_IMAGES_PER_SECOND: 1 / cost.seconds_batched,
            tags.INFERENCE_BATCH_SIZE: cost.batch_size,
            tags.MULTIPLY_ADDS: cost.multiply_adds,
            tags.PEAK_MEMORY_GB: result.peak_memory_gb,
            tags.PARAMETERS: float(sum(p.numel() for p in parameters if p.requires_grad)),
        }
    )
    pending.tags[tags.TIMED_CATEGORY] = result.timed_category
    for item in records:
        _add_curves(pending, item)


def _seconds(result: TrainedResult) -> float:
    """Return the time of the cell's own stages."""
    return sum(item.seconds for item in result.detector.records if not item.shared)


def _add_curves(pending: Pending, item: StageRecord) -> None:
    """Add the curves of a stage, and what they say about its end."""
    curves = {item.name + tags.LOSS: item.losses, item.name + tags.SELECTION: item.selection}
    pending.metrics |= {
        name: dict(zip(item.places, values, strict=True)) for name, values in curves.items() if values
    }
    pending.add_metrics(
        {
            item.name + tags.BEST_EPOCH: float(item.best_epoch),
            item.name + tags.STEPS: float(item.steps),
            item.name + tags.STILL_IMPROVING: float(
                still_improving(item.selection or item.losses, item.best_epoch)
            ),
        }
    )


def _warn_of_few_held_out(cell: Cell) -> None:
    """Warn of a threshold from a quantile that the held-out images are too few for."""
    held_out, quantile = len(cell.held_out), cell.evaluation.quantile
    if odds := false_alarm_odds(held_out, quantile):
        log.warning(
            "%s: the threshold comes from only %d held-out images: the quantile %g lies between their two largest "
            "scores; expect a false alarm in about 1 of %d normal images",
            *(cell.name, held_out, quantile, odds),
        )


def _add_chance(pending: Pending, name: str, result: CellResult) -> None:
    """Add the image AUROC that chance reaches with these test images, and warn of AUROCs that are not above it."""
    positives = sum(sample.label for sample in result.stored.samples)
    limit = chance_auroc(positives, len(result.stored.samples) - positives)
    pending.add_metrics({tags.CHANCE_AUROC: limit})
    auroc = result.measures.values.get("image_auroc", math.nan)
    if verdict := chance_level(auroc, limit):
        log.warning("%s: image AUROC %.3f is %s with these test images", name, auroc, verdict)
    pixel_auroc = result.measures.values.get("pixel_auroc", math.nan)
    if level := pixel_chance_level(pixel_auroc):
        log.warning(
            "%s: pixel AUROC %.3f is %s, so the maps do not show where anomalies are",
            name,
            pixel_auroc,
            level,
        )


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _write_files(cell: Cell, result: CellResult, tracking: Tracking, folder: Path) -> None:
    stored, scores = result.stored, result.scores
    names = _names(stored.samples)
    rows = zip(names, stored.samples, scores.images.tolist(), strict=True)
    files.write_scores(folder, ((name, sample.kind, sample.label, value) for name, sample, value in rows))
    files.write_curves(folder, _curves(result))
    files.write_regions(folder, _regions(cell, result, names))
    if result.replicates is not None:
        _write_replicates(folder, result, result.replicates)
    if tracking.maps:
        files.write_maps(folder, scores.maps, names)
    if tracking.pictures:
        files.write_pictures(folder, stored.images, _known_masks(stored), names)
    if result.shifts:
        files.write_shifts(folder, result.shifts)
    if result.pairs is not None:
        files.write_pairs(folder, result.pairs)
    if tracking.detector:
        result.detector.save(folder / tags.DETECTOR)
    if tracking.figure:
        pixel = result.measures.threshold
        save_figure(folder / tags.FIGURE, cell.name, stored, scores, pixel, _outcomes(cell, result))


def _write_replicates(folder: Path, result: CellResult, made: Replicates) -> None:
    labels = [sample.label for sample in result.stored.samples]
    verdicts = ((tags.MISSES, made.misses), (tags.FALSE_ALARMS, made.false_alarms))
    counts = {start + policy: own[policy] for start, own in verdicts for policy in own}
    write_replicates(folder, {**made.values, **counts}, len(labels) - sum(labels), sum(labels))


def _outcomes(cell: Cell, result: CellResult) -> list[str]:
    """Return the verdict on each image compared with its label; "" where the run's policy has no threshold."""
    threshold, samples = result.measures.image_threshold, result.stored.samples
    if math.isnan(threshold):
        return [""] * len(samples)
    judged = result.scores.map_max if cell.evaluation.threshold == JUDGES_MAPS else result.scores.images
    verdicts = (judged >= np.float64(threshold)).tolist()
    return [outcome_of(sample.label == 1, verdict) for sample, verdict in zip(samples, verdicts, strict=True)]


def _known_masks(stored: StoredImages) -> Iterator[np.ndarray | None]:
    """Yield the mask of each image, None where there is no ground truth."""
    for i, known in enumerate(stored.has_truth.tolist()):
        yield stored.masks[i] if known and stored.masks is not None else None


def _names(samples: Sequence[Sample]) -> list[str]:
    """Return test/<kind>/<file>, or test/<kind>/rgb/<file>; a longer end of the paths where images would share it."""
    parts = [sample.image.absolute().parts for sample in samples]
    length, longest = 4 if samples[0].xyz else 3, max(map(len, parts))
    while len({path[-length:] for path in parts}) < len(parts) and length < longest:
        length += 1
    return ["/".join(path[-length:]) for path in parts]


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
    pixels = result.measures.pixels
    known = np.flatnonzero(result.stored.has_truth)  # the images whose pixels were counted
    side = result.stored.images.shape[1]
    columns = zip(
        pixels.images.tolist(),
        pixels.areas.tolist(),
        (pixels.areas / side**2).tolist(),
        overlaps_at(pixels, result.measures.threshold).tolist(),
        pro_of_regions(pixels, cell.evaluation.fpr_limit).tolist(),
        strict=True,
    )
    for counted, *rest in columns:
        image = known[counted]
        yield names[image], result.stored.samples[image].kind, *rest
