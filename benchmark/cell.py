"""One cell: a method trained and measured on one category with one seed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.checkpoint import Checkpoint
from benchmark.data import Images, open_images
from benchmark.errors import BenchmarkError
from benchmark.features import open_features
from benchmark.outputs import Outputs, sample_outputs
from benchmark.pretext import PretextStages
from benchmark.records import StageRecord
from benchmark.runtime import Runtime, peak_memory, restart_peak_memory, seed_everything
from benchmark.scoring import InferenceCost, Scores, measure_inference, score
from benchmark.settings import Evaluation, Tracking, Trainer, Training, build
from benchmark.training import TrainingData, fit
from datasets.category import Category
from datasets.store import StoredImages, open_store
from methods.backbone import FeatureBackbone
from methods.method import Method
from metrics import EXACT_PIXELS, evaluate
from metrics import Evaluation as Measures

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """What is run: one method, one category, one seed, and everything configured around them."""

    name: str
    method: Mapping[str, Any]
    category: Category
    seed: int
    backbone: FeatureBackbone
    teacher: str  # the identity of the frozen network
    runtime: Runtime
    trainer: Trainer
    training: Training
    evaluation: Evaluation
    tracking: Tracking
    pretext: Category | None = None  # the images of stages that belong to no category, if there are such

    def open_stores(self) -> "Stores":
        """Return the decoded images, decoding them if nobody has yet: a damaged one is told before training."""
        pretext = self.training.pretext
        return Stores(
            train=self._open(self.category, "train"),
            validation=self._open(self.category, "validation") if self.category.validation else None,
            test=self._open(self.category, "test"),
            pretext=self._open(self.pretext, "train", pretext.image_size) if self.pretext else None,
        )

    def _open(self, category: Category, split: str, side: int | None = None) -> StoredImages:
        trainer, training = self.trainer, self.training
        return open_store(
            category,
            split,
            side or training.image_size,
            trainer.cache_dir,
            trainer.progress,
            training.depth_size,
        )

    def build_method(self) -> Method:
        """Return the method with fresh weights, drawn from the cell's seed."""
        seed_everything(self.seed)
        return build("method", self.method, backbone=self.backbone)


@dataclass(frozen=True)
class Stores:
    """The decoded images of a cell: of each split that its category has, and of its pretext task, if any."""

    train: StoredImages
    validation: StoredImages | None
    test: StoredImages
    pretext: StoredImages | None

    @property
    def fingerprints(self) -> dict[str, tuple[str, list[str]]]:
        """Return what each part holds: the hash of its files, and the kinds of its images."""
        parts = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "pretext": self.pretext,
        }
        return {
            name: (images.fingerprint, [sample.kind for sample in images.samples])
            for name, images in parts.items()
            if images is not None
        }


@dataclass(frozen=True)
class Outcome:
    """What a cell found."""

    measures: Measures
    scores: Scores
    records: list[StageRecord]
    cost: InferenceCost
    stored: StoredImages
    method: Method
    peak_memory_gb: float
    pretext_fingerprint: str | None
    outputs: Outputs | None


def run_cell(cell: Cell, stored: Stores, checkpoint: Checkpoint | None = None) -> Outcome:
    """Train on the category's defect-free images, score its test images, and measure.

    Raises
    ------
    DatasetError, MethodError, BenchmarkError, MetricError
        As their modules say; the messages name the file or option.
    """
    restart_peak_memory()
    method = cell.build_method()
    cell.runtime.move(method)
    train = _images(cell, stored.train, method)
    split = cell.category.hold_out(cell.training.validation_fraction, cell.training.validation_seed)
    if stored.validation is not None:
        validation: Images | None = _images(cell, stored.validation, method)
    else:
        validation = train.select(split.validation) if split.validation else None
    if cell.evaluation.threshold == "train_quantile" and validation is None:
        raise BenchmarkError(
            "evaluation.threshold=train_quantile takes the threshold from held-out defect-free images, and there "
            "are none; set method.training.validation_fraction above 0"
        )
    score(method, train.select(train.samples[:1]), 1)  # images that the method cannot take are told now
    seed_everything(cell.seed)
    data = TrainingData(train.select(split.train), validation, _pretext(cell, stored.pretext))
    records = fit(method, cell.training, data, cell.seed, cell.name, cell.trainer.progress, checkpoint)
    honest = cell.evaluation.threshold == "train_quantile"  # the one policy that looks at held-out images
    held_out = score(method, validation, cell.evaluation.batch_size) if honest and validation else None
    test = _images(cell, stored.test, method, epochs=False)
    scores = score(method, test, cell.evaluation.batch_size)
    return Outcome(
        measures=_measure(cell.evaluation, test, scores, held_out),
        scores=scores,
        records=records,
        cost=measure_inference(method, test, cell.evaluation.batch_size),
        stored=test.stored,
        method=method,
        peak_memory_gb=peak_memory(),
        pretext_fingerprint=stored.pretext.fingerprint if stored.pretext else None,
        outputs=sample_outputs(method, test),
    )


def teacher_layers(method: Method) -> tuple[str, ...]:
    """Return the layers of the frozen network that a method reads, in the batches of any of its stages."""
    crops = [stage.crops for stage in method.stages() if stage.crops]
    return tuple(dict.fromkeys([*method.needs, *(layer for each in crops for layer in each.layers)]))


def _pretext(cell: Cell, stored: StoredImages | None) -> PretextStages | None:
    if stored is None:
        return None
    folder, seconds = cell.trainer.cache_dir / "stages", cell.trainer.checkpoint_seconds
    return PretextStages(stored, cell.method, cell.backbone, cell.runtime, folder, seconds)


def _images(cell: Cell, stored: StoredImages, method: Method, epochs: bool = True) -> Images:
    """Return stored images with the teacher's features; `epochs`: whether they are read more than once."""
    features = None
    if method.needs:
        features = open_features(stored, cell.backbone, method.needs, cell.runtime, cell.trainer, epochs)
    room = cell.trainer.features.resident_gb(cell.runtime.device.type)
    return open_images(stored, features, cell.runtime, room)


def _measure(settings: Evaluation, test: Images, scores: Scores, held_out: Scores | None) -> Measures:
    measures = evaluate(
        scores.maps,
        test.stored.masks,
        np.array([sample.label for sample in test.samples]),
        scores.images,
        threshold_policy=settings.threshold,
        validation_scores=held_out.images if held_out else None,
        validation_peaks=held_out.peaks if held_out else None,
        quantile=settings.quantile,
        fpr_limit=settings.fpr_limit,
        pro_variants=tuple(settings.pro_variants),
    )
    if not measures.exact:
        log.info("pixel measures: streamed, as the maps have more than %d pixels: within 1e-4", EXACT_PIXELS)
    if measures.missing:
        causes = "; ".join(sorted(set(measures.missing.values())))
        log.warning("undefined, so left out: %s (%s)", ", ".join(measures.missing), causes)
    return measures
