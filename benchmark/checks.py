"""What is checked once per command, before anything runs: the networks of all jobs, and their images."""

import logging
from collections.abc import Sequence

from benchmark.job_settings import JobSettings, read_settings
from benchmark.job_values import JobValues
from benchmark.run_cell import check_threshold
from benchmark.training.loop import refuse_missing_validation
from store.text import listed

log = logging.getLogger(__name__)

MOST_NAMES = 3
"""So many categories are named."""


def check_networks(jobs: Sequence[JobValues]) -> None:
    """Build the method of each job once, and check that its teacher and its images can be had.

    Jobs that differ only in their seeds, or in what a sweep records, are checked as one.

    Raises
    ------
    BenchmarkError, DatasetError, MethodError
        If any of the jobs cannot run.
    """
    checked = set()
    for job in jobs:
        kinds = ("method", "dataset", "backbone", "evaluation")
        key = repr((job.choices, *(job.plain[kind] for kind in kinds)))
        if key not in checked:
            settings = read_settings(job.choices, job.plain)
            _check_images(settings)
            settings.teacher  # noqa: B018 (reads the weights)
            checked.add(key)


def _check_images(settings: JobSettings) -> None:
    """Check how the images of each category are divided, and the images for pretraining."""
    fraction, seed = settings.training.validation_fraction, settings.training.validation_seed
    own = []
    for name in settings.dataset.categories:
        whole = settings.dataset.category(name)
        own += [name] if whole.validation else []
        category = whole.hold_out(fraction, seed)
        check_threshold(settings.evaluation, name, category.validation)
        if not category.validation:
            refuse_missing_validation(settings.probe, f"{settings.title} {name}")
    if own and fraction:
        log.info(
            "%s: validation images of %s are the dataset's own; method.training.validation_fraction=%g holds out none",
            *(settings.title, listed(own, MOST_NAMES), fraction),
        )
    settings.pooled()
    settings.pretraining()
