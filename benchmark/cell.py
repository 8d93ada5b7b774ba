"""One cell: a method trained and measured on one category with one seed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.data.batches import Images, as_batches
from benchmark.data.features import open_features
from benchmark.data.file_digests import FileDigests
from benchmark.data.images import StoredImages, content_digest, images_key, open_images_store
from benchmark.detector import Detector
from benchmark.environment import peak_memory, restart_peak_memory
from benchmark.errors import BenchmarkError
from benchmark.identity import cell_identity, training_key
from benchmark.inference_cost import InferenceCost, measure_inference
from benchmark.measuring import measure
from benchmark.pairs import sample_pairs
from benchmark.runtime import Runtime
from benchmark.scoring import Scores, score
from benchmark.settings.evaluation import Evaluation
from benchmark.settings.runtime import RuntimeSettings
from benchmark.settings.training import Training
from benchmark.settings.values import build
from benchmark.training.loop import Progress
from benchmark.training.progress import show_progress
from benchmark.training.trained import trained
from datasets.category import Category
from methods.backbone import FeatureBackbone
from methods.method import Method
from metrics import Measures
from store.files import Pairs


@dataclass(frozen=True)
class CellImages:
    """The decoded images of a cell: of each split, and of stages that are independent of the category."""

    train: StoredImages
    validation: StoredImages | None
    test: StoredImages
    pretraining: StoredImages | None


@dataclass(frozen=True)
class Cell:
    """One method, one category, one seed, and everything configured around them.

    Attributes
    ----------
    name
        Method, mode, category and seed, for messages.
    method_name, method
        The choice in `conf/method`, and its resolved options with `_target_`.
    layers
        The layers of the backbone that the method needs.
    pretraining
        The images of stages that are independent of the category; None: the method has no such stages.
    """

    name: str
    method_name: str
    method: Mapping[str, Any]
    layers: tuple[str, ...]
    category: Category
    seed: int
    backbone: FeatureBackbone
    runtime: Runtime
    settings: RuntimeSettings
    training: Training
    evaluation: Evaluation
    pretraining: Category | None = None

    @property
    def progress(self) -> Progress:
        """How the progress of trainings is shown."""
        return partial(show_progress, bars=self.settings.progress)

    def keys(self) -> tuple[str, str]:
        """Return the training key and the cell's identity.

        Raises
        ------
        DatasetError
            If an image file cannot be read.
        """
        digests = FileDigests(self.settings.cache_dir)
        images = {
            name: images_key(category, split, side, self.training.depth_size, digests)
            for name, (category, split, side) in self._splits().items()
        }
        trained = training_key(self, images)
        return trained, cell_identity(self, trained, images)

    def content_digests(self) -> dict[str, str]:
        """Return digests of the contents of the images by split, whatever they are decoded to."""
        digests = FileDigests(self.settings.cache_dir)
        return {
            name: content_digest(category, split, digests)
            for name, (category, split, _) in self._splits().items()
        }

    def open_images(self) -> CellImages:
        """Return the decoded images, decoding them if needed: a damaged file is reported before the training."""
        stored = {
            name: open_images_store(
                category,
                split,
                side,
                self.settings.cache_dir,
                self.settings.progress,
                self.training.depth_size,
            )
            for name, (category, split, side) in self._splits().items()
        }
        return CellImages(
            stored["train"], stored.get("validation"), stored["test"], stored.get("pretraining")
        )

    def as_batches(self, stored: StoredImages, reread: bool = True) -> Images:
        """Return stored images with the teacher's features; `reread`: whether they are read more than once."""
        features = None
        if self.layers:
            features = open_features(stored, self.backbone, self.layers, self.runtime, self.settings, reread)
        room = self.settings.features.resident_gb(self.runtime.device.type)
        return as_batches(stored, features, self.runtime, room)

    def build_method(self) -> Method:
        """Return the method with fresh weights, drawn from the global generators."""
        return build("method", self.method, backbone=self.backbone)

    def _splits(self) -> dict[str, tuple[Category, str, int]]:
        """Return the splits that there are, each with its images' side."""
        side = self.training.image_size
        splits = {name: (self.category, name, side) for name in ("train", "validation", "test")}
        if not self.category.validation:
            del splits["validation"]
        if self.pretraining is not None:
            splits["pretraining"] = (self.pretraining, "train", self.training.pretraining.image_size)
        return splits


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
