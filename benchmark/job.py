"""One Hydra job: one method and seed on every category, each cell run once and recorded with its status."""

import inspect
import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from benchmark.cell import Cell
from benchmark.environment import environment
from benchmark.error_messages import NO_METHOD, USER_ERRORS
from benchmark.errors import BenchmarkError
from benchmark.identity import content_digests, keys_of
from benchmark.limits import explain_resource_errors, time_limit
from benchmark.protocol import flat, protocol_options
from benchmark.run_cell import run_cell
from benchmark.runtime import start
from benchmark.settings.evaluation import Evaluation
from benchmark.settings.runtime import RuntimeSettings
from benchmark.settings.sweep import Jobs, Tracking
from benchmark.settings.training import Training
from benchmark.settings.values import build, convert, one_of, target_of, typed
from benchmark.sweep import Sweep, current_sweep, open_sweep, resolved
from benchmark.training.loop import stages_of
from datasets.category import Category
from datasets.dataset import Dataset
from datasets.pretraining import natural_images, train_images
from methods.backbone import FeatureBackbone
from methods.method import Method
from metrics import MEASURES
from store import tags
from store.errors import StoreError
from store.plan import MEMBER, Member, Plan, job_key
from store.tracker import Run, StoreUnavailable

log = logging.getLogger(__name__)

NOT_LOGGED = ("sweep", "results_dir", "jobs", "tables")  # no result depends on them


@dataclass(frozen=True)
class Job:
    """The common parts of a job's cells.

    Attributes
    ----------
    number
        The job's number in its sweep.
    config
        The resolved configuration.
    tags
        Tags of every cell.
    """

    sweep: Sweep
    number: int
    settings: Jobs
    tracking: Tracking
    tables: tuple[str, ...]
    config: Mapping[str, Any]
    params: Mapping[str, Any]
    tags: Mapping[str, Any]

    def member(self, place: int) -> dict[str, str]:
        """Return the tag by which a cell belongs to the sweep."""
        return {MEMBER + self.sweep.name: str(Member(self.number, place, job_key(self.params)))}

    def run(self, cell: Cell, place: int) -> None:
        """Run one cell, unless it has finished before; record it whatever happens."""
        tracker = self.sweep.tracker
        own = {
            **self.tags,
            **self.member(place),
            tags.CATEGORY: cell.category.name,
            tags.GROUP: cell.category.group,
        }
        try:
            with explain_resource_errors():
                (trained, identity), contents = keys_of(cell), content_digests(cell)
        except Exception as error:
            self.fail(cell.name, own, error)
            return
        with tracker.lock_cell(identity, cell.name):
            try:
                finished = None if self.settings.force else tracker.finished(identity)
            except StoreUnavailable:
                raise
            except StoreError as error:
                self.fail(cell.name, own, error)
                return
            if finished is not None:
                finished.set_tags(self.member(place))
                log.info(
                    "%s: finished before, taken from the store (jobs.force=true runs it again)", cell.name
                )
                return
            own |= {tags.IDENTITY: identity, tags.TRAINING_KEY: trained, tags.TEST_IMAGES: contents["test"]}
            if "pretraining" in contents:
                own[tags.PRETRAINING_DIGEST] = contents["pretraining"]
            self._compute(cell, trained, identity, own)

    def _compute(self, cell: Cell, trained: str, identity: str, own: Mapping[str, Any]) -> None:
        """Train or load the detector, score, measure and record."""
        tracker, parent = self.sweep.tracker, self.sweep.parent
        run = tracker.start_cell(parent, cell.name, own)
        try:
            self._describe(run)
            with time_limit(self.settings.cell_seconds), explain_resource_errors():
                result = run_cell(cell, trained, tracker.results_dir, self.settings.force)
            # draws figures: an import that the training need not wait for
            from benchmark.recording import record

            with explain_resource_errors():
                pending = tracker.new_pending(run, parent, cell.name, identity, own)
                record(cell, result, self.tracking, self.tables, pending)
            tracker.send(pending)
        except StoreUnavailable:
            raise  # nothing can be recorded: the job ends
        except Exception as error:
            self._fail(run, cell.name, error)
        except BaseException:
            run.kill()
            raise

    def fail(self, name: str, own: Mapping[str, Any], error: Exception) -> None:
        """Record a cell that cannot be run."""
        run = self.sweep.tracker.start_cell(self.sweep.parent, name, own)
        try:
            self._describe(run)
        except StoreUnavailable:
            raise
        except StoreError as refused:
            log.warning("%s: its options are not recorded: %s", name, refused)
        self._fail(run, name, error)

    def _fail(self, run: Run, name: str, error: Exception) -> None:
        log.error("%s failed: %s", name, error, exc_info=None if isinstance(error, USER_ERRORS) else error)
        run.fail(error, "".join(traceback.format_exception(error)))
        if self.settings.fail_fast:
            raise BenchmarkError(f"{name} failed, and jobs.fail_fast=true ends the sweep with it")

    def _describe(self, run: Run) -> None:
        run.log_text(OmegaConf.to_yaml(OmegaConf.create(dict(self.config))), tags.CONFIG)
        run.log_params(self.params)
        run.set_tags(environment())


