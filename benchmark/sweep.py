"""The sweep around the cells: one parent run, every cell of a job in turn, nothing finished ever lost."""

import inspect
import json
import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmark.errors import USER_ERRORS, BenchmarkError
from benchmark.mistakes import NO_METHOD
from benchmark.settings import Evaluation, Tracking, Trainer, Training, build, convert, target_of, typed
from benchmark.tracking import Run, Tracker
from datasets.category import Category
from datasets.pretext import natural_images, train_images

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sweep:
    """An open sweep: its name, store and parent run, and the measures that its tables show."""

    name: str
    tracker: Tracker
    parent: Run
    tables: tuple[str, ...]

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return self.tracker.settings.uri

    def discard(self) -> None:
        """Delete the parent run of a sweep without cells."""
        _opened.remove(self)
        self.tracker.client.delete_run(self.parent.run_id)

    def close(self, status: str, means: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Give the parent run its means, so that its charts show the sweep, its tags and its status."""
        _opened.remove(self)
        self.parent.log_metrics(means)
        self.parent.set_tags(tags)
        self.tracker.client.set_terminated(self.parent.run_id, status)


_opened: list[Sweep] = []


def opened() -> Sweep | None:
    """Return the sweep that this process has opened, if any."""
    return _opened[-1] if _opened else None


class OpenSweep(Callback):
    """Hydra's hook before the first job: creates store and parent run, so that no two workers race for it."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Open the sweep of a single job."""
        try:
            _opened.append(open_sweep(config))
        except (*USER_ERRORS, OmegaConfBaseException) as error:
            # Hydra turns what a callback raises into a warning; a benchmark without a store must stop
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Open the sweep of several jobs."""
        self.on_run_start(config, **kwargs)


def open_sweep(config: DictConfig) -> Sweep:
    """Open the store and the parent run that the configuration names."""
    tracking = typed(Tracking, _resolved(config, "tracking"), "tracking")
    tracker = Tracker(tracking, Path(config.results_dir))
    name = str(config.sweep)
    if not re.fullmatch(r"[\w.:+-]+", name):
        raise BenchmarkError(f"sweep={name}: accepted: letters, digits and . : + - _, as it names a folder")
    return Sweep(name, tracker, tracker.sweep(name), tuple(config.evaluation.tables))


def run_job(config: DictConfig) -> None:
    """Run the cells of one Hydra job: one method and seed on every category.

    Raises
    ------
    BenchmarkError, DatasetError, MethodError, MetricError
        If the job cannot start. A cell that fails is recorded as FAILED, and the next one runs.
    """
    from benchmark.cell import Cell, record, run_cell, teacher_layers
    from benchmark.runtime import environment
    from benchmark.training import schedules
    from methods.backbone import FeatureBackbone

    names = HydraConfig.get().runtime.choices
    if names["method"] == NO_METHOD:
        options = GlobalHydra.instance().config_loader().get_group_options("method")
        known = ", ".join(name for name in options if name != NO_METHOD)
        raise BenchmarkError(
            f"method is not given; accepted: method=<name>, or several with -m; known: {known}"
        )
    resolved = _plain(config)
    trainer = typed(Trainer, resolved["trainer"], "trainer")
    evaluation = typed(Evaluation, resolved["evaluation"], "evaluation")
    tracking = typed(Tracking, resolved["tracking"], "tracking")
    method = _without_mode(dict(resolved["method"]), names["method"])
    training = typed(Training, method.pop("training", {}), "method.training")
    seed = convert(resolved["seed"], int, "seed")
    backbone = typed(FeatureBackbone, resolved["backbone"], "backbone")
    dataset = build("dataset", resolved["dataset"])
    sweep = opened() or open_sweep(config)
    tags = {
        "sweep": sweep.name,
        "method": names["method"],
        "dataset": names["dataset"],
        "protocol": resolved["protocol"]["name"],
        "backbone": backbone.name,
        "weights": backbone.weights,
        "seed": seed,
        "threshold_policy": evaluation.threshold,
        "fpr_limit": evaluation.fpr_limit,
        "overrides": json.dumps(list(HydraConfig.get().overrides.task)),
    }
    # what cannot work stops the job, not each of its cells
    probe = build("method", method, backbone=backbone)
    _check_depth(probe.mode, dataset, names["dataset"])
    tags["mode"] = probe.mode
    if layers := teacher_layers(probe):
        backbone.teacher(layers)
    pretext = None
    if any(stage.crops for stage, _ in schedules(probe, training)):
        pretext, tags["pretext"] = _pretext(training, dataset)
    machine = environment()
    title = names["method"] if probe.mode == "rgb" else f"{names['method']} {probe.mode}"
    for category in dataset.categories:
        name = " ".join([title, category, *([f"seed {seed}"] if seed else [])])
        with sweep.tracker.cell(sweep.parent, name, {**tags, "category": category}) as run:
            run.log_text(OmegaConf.to_yaml(OmegaConf.create(resolved)), "config.yaml")
            run.log_params(_flat({k: v for k, v in resolved.items() if k not in ("sweep", "results_dir")}))
            run.set_tags(machine)
            cell = Cell(
                name,
                method,
                dataset.category(category),
                seed,
                backbone,
                trainer,
                training,
                evaluation,
                tracking,
                pretext,
            )
            record(cell, run_cell(cell), run)


def _without_mode(method: dict[str, Any], name: str) -> dict[str, Any]:
    """Take the option `mode` from a method that has but one; refuse any other mode."""
    factory = target_of("method", method)
    if "mode" not in method or "mode" in inspect.signature(factory).parameters:
        return method
    modes = tuple(getattr(factory, "modes", ("rgb",)))
    if method["mode"] not in modes:
        raise BenchmarkError(
            f"method.mode={method['mode']}: {name} has no such mode; accepted: {', '.join(modes)}"
        )
    return {key: value for key, value in method.items() if key != "mode"}


def _check_depth(mode: str, dataset: Any, name: str) -> None:
    """Refuse a mode that looks at depth where there is none."""
    if mode in ("depth", "rgbd") and not getattr(dataset, "has_depth", False):
        raise BenchmarkError(
            f"method.mode={mode}: the images of dataset={name} come without depth; accepted: method.mode=rgb, or "
            "dataset=mvtec_3d, folder_3d or synthetic_3d"
        )


def _pretext(training: Training, dataset: Any) -> tuple[Category, str]:
    """Return the images of stages that belong to no category, and what to call them."""
    settings = training.pretext
    if settings.images:
        category = natural_images(settings.images, settings.limit)
        return category, f"{len(category.train)} images of {settings.images.name}"
    category = train_images(map(dataset.category, dataset.categories), settings.limit)
    return category, f"{len(category.train)} train images of {', '.join(dataset.categories)}"


def _plain(config: DictConfig) -> dict[str, Any]:
    """Return the resolved configuration as plain dictionaries, without Hydra's own part."""
    return {str(key): _resolved(config, str(key)) for key in config if key != "hydra"}


def _resolved(config: DictConfig, key: str) -> Any:
    value = config[key]
    return (
        OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
        if OmegaConf.is_config(value)
        else value
    )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
