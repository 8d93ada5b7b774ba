"""The settings of a job as a whole: its values, and the dataset and the networks that they describe."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.cell import Cell
from benchmark.errors import BenchmarkError
from benchmark.job_values import JobValues, read_values
from benchmark.runtime import Runtime
from benchmark.settings.dataset import build_dataset, with_drawn_images
from benchmark.settings.groups import hints_from
from benchmark.settings.values import build, one_of, target_of, typed
from benchmark.training.loop import stages_of
from benchmark.training.optimizers import check_optimizers
from benchmark.training.schedules import check_schedules
from datasets.category import Category
from datasets.dataset import Dataset
from datasets.pooled import PooledCategory, pool
from datasets.pretraining import natural_images, train_images
from methods.backbone import FeatureBackbone
from methods.method import Method
from store import tags


@dataclass(frozen=True)
class JobSettings(JobValues):
    """The settings of one job.

    Attributes
    ----------
    dataset
        With the train and test images that the run's seed draws, if it draws any.
    method
        The options of the method with `_target_`, without its training.
    probe
        The method with fresh weights, which shows what it needs; it is not trained.
    """

    dataset: Dataset
    method: Mapping[str, Any]
    backbone: FeatureBackbone
    probe: Method

    @property
    def title(self) -> str:
        """The method, with its mode if that is not `rgb`."""
        name, mode = self.choices["method"], self.probe.mode
        return name if mode == "rgb" else f"{name} {mode}"

    @property
    def teacher(self) -> str:
        """The identity of the frozen network's weights at the layers used; `none` if no layer is.

        Raises
        ------
        MethodError
            If the weights cannot be read.
        """
        layers = tuple(dict.fromkeys([*self.probe.teacher_layers, *self.crop_layers]))
        return self.backbone.identity(layers) if layers else "none"

    @property
    def crop_layers(self) -> tuple[str, ...]:
        """The layers of the frozen network that the stages on crops read."""
        crops = [crops for stage in self.probe.stages() if (crops := self.probe.crops(stage))]
        return tuple(dict.fromkeys(layer for each in crops for layer in each.layers))

    def cell_name(self, category: str) -> str:
        """Return the name of a cell, or of a training, for messages."""
        return " ".join([self.title, category, *([f"seed {self.seed}"] if self.seed else [])])

    def cell(
        self,
        category: Category,
        runtime: Runtime,
        pretraining: Category | None,
        pooled: PooledCategory | None,
    ) -> Cell:
        """Return the cell of a category; see `Cell` for the parameters."""
        return Cell(
            name=self.cell_name(category.name),
            method_name=self.choices["method"],
            method=self.method,
            layers=self.probe.teacher_layers,
            crop_layers=self.crop_layers,
            category=category,
            seed=self.seed,
            backbone=self.backbone,
            runtime=runtime,
            settings=self.runtime,
            training=self.training,
            evaluation=self.evaluation,
            pretraining=pretraining,
            pooled=pooled,
            trained_as=self.cell_name(pooled.name) if pooled else "",
        )

    def pooled(self) -> PooledCategory | None:
        """Return the categories together if one model is trained for all of them.

        Raises
        ------
        DatasetError
            See `datasets.pooled.pool`.
        """
        if self.training_set.pool == "category":
            return None
        return pool([self.dataset.category(name) for name in self.dataset.categories])

    @property
    def wants_natural(self) -> bool:
        """Whether a stage sees natural images besides the category's."""
        return any(map(self.probe.natural, self.probe.stages()))

    def pretraining(self) -> tuple[Category | None, str]:
        """Return the images of stages that are independent of the category, and where they come from.

        None: the method has no such stages.

        Raises
        ------
        DatasetError
            If the folder of natural images is missing or empty.
        """
        settings = self.training.pretraining
        wants_crops = any(map(self.probe.crops, self.probe.stages()))
        if not wants_crops and not (settings.images and self.wants_natural):
            return None, ""
        if settings.images:
            return natural_images(settings.images, settings.limit), settings.images.name
        categories = map(self.dataset.category, self.dataset.categories)
        return train_images(categories, settings.limit), tags.OWN_IMAGES


def read_settings(choices: Mapping[str, str], plain: Mapping[str, Any]) -> JobSettings:
    """Read and check the settings of a job.

    The latest are remembered: a command of one job reads its settings twice, to check and to run them.

    Raises
    ------
    BenchmarkError, DatasetError, MethodError
        See `read_values`; if the dataset cannot be read, a network cannot be built, or options do not fit together.
    """
    asked = repr((choices, plain))
    if _LATEST.get("asked") != asked:
        _LATEST.clear()
        with hints_from(plain):
            _LATEST.update(asked=asked, settings=_build(read_values(choices, plain)))
    return _LATEST["settings"]


_LATEST: dict[str, Any] = {}


def _build(values: JobValues) -> JobSettings:
    check_optimizers(values.training)
    check_schedules(values.training)
    method = _without_mode(dict(values.plain["method"]), values.choices["method"])
    method.pop("training", None)
    whole = build_dataset(values.plain["dataset"])
    dataset = with_drawn_images(whole, values.training_set, values.seed)
    backbone = typed(FeatureBackbone, values.plain["backbone"], "backbone")
    probe = build("method", method, Method, backbone=backbone)
    stages_of(probe, values.training)
    if probe.mode in ("depth", "rgbd") and not dataset.has_depth:
        raise BenchmarkError(
            f"method.mode={probe.mode}: the images of dataset={values.choices['dataset']} have no depth; expected "
            "method.mode=rgb, or dataset=mvtec_3d, folder_3d or synthetic_3d"
        )
    return JobSettings(**vars(values), dataset=dataset, method=method, backbone=backbone, probe=probe)


def _without_mode(method: dict[str, Any], name: str) -> dict[str, Any]:
    """Take the option `mode` from a method that has only one; refuse any other mode."""
    factory = target_of("method", method)
    if "mode" not in method or "mode" in inspect.signature(factory).parameters:
        return method
    one_of(f"method.mode of method={name}", [method["mode"]], tuple(getattr(factory, "modes", ("rgb",))))
    return {key: value for key, value in method.items() if key != "mode"}
