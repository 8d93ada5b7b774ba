"""One Hydra job: one method and seed on every category, each cell run once and recorded with its status."""

import contextlib
import logging
import os
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from benchmark.audit import record_audit
from benchmark.cell import Cell
from benchmark.command_line import command_of
from benchmark.configuration import choices_of, plain_values
from benchmark.environment import environment
from benchmark.error_messages import USER_ERRORS
from benchmark.errors import BenchmarkError, SweepEnded
from benchmark.identity import content_digests, keys_of
from benchmark.inference_cost import InferenceCosts
from benchmark.job_settings import JobSettings, read_settings
from benchmark.limits import explain_resource_errors, time_limit
from benchmark.pace import Pace
from benchmark.protocol import recorded_options
from benchmark.recorded_config import recorded_config
from benchmark.run_cell import CellResult, run_cell, train_cell
from benchmark.runtime import start
from benchmark.signals import keep_interruption
from benchmark.sweep import OPEN_SWEEP, Sweep, current_sweep, open_sweep, read_sweep
from benchmark.threads import cores_of_others, set_threads
from datasets.category import Category
from datasets.pooled import PooledCategory
from store import tags
from store.audits import audits_of
from store.errors import StoreError
from store.liveness import LOCKS
from store.passwords import without_password
from store.plan import MEMBER, Member, Plan, job_key
from store.progress import progress_file
from store.tracker import Run, StoreUnavailable

log = logging.getLogger(__name__)

FACTS = (tags.METHOD, tags.MODE, tags.DATASET, tags.SEED, tags.PROTOCOL, tags.TEACHER)
"""Tags that the description of a run repeats."""


@dataclass(frozen=True)
class Keys:
    """The keys of a cell, the digests of the contents of its images, and whether the store has its results."""

    training: str
    identity: str
    contents: Mapping[str, str]
    is_finished: bool


