"""A cell: one method, category and seed, and everything configured around them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.data.batches import Images, as_batches
from benchmark.data.features import open_features
from benchmark.data.images import StoredImages, open_images_store
from benchmark.runtime import Runtime
from benchmark.settings.evaluation import Evaluation
from benchmark.settings.runtime import RuntimeSettings
from benchmark.settings.training import Training
from benchmark.settings.values import build
from benchmark.training.loop import Progress
from benchmark.training.progress import show_progress
from datasets.category import Category, Sample
from datasets.pooled import PooledCategory
from methods.backbone import FeatureBackbone
from methods.method import Method


@dataclass(frozen=True)
class CellImages:
    """The decoded images of a cell: of each split, and of stages that are independent of the category."""

    train: StoredImages
    validation: StoredImages | None
    test: StoredImages | None
    pretraining: StoredImages | None


@dataclass(frozen=True)
class Cell:
    """One method, one category, one seed, and everything configured around them.

    Attributes
    ----------
    name, trained_as
        Method, mode, category and seed, for messages; and with the categories of a model for several, if it is one.
    method_name, method
        The choice in `conf/method`, and its resolved options with `_target_`.
    layers, crop_layers
        The layers of the backbone that the method needs in the category's batches, and those that its stages on
        crops need.
    pretraining
        The images of stages that are independent of the category; None: the method has no such stages.
    pooled
        The categories on which one model for all of them is trained, and which have this category among them; None: the
        model is trained for this category alone.
    progress_file
        Where other processes find how far its training is, see `store.progress`; None: nowhere.
    """

    name: str
    method_name: str
    method: Mapping[str, Any]
    layers: tuple[str, ...]
    crop_layers: tuple[str, ...]
    category: Category
    seed: int
    backbone: FeatureBackbone
    runtime: Runtime
    settings: RuntimeSettings
    training: Training
    evaluation: Evaluation
    pretraining: Category | None = None
    progress_file: Path | None = None
    pooled: PooledCategory | None = None
    trained_as: str = ""

    @property
    def trained_on(self) -> Category:
        """The category whose images train the model: the cell's own, or several together."""
        return self.pooled or self.category

    @property
    def training_title(self) -> str:
        """The name of the training, for messages."""
        return self.trained_as or self.name

    @property
    def progress(self) -> Progress:
        """How the progress of trainings is shown."""
        return partial(show_progress, bars=self.settings.progress, file=self.progress_file)

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
            for name, (category, split, side) in self.splits.items()
        }
        return CellImages(
            stored["train"], stored.get("validation"), stored.get("test"), stored.get("pretraining")
        )

    def as_batches(self, stored: StoredImages, reread: bool = True) -> Images:
        """Return stored images with the teacher's features; `reread`: whether they are read more than once."""
        features = None
        if self.layers:
            features = open_features(stored, self.backbone, self.layers, self.runtime, self.settings, reread)
        room = self.settings.features.resident_gb(self.runtime.device.type)
        return as_batches(stored, features, self.backbone.normalisation, self.runtime, room)

    def build_method(self) -> Method:
        """Return the method with fresh weights, drawn from the global generators."""
        return build("method", self.method, backbone=self.backbone)

    @property
    def held_out(self) -> tuple[Sample, ...]:
        """The category's images that are held out from training: its own, or a part of the train images."""
        return self._held_out_of(self.category)

    def _held_out_of(self, category: Category) -> tuple[Sample, ...]:
        return category.hold_out(self.training.validation_fraction, self.training.validation_seed).validation

    def held_out_batches(
        self, images: CellImages, reread: bool = True, of_training: bool = False
    ) -> Images | None:
        """Return the held-out images, as `as_batches` does; None without any.

        They lie among the stored train images, or by themselves.

        Parameters
        ----------
        of_training
            Whether those of all categories that the model is trained on are returned, which choose its epoch.
        """
        held_out = self._held_out_of(self.trained_on) if of_training else self.held_out
        if not held_out:
            return None
        return self.as_batches(images.validation or images.train, reread).select(held_out)

    @property
    def splits(self) -> dict[str, tuple[Category, str, int]]:
        """Return the splits that there are, each with its images' side."""
        side, trained_on = self.training.image_size, self.trained_on
        sources = {"train": trained_on, "validation": trained_on, "test": self.category}
        splits = {name: (source, name, side) for name, source in sources.items() if getattr(source, name)}
        if self.pretraining is not None:
            splits["pretraining"] = (self.pretraining, "train", self.training.pretraining.image_size)
        return splits