def run_job(config: DictConfig) -> None:
    """Run the cells of one Hydra job.

    Raises
    ------
    BenchmarkError, DatasetError, MethodError, MetricError, StoreError
        If the job cannot start, or its results cannot be stored. A cell that fails is recorded as FAILED, and
        the next one runs.
    """
    choices = HydraConfig.get().runtime.choices
    method_name = str(choices["method"])
    if method_name == NO_METHOD:
        options = GlobalHydra.instance().config_loader().get_group_options("method")
        known = ", ".join(name for name in options if name != NO_METHOD)
        raise BenchmarkError(f"method is missing; expected method=<name>, or several with -m; known: {known}")
    plain = {str(key): resolved(config, str(key)) for key in config if key != "hydra"}
    settings = typed(RuntimeSettings, plain["runtime"], "runtime")
    evaluation = typed(Evaluation, plain["evaluation"], "evaluation")
    one_of("tables", plain["tables"], MEASURES)
    method = _without_mode(dict(plain["method"]), method_name)
    training = typed(Training, method.pop("training", {}), "method.training")
    seed = convert(plain["seed"], int, "seed")
    backbone = typed(FeatureBackbone, plain["backbone"], "backbone")
    dataset = build("dataset", plain["dataset"])
    sweep = current_sweep() or open_sweep(config)
    # a method that cannot be built stops the job, not each of its cells
    probe = build("method", method, backbone=backbone)
    _check_depth(probe.mode, dataset, str(choices["dataset"]))
    crop_layers = _crop_layers(probe)
    layers = tuple(dict.fromkeys([*probe.teacher_layers, *crop_layers]))
    number = _number()
    runtime = start(settings, probe.channels_last, number)
    pretraining, source = None, ""
    if any(probe.crops(stage) for stage, _ in stages_of(probe, training)):
        pretraining, source = _pretraining(training, dataset)
    params = flat({key: value for key, value in plain.items() if key not in NOT_LOGGED})
    base = protocol_options()
    changed = {name: base.get(name) for name in params if params[name] != base.get(name)}
    job = Job(
        sweep,
        number,
        typed(Jobs, plain["jobs"], "jobs"),
        typed(Tracking, plain["tracking"], "tracking"),
        tuple(plain["tables"]),
        plain,
        {**params, **{tags.PROTOCOL_VALUE + name: value for name, value in changed.items()}},
        {
            tags.SWEEP: sweep.name,
            tags.METHOD: method_name,
            tags.MODE: probe.mode,
            tags.DATASET: choices["dataset"],
            tags.PROTOCOL: plain["protocol"]["name"],
            tags.DEVICE: runtime.device.type,
            tags.PRECISION: runtime.precision,
            tags.BACKBONE: backbone.name,
            tags.WEIGHTS: backbone.weights,
            tags.TEACHER: backbone.identity(layers) if layers else "none",
            tags.SEED: seed,
            tags.THRESHOLD_POLICY: evaluation.threshold,
            tags.FPR_LIMIT: evaluation.fpr_limit,
            **_pretraining_tags(pretraining, source),
        },
    )
    title = method_name if probe.mode == "rgb" else f"{method_name} {probe.mode}"
    overrides = tuple(HydraConfig.get().overrides.task)
    plan = Plan(title, overrides, tuple(dataset.categories), job_key(job.params))
    sweep.tracker.announce_job(sweep.parent, number, plan)
    for place, category in enumerate(dataset.categories):
        name = " ".join([title, category, *([f"seed {seed}"] if seed else [])])
        try:
            cell = Cell(
                name=name,
                method_name=method_name,
                method=method,
                layers=probe.teacher_layers,
                crop_layers=crop_layers,
                category=dataset.category(category),
                seed=seed,
                backbone=backbone,
                runtime=runtime,
                settings=settings,
                training=training,
                evaluation=evaluation,
                pretraining=pretraining,
            )
        except Exception as error:
            job.fail(name, {**job.tags, **job.member(place), tags.CATEGORY: category}, error)
            continue
        job.run(cell, place)


def _number() -> int:
    """Return the job's number in its sweep; 0 for a job alone."""
    job = HydraConfig.get().job
    return 0 if OmegaConf.is_missing(job, "num") else int(job.num)


def _crop_layers(method: Method) -> tuple[str, ...]:
    """Return the layers of the frozen network that the stages on crops read."""
    crops = [crops for stage in method.stages() if (crops := method.crops(stage))]
    return tuple(dict.fromkeys(layer for each in crops for layer in each.layers))


def _without_mode(method: dict[str, Any], name: str) -> dict[str, Any]:
    """Take the option `mode` from a method that has only one; refuse any other mode."""
    factory = target_of("method", method)
    if "mode" not in method or "mode" in inspect.signature(factory).parameters:
        return method
    one_of(f"method.mode of method={name}", [method["mode"]], tuple(getattr(factory, "modes", ("rgb",))))
    return {key: value for key, value in method.items() if key != "mode"}


def _check_depth(mode: str, dataset: Dataset, name: str) -> None:
    """Refuse a mode with depth if the dataset has none."""
    if mode in ("depth", "rgbd") and not dataset.has_depth:
        raise BenchmarkError(
            f"method.mode={mode}: the images of dataset={name} have no depth; expected method.mode=rgb, or "
            "dataset=mvtec_3d, folder_3d or synthetic_3d"
        )


def _pretraining(training: Training, dataset: Dataset) -> tuple[Category, str]:
    """Return the images of stages that are independent of the category, and where they come from."""
    settings = training.pretraining
    if settings.images:
        return natural_images(settings.images, settings.limit), settings.images.name
    return train_images(map(dataset.category, dataset.categories), settings.limit), tags.OWN_IMAGES


def _pretraining_tags(pretraining: Category | None, source: str) -> dict[str, Any]:
    if pretraining is None:
        return {}
    return {tags.PRETRAINING_IMAGES: source, tags.PRETRAINING_COUNT: len(pretraining.train)}
