"""One cell's life: a detector, trained or loaded; scores of the test images; measures."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmark.cell import Cell, CellImages
from benchmark.data.images import StoredImages
from benchmark.detector import Detector
from benchmark.environment import peak_memory, restart_peak_memory
from benchmark.errors import BenchmarkError
from benchmark.inference_cost import InferenceCost, measure_inference
from benchmark.measuring import measure
from benchmark.pairs import sample_pairs
from benchmark.scoring import Scores, score
from benchmark.settings.evaluation import Evaluation
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
    check_threshold(cell.evaluation, _held_out(cell))
    detector = trained(cell, images, key, results_dir / "detectors", force)
    test = cell.as_batches(images.test, reread=False)
    with _named_batch_size(cell.evaluation):
        validation = _score_validation(cell, images, detector.method)
        scores = score(detector.method, test, cell.evaluation.batch_size, cell.settings.cache_dir)
        cost = measure_inference(detector.method, test, cell.evaluation.batch_size)
    measures = measure(cell.evaluation, images.test, scores, validation)
    thresholds = {
        policy: {"pixel": pixel, "image": image} for policy, (pixel, image) in measures.thresholds.items()
    }
    return CellResult(
        replace(detector, thresholds=thresholds, policy=cell.evaluation.threshold),
        images.test,
        scores,
        measures,
        cost,
        sample_pairs(detector.method, test),
        max(peak_memory(), detector.about["peak_memory_gb"]),
    )


def _held_out(cell: Cell) -> Category:
    return cell.category.hold_out(cell.training.validation_fraction, cell.training.validation_seed)


@contextmanager
def _named_batch_size(evaluation: Evaluation) -> Iterator[None]:
    """Turn the error of a device whose memory is too small into one that names the option."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).partition("\n")[0]
        raise BenchmarkError(
            f"evaluation.batch_size={evaluation.batch_size}: a batch does not fit into the device's memory ({reason}); "
            "set a smaller one, which changes no training"
        ) from error


def check_threshold(evaluation: Evaluation, category: Category) -> None:
    """Refuse a policy that takes the threshold from held-out images of a category that has none.

    Raises
    ------
    BenchmarkError
        If there are none.
    """
    if evaluation.threshold == "train_quantile" and not category.validation:
        raise BenchmarkError(
            "evaluation.threshold=train_quantile takes the threshold from held-out normal images, and category "
            f"'{category.name}' has none; set method.training.validation_fraction above 0"
        )


def _score_validation(cell: Cell, images: CellImages, method: Method) -> Scores | None:
    """Score the held-out normal images, if there are any; they lie among the stored train images or by themselves."""
    held_out = _held_out(cell).validation
    if not held_out:
        return None
    stored = images.validation or images.train
    validation = cell.as_batches(stored, reread=False).select(held_out)
    return score(method, validation, cell.evaluation.batch_size, cell.settings.cache_dir)