@dataclass(frozen=True)
class Job:
    """The common parts of a job's cells.

    Attributes
    ----------
    number
        The job's number in its sweep.
    params
        The options of the cells by their dotted names, and the protocol's values of those that were changed.
    pooled
        The categories together if one model is trained for all of them.
    tags, costs, trained
        Tags of every cell, the costs of inference, which the first one measures, and the keys of the detectors of the
        cells that have run.
    """

    sweep: Sweep
    number: int
    settings: JobSettings
    params: Mapping[str, Any]
    tags: Mapping[str, Any]
    pooled: PooledCategory | None = None
    costs: InferenceCosts = field(default_factory=InferenceCosts)
    trained: set[str] = field(default_factory=set)

    def tags_of(self, place: int, category: str, group: str = "") -> dict[str, Any]:
        """Return the tags of a cell at a place in the job's plan."""
        return {**self.tags, **self.member(place), tags.CATEGORY: category, tags.GROUP: group}

    def member(self, place: int) -> dict[str, str]:
        """Return the tag by which a cell belongs to the sweep."""
        return {MEMBER + self.sweep.name: str(Member(self.number, place, job_key(self.params)))}

    def prepare(self, cell: Cell, place: int) -> Keys | None:
        """Return the keys of a cell whose images are decoded; None if that fails, which is recorded.

        All cells of a job are prepared before the first one trains: a damaged file is reported at once.
        """
        try:
            with keep_interruption(), explain_resource_errors():
                training, identity = keys_of(cell)
                tracker, with_model = self.sweep.tracker, self.settings.tracking.model
                is_finished = not self.settings.jobs.force and tracker.is_finished(identity, with_model)
                if not is_finished:
                    cell.open_images()
                return Keys(training, identity, content_digests(cell), is_finished)
        except StoreUnavailable:
            raise
        except Exception as error:
            self.fail(cell.name, self.tags_of(place, cell.category.name, cell.category.group), error)
            return None

    def run(self, cell: Cell, place: int, keys: Keys, waiting: int) -> None:
        """Run one cell, unless it has finished before; record it whatever happens.

        Parameters
        ----------
        waiting
            How many cells of the job have yet to run.
        """
        own = self.tags_of(place, cell.category.name, cell.category.group)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(self.sweep.tracker.lock_cell(keys.identity, cell.name))
                finished = self._finished(keys)
            except StoreUnavailable:
                raise
            except StoreError as error:
                self.fail(cell.name, own, error)
                return
            count = self.sweep.pace.count(self.number)
            if finished is not None:
                finished.set_tags(self.member(place))
                taken = "%s: finished before, taken from the store (%s; jobs.force=true runs it again)"
                log.info(taken, cell.name, count)
                return
            log.info("%s: %s%s", cell.name, count, self.sweep.pace.time_left(self.number, waiting))
            own |= {
                tags.IDENTITY: keys.identity,
                tags.TRAINING_KEY: keys.training,
                tags.TEST_IMAGES: keys.contents["test"],
            }
            if described := self.settings.training_set.describe(
                len(cell.category.train), len(self.settings.dataset.categories)
            ):
                own[tags.TRAINED_ON] = described
            if "pretraining" in keys.contents:
                own[tags.PRETRAINING_DIGEST] = keys.contents["pretraining"]
            locks = self.sweep.tracker.results_dir / LOCKS
            file = held.enter_context(progress_file(locks, keys.identity))
            self._compute(replace(cell, progress_file=file), keys, own)

    def _finished(self, keys: Keys) -> Run | None:
        with_model = self.settings.tracking.model
        return None if self.settings.jobs.force else self.sweep.tracker.finished(keys.identity, with_model)

    def _compute(self, cell: Cell, keys: Keys, own: Mapping[str, Any]) -> None:
        """Train or load the detector, score, measure and record."""
        tracker, parent, jobs = self.sweep.tracker, self.sweep.parent, self.settings.jobs
        started = time.perf_counter()
        run = tracker.start_cell(parent, cell.name, own)
        set_threads(self.settings.runtime.threads)
        try:
            self._describe(run, cell.category.name)
            run.log_dataset(
                f"{own[tags.DATASET]} {cell.category.name}", keys.contents["test"], _folder_of(cell.category)
            )
            with keep_interruption(), time_limit(jobs.cell_seconds), explain_resource_errors():
                make = run_cell if cell.category.test else train_cell
                again = jobs.force and keys.training not in self.trained
                result = make(cell, keys.training, tracker.results_dir, self.costs, again)
            self.trained.add(keys.training)
            busy = cores_of_others(cell.name)
            with keep_interruption(), explain_resource_errors():
                # draws figures, for which the training need not wait
                from benchmark.recording import record, record_training

                pending = tracker.new_pending(run, parent, cell.name, keys.identity, own)
                pending.add_metrics({} if busy is None else {tags.CORES_OF_OTHERS: busy})
                if isinstance(result, CellResult):
                    record(cell, result, self.settings.tracking, self.settings.tables, pending)
                else:
                    record_training(cell, result, self.settings.tracking, pending)
            tracker.send(pending)
            self.sweep.pace.end(self.number, time.perf_counter() - started)
        except StoreUnavailable:
            raise  # nothing can be recorded: the job ends
        except Exception as error:
            self._fail(run, cell.name, error)
        except BaseException:
            run.kill()
            raise

    def fail(self, name: str, own: Mapping[str, Any], error: Exception) -> None:
        """Record a cell that cannot be run."""
        self.sweep.pace.count(self.number)
        run = self.sweep.tracker.start_cell(self.sweep.parent, name, own)
        try:
            self._describe(run, own[tags.CATEGORY])
        except StoreUnavailable:
            raise
        except StoreError as refused:
            log.warning("%s: its options are not recorded: %s", name, refused)
        self._fail(run, name, error)

    def _fail(self, run: Run, name: str, error: Exception) -> None:
        log.error("%s failed: %s", name, error, exc_info=None if isinstance(error, USER_ERRORS) else error)
        run.fail(error, without_password("".join(traceback.format_exception(error))))
        if self.settings.jobs.fail_fast:
            raise SweepEnded(f"{name} failed, and jobs.fail_fast=true ends the sweep with it")

    def _describe(self, run: Run, category: str) -> None:
        machine = environment()
        # images of other categories may be those of a pretraining, or of one model for all
        alone = self.tags.get(tags.PRETRAINING_IMAGES) != tags.OWN_IMAGES and self.pooled is None
        categories = [category] if alone else self.settings.dataset.categories
        run.log_text(recorded_config(self.settings.choices, self.settings.plain, categories), tags.CONFIG)
        run.log_params(self.params)
        run.set_tags(machine)
        facts = {name: str(self.tags[name]) for name in FACTS}
        command = command_of(HydraConfig.get(), categories)
        run.describe(command, {**facts, tags.CATEGORY: category}, machine[tags.GIT_COMMIT])


