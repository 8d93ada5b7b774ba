"""The two keys of a cell: of its training, and of the whole cell, so that nothing is computed twice."""

from collections.abc import Mapping
from dataclasses import asdict

from benchmark.cell import Cell
from benchmark.data.crops import open_crops
from benchmark.data.features import features_key
from benchmark.data.file_digests import FileDigests
from benchmark.data.images import content_digest, images_key
from benchmark.measuring import measure
from benchmark.resampling import resample
from benchmark.runtime import start
from benchmark.scoring import score
from benchmark.settings.training import HOLD_OUT
from benchmark.settings.values import target_of
from benchmark.shifts import measure_shifts
from benchmark.training.fit import fit
from benchmark.training.optimizers import optimizer_class_of
from datasets.pooled import PooledCategory
from methods.backbone import FeatureBackbone
from store.keys import Maker, make_key


def training_makers(cell: Cell) -> tuple[Maker, ...]:
    """Return the functions and classes that make a detector."""
    training = cell.training
    settings = [training.optimizer, *(training.stage(name).optimizer for name in training.stages)]
    shared: tuple[Maker, ...] = (open_crops,) if cell.pretraining else ()
    shared += (PooledCategory,) if cell.pooled else ()
    return (
        fit,
        start,
        target_of("method", cell.method),
        FeatureBackbone,
        *(optimizer_class_of(each) for each in settings),
        *shared,
    )


def training_key(cell: Cell, images: Mapping[str, str]) -> str:
    """Return the key of a cell's detector: see `store.keys.make_key`.

    It depends on everything that can change the trained weights, and on nothing else: not on how the work is
    divided (threads, caches, number of processes), although sums may then differ in their last bits.

    Parameters
    ----------
    images
        {split: key of its decoded images}, with `pretraining` for stages that are independent of the category.
    """
    training = asdict(cell.training)
    training["pretraining"].pop("images")  # the content of the folder counts, not its name
    if cell.trained_on.validation:  # nothing is held out
        for name in HOLD_OUT:
            del training[name]
    used = {split: key for split, key in images.items() if split != "test"}
    return make_key(
        *training_makers(cell),
        method=cell.method,
        training=training,
        seed=cell.seed,
        category=cell.trained_on.name,
        images=used,
        features={split: _features_key(cell, key) for split, key in used.items()},
        backbone=cell.backbone.name,
        normalisation=cell.backbone.normalisation,
        crop_teacher=cell.backbone.identity(cell.crop_layers) if cell.crop_layers else None,
        device=cell.runtime.device.type,
        precision=cell.runtime.precision,
        channels_last=cell.runtime.channels_last,
        deterministic=cell.settings.deterministic,
        **_pool(cell),
    )


def cell_identity(cell: Cell, trained: str, images: Mapping[str, str]) -> str:
    """Return the identity of a cell whose detector has the key `trained`.

    It adds the test images, if there are any, the evaluation, and the code that scores and measures.
    """
    test = images.get("test")
    return make_key(
        score,
        measure,
        resample,
        *((measure_shifts,) if cell.evaluation.shifts else ()),
        target_of("method", cell.method),
        training=trained,
        images=test,
        features=_features_key(cell, test) if test else None,
        normalisation=cell.backbone.normalisation,
        evaluation=cell.evaluation,
        **({"category": cell.category.name} if cell.pooled else {}),  # whose held-out images give thresholds
    )


def keys_of(cell: Cell) -> tuple[str, str]:
    """Return the training key and the identity of a cell.

    Raises
    ------
    DatasetError
        If an image file cannot be read.
    """
    digests = FileDigests(cell.settings.cache_dir)
    images = {
        name: images_key(category, split, side, cell.training.depth_size, digests)
        for name, (category, split, side) in cell.splits.items()
    }
    trained = training_key(cell, images)
    return trained, cell_identity(cell, trained, images)


def content_digests(cell: Cell) -> dict[str, str]:
    """Return digests of the contents of a cell's test images, and of the images that crops are cut from.

    They do not depend on what the images are decoded to, so they show whether two cells have the same dataset. Without
    test images, the train images stand for them.
    """
    digests, splits = FileDigests(cell.settings.cache_dir), cell.splits
    shown = {"test": "test" if "test" in splits else "train", "pretraining": "pretraining"}
    return {
        name: content_digest(*splits[split][:2], digests) for name, split in shown.items() if split in splits
    }


def _pool(cell: Cell) -> dict[str, dict[str, int]]:
    """Return the categories of a model for several, with the numbers of their train images; each holds out its part."""
    if cell.pooled is None:
        return {}
    return {"pool": {part.name: len(part.train) for part in cell.pooled.parts}}


def _features_key(cell: Cell, images: str) -> str | None:
    return features_key(images, cell.backbone, cell.layers, cell.runtime) if cell.layers else None
