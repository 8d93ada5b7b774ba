"""One cell's life: a detector, trained or loaded; scores of the test images; measures."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.cell import Cell, CellImages
from benchmark.data.images import StoredImages
from benchmark.detector import Detector
from benchmark.environment import peak_memory, restart_peak_memory
from benchmark.errors import BenchmarkError
from benchmark.inference_cost import InferenceCost, measure_inference
from benchmark.measuring import measure
from benchmark.pairs import sample_pairs
from benchmark.scoring import Scores, score
from benchmark.training.trained import trained
from datasets.category import Category
from methods.method import Method
from metrics import Measures
from store.files import Pairs


@dataclass(frozen=True)
class CellResult:
    """The results of a cell; its detector has the thresholds of its measures."""

    detector: Detector
    stored: StoredImages
    scores: Scores
    measures: Measures
    cost: InferenceCost
    pairs: Pairs | None
    peak_memory_gb: float


def run_cell(cell: Cell, key: str, results_dir: Path, force: bool = False) -> CellResult:
    """Train a detector, or load the one with this training key; score the test images; measure.

    Parameters
    ----------
    key
        The training key.
    results_dir
        The folder below which detectors and checkpoints are kept.
    force
        Whether to train even if there is a detector with this key.

    Raises
    ------
    DatasetError, MethodError, BenchmarkError, MetricError, StoreError
        As their packages say; the messages name the file or option.
    """
    restart_peak_memory()
    images = cell.open_images()
    _check_threshold(cell)
    detector = trained(cell, images, key, results_dir / "detectors", force)
    validation = _score_validation(cell, images, detector.method)
    test = cell.as_batches(images.test, reread=False)
    scores = score(detector.method, test, cell.evaluation.batch_size, cell.settings.cache_dir)
    measures = measure(cell.evaluation, images.test, scores, validation)
    thresholds = {
        policy: {"pixel": pixel, "image": image}
        for policy, (pixel, image) in measures.thresholds.items()
        if math.isfinite(pixel) and math.isfinite(image)
    }
    return CellResult(
        replace(detector, thresholds=thresholds, policy=cell.evaluation.threshold),
        images.test,
        scores,
        measures,
        measure_inference(detector.method, test, cell.evaluation.batch_size),
        sample_pairs(detector.method, test),
        max(peak_memory(), detector.about["peak_memory_gb"]),
    )


def _held_out(cell: Cell) -> Category:
    return cell.category.hold_out(cell.training.validation_fraction, cell.training.validation_seed)


def _check_threshold(cell: Cell) -> None:
    if cell.evaluation.threshold == "train_quantile" and not _held_out(cell).validation:
        raise BenchmarkError(
            "evaluation.threshold=train_quantile takes the threshold from held-out normal images, and there are none; "
            "set method.training.validation_fraction above 0"
        )


def _score_validation(cell: Cell, images: CellImages, method: Method) -> Scores | None:
    """Score the held-out normal images, if there are any; they lie among the stored train images or by themselves."""
    held_out = _held_out(cell).validation
    if not held_out:
        return None
    stored = images.validation or images.train
    validation = cell.as_batches(stored, reread=False).select(held_out)
    return score(method, validation, cell.evaluation.batch_size, cell.settings.cache_dir)
