"""One Hydra job: one method and seed on every category, each cell run once and recorded whatever becomes of it."""

import inspect
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from benchmark.cell import Cell, Stores, run_cell, teacher_layers
from benchmark.checkpoint import Checkpoint
from benchmark.errors import BenchmarkError
from benchmark.identity import identity
from benchmark.limits import room_told, time_limit
from benchmark.mistakes import NO_METHOD
from benchmark.runtime import environment, start
from benchmark.schedules import schedules
from benchmark.settings import Evaluation, Jobs, Tracking, Trainer, Training, build, convert, target_of, typed
from benchmark.sweep import Sweep, open_sweep, opened, resolved
from benchmark.tracking import MEMBER, Run
from datasets.category import Category
from datasets.pretext import natural_images, train_images
from methods.backbone import FeatureBackbone

log = logging.getLogger(__name__)

NOT_LOGGED = ("sweep", "results_dir", "jobs")  # these say how the work is done, and no number depends on them


@dataclass(frozen=True)
class Job:
    """What the cells of a job share.

    Attributes
    ----------
    config
        Resolved and plain, for the record.
    tags
        Of every cell.
    member
        The tag by which the job's cells belong to the sweep.
    """

    sweep: Sweep
    settings: Jobs
    config: Mapping[str, Any]
    tags: Mapping[str, Any]
    member: Mapping[str, str]

    def run(self, name: str, category: str, make: Callable[[], Cell]) -> None:
        """Run one cell, unless it has finished before.

        Parameters
        ----------
        name
            Of its run.
        make
            Returns the cell, or raises why there cannot be one.
        """
        tracker = self.sweep.tracker
        tags = {**self.tags, **self.member, "category": category}
        try:
            with room_told():
                cell = make()
                stored = cell.open_stores()
                key = identity(cell, stored)
        except Exception as error:
            with tracker.cell(self.sweep.parent, name, tags):
                raise error
            self._after_failure(name)
            return
        with tracker.claim(key, name):
            before = None if self.settings.force else tracker.finished(key)
            if before is None:
                self._compute(cell, stored, {**tags, "identity": key})
                return
            with tracker.reachable():
                before.set_tags(self.member)
            log.info("%s: finished before, taken from the store (jobs.force=true runs it again)", name)

    def _compute(self, cell: Cell, stored: Stores, tags: Mapping[str, Any]) -> None:
        """Train, score and measure; whoever was interrupted at it before has left a checkpoint."""
        tracker, parent, key = self.sweep.tracker, self.sweep.parent, tags["identity"]
        seconds = cell.trainer.checkpoint_seconds
        path = tracker.results_dir / "checkpoints" / f"{key}.checkpoint"
        checkpoint = None if seconds is None else Checkpoint(path, seconds)
        finished = False
        with tracker.cell(parent, cell.name, tags) as run:
            self._describe(run)
            with time_limit(self.settings.cell_seconds), room_told():
                outcome = run_cell(cell, stored, checkpoint)
            from benchmark.outcome import record  # draws figures: nothing that the training should wait for

            with room_told():
                draft = tracker.draft(run, parent, cell.name, key, tags)
                record(cell, outcome, draft)
            tracker.send(draft)
            finished = True
        if not finished:
            self._after_failure(cell.name)
        elif checkpoint is not None:
            checkpoint.discard()

    def _describe(self, run: Run) -> None:
        logged = {key: value for key, value in self.config.items() if key not in NOT_LOGGED}
        with self.sweep.tracker.reachable():
            run.log_text(OmegaConf.to_yaml(OmegaConf.create(dict(self.config))), "config.yaml")
            run.log_params(_flat(logged))
            run.set_tags(environment())

    def _after_failure(self, name: str) -> None:
        if self.settings.fail_fast:
            raise BenchmarkError(f"{name} failed, and jobs.fail_fast=true ends the sweep with it")


def run_job(config: DictConfig) -> None:
    """Run the cells of one Hydra job.

    Raises
    ------
    BenchmarkError, DatasetError, MethodError, MetricError
        If the job cannot start, or its results cannot be stored. A cell that fails is recorded as FAILED, and
        the next one runs.
    """
    names = HydraConfig.get().runtime.choices
    if names["method"] == NO_METHOD:
        options = GlobalHydra.instance().config_loader().get_group_options("method")
        known = ", ".join(name for name in options if name != NO_METHOD)
        raise BenchmarkError(
            f"method is not given; accepted: method=<name>, or several with -m; known: {known}"
        )
    plain = {str(key): resolved(config, str(key)) for key in config if key != "hydra"}
    settings = typed(Jobs, plain["jobs"], "jobs")
    trainer = typed(Trainer, plain["trainer"], "trainer")
    evaluation = typed(Evaluation, plain["evaluation"], "evaluation")
    tracking = typed(Tracking, plain["tracking"], "tracking")
    method = _without_mode(dict(plain["method"]), names["method"])
    training = typed(Training, method.pop("training", {}), "method.training")
    seed = convert(plain["seed"], int, "seed")
    backbone = typed(FeatureBackbone, plain["backbone"], "backbone")
    dataset = build("dataset", plain["dataset"])
    sweep = opened() or open_sweep(config)
    # what cannot work stops the job, not each of its cells
    probe = build("method", method, backbone=backbone)
    _check_depth(probe.mode, dataset, names["dataset"])
    layers = teacher_layers(probe)
    teacher = backbone.identity(layers) if layers else "none"
    number, overrides = _number(), list(HydraConfig.get().overrides.task)
    runtime = start(trainer, probe.channels_last, number)
    pretext, images = None, ""
    if any(stage.crops for stage, _ in schedules(probe, training)):
        pretext, images = _pretext(training, dataset)
    tags = {
        "sweep": sweep.name,
        "method": names["method"],
        "mode": probe.mode,
        "dataset": names["dataset"],
        "protocol": plain["protocol"]["name"],
        "device": runtime.device.type,
        "precision": runtime.precision,
        "backbone": backbone.name,
        "weights": backbone.weights,
        "seed": seed,
        "threshold_policy": evaluation.threshold,
        "fpr_limit": evaluation.fpr_limit,
        **({"pretext": images} if pretext else {}),
    }
    title = names["method"] if probe.mode == "rgb" else f"{names['method']} {probe.mode}"
    plan = {"title": title, "overrides": overrides, "categories": list(dataset.categories)}
    sweep.tracker.announce(sweep.parent, number, plan)
    for place, category in enumerate(dataset.categories):
        member = {MEMBER + sweep.name: json.dumps({"place": [number, place], "overrides": overrides})}
        name = " ".join([title, category, *([f"seed {seed}"] if seed else [])])

        def make(name: str = name, category: str = category) -> Cell:
            return Cell(
                name,
                method,
                dataset.category(category),
                seed,
                backbone,
                teacher,
                runtime,
                trainer,
                training,
                evaluation,
                tracking,
                pretext,
            )

        Job(sweep, settings, plain, tags, member).run(name, category, make)


def _number() -> int:
    """Return the job's number in its sweep; 0 for a job alone."""
    job = HydraConfig.get().job
    return 0 if OmegaConf.is_missing(job, "num") else int(job.num)


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


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
