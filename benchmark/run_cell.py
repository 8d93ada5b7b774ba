"""One cell's life: a detector, trained or loaded; scores of the test images, if there are any; measures."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmark.cell import Cell, CellImages
from benchmark.data.batches import Images
from benchmark.data.file_digests import FileDigests
from benchmark.data.images import StoredImages, content_digest
from benchmark.detector import Detector
from benchmark.environment import peak_memory, restart_peak_memory
from benchmark.errors import BenchmarkError
from benchmark.inference_cost import InferenceCost, InferenceCosts
from benchmark.measuring import measure
from benchmark.pairs import sample_pairs
from benchmark.resampling import resample
from benchmark.scoring import Scores, score
from benchmark.settings.evaluation import Evaluation
from benchmark.shifts import measure_shifts
from benchmark.training.trained import trained
from datasets.category import Sample
from methods.method import Method
from metrics import FROM_HELD_OUT, HELD_OUT_POLICIES, Measures, Replicates, held_out_thresholds
from store.files import Pairs
from store.shifts import ShiftedMeasures

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedResult:
    """The results of a cell without test images; its detector has the thresholds of held-out images, if any are.

    `timed_category` is the category on whose images the cost was measured: of this cell, or an earlier one of the job.
    """

    detector: Detector
    cost: InferenceCost
    timed_category: str
    peak_memory_gb: float


@dataclass(frozen=True)
class CellResult(TrainedResult):
    """The results of a cell with test images; its detector has the thresholds of its measures."""

    stored: StoredImages
    scores: Scores
    measures: Measures
    pairs: Pairs | None
    replicates: Replicates | None = None
    shifts: Sequence[ShiftedMeasures] = ()


def run_cell(
    cell: Cell, key: str, results_dir: Path, costs: InferenceCosts, force: bool = False
) -> CellResult:
    """Train a detector, or load the one with this training key; score the test images; measure.

    Parameters
    ----------
    key
        The training key.
    results_dir
        The folder below which detectors and checkpoints are kept.
    costs
        The costs of inference that were measured in earlier cells of the job.
    force
        Whether to train even if there is a detector with this key.

    Raises
    ------
    DatasetError, MethodError, BenchmarkError, MetricError, StoreError
        As their packages say; the messages name the file or option.
    """
    images, detector, validation = _trained(cell, key, results_dir, force)
    assert images.test is not None
    test = cell.as_batches(images.test, reread=False)
    with _named_batch_size(cell.evaluation):
        scores = score(detector.method, test, cell.evaluation.batch_size, cell.settings.cache_dir)
    measures = measure(cell.evaluation, images.test, scores, validation)
    replicates = None
    if cell.evaluation.bootstrap:
        digest = content_digest(cell.category, "test", FileDigests(cell.settings.cache_dir))
        replicates = resample(cell.evaluation, images.test, scores, measures, digest)
    pairs = sample_pairs(detector.method, test)
    memory = _peak_memory(detector)  # before inference is timed, which few cells do
    cost, timed_category = _cost(costs, cell, detector.method, test)
    with _named_batch_size(cell.evaluation):
        shifts = measure_shifts(cell, images.test, detector.method, scores, measures)
    asked = cell.evaluation.threshold
    policy = _policy(asked, measures.thresholds)
    if policy != asked:
        log.warning(
            "%s: %s gives no threshold, so verdicts use %s, a quantile of held-out normal images",
            *(cell.name, asked, policy),
        )
    return CellResult(
        detector=_judging(detector, cell, measures.thresholds, policy),
        cost=cost,
        timed_category=timed_category,
        stored=images.test,
        scores=scores,
        measures=measures,
        pairs=pairs,
        replicates=replicates,
        shifts=shifts,
        peak_memory_gb=memory,
    )


def train_cell(
    cell: Cell, key: str, results_dir: Path, costs: InferenceCosts, force: bool = False
) -> TrainedResult:
    """Train a detector, or load the one with this training key, for a category without test images.

    Without them, thresholds can come from held-out normal images alone, whatever policy is asked for; the cost of
    an image is that of the train images. Parameters and errors are those of `run_cell`.
    """
    images, detector, validation = _trained(cell, key, results_dir, force)
    memory = _peak_memory(detector)
    train = cell.as_batches(images.train, reread=False)
    cost, timed_category = _cost(costs, cell, detector.method, train)
    thresholds = {}
    if validation is not None:
        thresholds = held_out_thresholds(
            validation.images, validation.map_max, validation.maps, cell.evaluation.quantile
        )
    policy = _policy(cell.evaluation.threshold, thresholds) if thresholds else None
    return TrainedResult(
        detector=_judging(detector, cell, thresholds, policy),
        cost=cost,
        timed_category=timed_category,
        peak_memory_gb=memory,
    )


def _cost(costs: InferenceCosts, cell: Cell, method: Method, images: Images) -> tuple[InferenceCost, str]:
    with _named_batch_size(cell.evaluation):
        return costs.of(cell.category.name, method, images, cell.evaluation.batch_size)


def _trained(
    cell: Cell, key: str, results_dir: Path, force: bool
) -> tuple[CellImages, Detector, Scores | None]:
    """Return the cell's images, its detector, and the scores of its held-out images, if there are any."""
    restart_peak_memory()
    images = cell.open_images()
    check_threshold(cell.evaluation, cell.category.name, cell.held_out)
    if images.test is None and not cell.held_out:
        log.warning(
            "%s: there are neither test images nor held-out ones, so the detector will have no threshold and give no "
            "verdicts; method.training.validation_fraction=0.2 holds out a fifth of the train images",
            cell.name,
        )
    detector = trained(cell, images, key, results_dir / "detectors", force)
    with _named_batch_size(cell.evaluation):
        return images, detector, _score_validation(cell, images, detector.method)