def run_job(config: DictConfig) -> None:
    """Run the cells of one Hydra job.

    Raises
    ------
    BenchmarkError, DatasetError, MethodError, MetricError, StoreError
        If the job cannot start, or its results cannot be stored. A cell that fails is recorded as FAILED, and
        the next one runs.
    """
    hydra = HydraConfig.get()
    hook = (hydra.callbacks or {}).get("sweep")
    if hook is None or hook.get("_target_") != OPEN_SWEEP:
        raise BenchmarkError(
            f"hydra.callbacks.sweep={hook}: expected {OPEN_SWEEP}, which checks and opens a sweep"
        )
    settings = read_settings(choices_of(hydra), plain_values(config))
    number = 0 if OmegaConf.is_missing(hydra.job, "num") else int(hydra.job.num)
    categories = tuple(settings.dataset.categories)
    own = Pace({number: len(categories)}, "this job")  # a worker of a launcher knows no others
    sweep = current_sweep() or open_sweep(read_sweep(settings), own)
    runtime = start(settings.runtime, settings.probe.channels_last, number)
    pretraining, source = settings.pretraining()
    pooled = settings.pooled()
    pretrained: dict[str, Any] = {}
    if pretraining:
        pretrained = {tags.PRETRAINING_IMAGES: source, tags.PRETRAINING_COUNT: len(pretraining.train)}
    if settings.wants_natural:
        folder = settings.training.pretraining.images
        pretrained[tags.NATURAL_IMAGES] = folder.name if folder else tags.NO_IMAGES
    job = Job(
        sweep,
        number,
        settings,
        recorded_options(settings.plain, settings.dataset.has_validation, categories if pooled else ()),
        {
            tags.SWEEP: sweep.name,
            tags.METHOD: settings.choices["method"],
            tags.MODE: settings.probe.mode,
            tags.DATASET: settings.dataset.name,
            tags.DATASET_CHOICE: settings.choices["dataset"],
            tags.PROTOCOL: settings.plain["protocol"]["name"],
            tags.DEVICE: runtime.device.type,
            tags.PRECISION: runtime.precision,
            tags.BACKBONE: settings.backbone.name,
            tags.WEIGHTS: settings.backbone.weights,
            tags.WEIGHTS_FILE: settings.backbone.file_digest() or "",
            tags.TEACHER: settings.teacher,
            tags.SEED: settings.seed,
            tags.THRESHOLD_POLICY: settings.evaluation.threshold,
            tags.FPR_LIMIT: settings.evaluation.fpr_limit,
            **pretrained,
        },
        pooled,
    )
    plan = Plan(settings.title, tuple(hydra.overrides.task), categories, job_key(job.params))
    sweep.tracker.announce_job(sweep.parent, number, plan)
    prepared = []
    for place, name in enumerate(categories):
        try:
            cell = settings.cell(settings.dataset.category(name), runtime, pretraining, pooled)
        except Exception as error:
            job.fail(settings.cell_name(name), job.tags_of(place, name), error)
            continue
        if keys := job.prepare(cell, place):
            prepared.append((cell, place, keys))
    waiting, every = sum(not keys.is_finished for _, _, keys in prepared), settings.jobs.audit
    audits = audits_of(sweep.settings.tracking.uri, [sweep.name]) if every else {}
    for cell, place, keys in prepared:
        job.run(cell, place, keys, waiting)
        if every:
            record_audit(cell, keys.identity, every, sweep, audits)
        waiting -= not keys.is_finished


def _folder_of(category: Category) -> str:
    """Return the folder of a category's images, as far as all of them share one."""
    return os.path.commonpath(
        [sample.image.absolute().parent for sample in (*category.train, *category.test)]
    )