def _judging(
    detector: Detector, cell: Cell, thresholds: Mapping[str, tuple[float, float]], policy: str | None
) -> Detector:
    """Return the detector with thresholds, (pixel, image) by policy, and the policy by which it judges.

    A model for several categories becomes the detector of this one.
    """
    named = {name: {"pixel": pixel, "image": image} for name, (pixel, image) in thresholds.items()}
    own = {"name": cell.name, "category": cell.category.name} if cell.pooled else {}
    return replace(
        detector,
        about={**detector.about, **own},
        thresholds=named,
        policy=policy,
        batch_size=cell.evaluation.batch_size,
    )


def _policy(asked: str, thresholds: Collection[str]) -> str:
    """Return the policy by which a detector judges: the one asked for, or the held-out one where that is undefined."""
    return asked if asked in thresholds or FROM_HELD_OUT not in thresholds else FROM_HELD_OUT


def _peak_memory(detector: Detector) -> float:
    """Return the peak of this process, or of the training if another process did it and needed more; GB."""
    return max(peak_memory(), detector.about["peak_memory_gb"])


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


def check_threshold(evaluation: Evaluation, category: str, held_out: Sequence[Sample]) -> None:
    """Refuse a policy that takes the threshold from held-out images of a category that has none.

    Raises
    ------
    BenchmarkError
        If there are none.
    """
    if evaluation.threshold in HELD_OUT_POLICIES and not held_out:
        raise BenchmarkError(
            f"evaluation.threshold={evaluation.threshold} takes the threshold from held-out normal images, and "
            f"category '{category}' has none; set method.training.validation_fraction above 0"
        )


def _score_validation(cell: Cell, images: CellImages, method: Method) -> Scores | None:
    """Score the held-out normal images, if there are any."""
    validation = cell.held_out_batches(images, reread=False)
    if validation is None:
        return None
    return score(method, validation, cell.evaluation.batch_size, cell.settings.cache_dir)
