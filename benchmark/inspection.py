"""The inspection of the data of all jobs, before the first one runs."""

import sys
from collections.abc import Sequence

from benchmark.job_values import JobValues
from benchmark.settings.dataset import OPTIONS, build_dataset, with_drawn_images
from datasets.dataset import Dataset
from datasets.errors import DatasetError
from datasets.facts import CategoryFacts, describe, to_json
from datasets.inspection import inspect
from store.data_facts import DataFacts
from store.text import counted

MOST_LINES = 40
"""Categories that are shown one by one."""


def inspect_data(jobs: Sequence[JobValues]) -> list[DataFacts]:
    """Inspect the dataset of each job, show what was found, and return it, job by job.

    Raises
    ------
    BenchmarkError, DatasetError
        If a dataset cannot be used, or has too few images to draw those that are trained on; the message names all
        faults.
    """
    seen: dict[str, tuple[Dataset, DataFacts]] = {}
    drawn = set()
    for job in jobs:
        options = _own_options(job)
        if options not in seen:
            dataset = build_dataset(job.plain["dataset"])
            facts = inspect(dataset)
            _show(dataset.name, facts)
            seen[options] = dataset, DataFacts(dataset.name, to_json(facts))
        if job.training_set.draws and (options, job.training_set) not in drawn:
            drawn.add((options, job.training_set))
            _try_to_draw(seen[options][0], job)
    return [seen[_own_options(job)][1] for job in jobs]


def _own_options(job: JobValues) -> str:
    """Return the options that describe the whole dataset."""
    return repr({name: value for name, value in job.plain["dataset"].items() if name not in OPTIONS})


def _try_to_draw(dataset: Dataset, job: JobValues) -> None:
    """Draw the images that are trained on, and show how many there are; the counts are those of any seed."""
    drawn = with_drawn_images(dataset, job.training_set, job.seed)
    faults: list[str] = []
    print("trained on other images than all of its own, drawn with the seed of each run:")
    for i, name in enumerate(dataset.categories):
        try:
            category = drawn.category(name)
        except DatasetError as error:
            faults += error.faults
            continue
        if i < MOST_LINES:
            described = job.training_set.describe(len(category.train), len(dataset.categories))
            print(f"  {name}: {described}; {counted(len(category.test), 'test image')}")
    if faults:
        raise DatasetError(*faults)


def _show(name: str, facts: Sequence[CategoryFacts]) -> None:
    """Print a line per category, and the warnings."""
    print(f"dataset {name}: {counted(len(facts), 'category', 'categories')}")
    for each in facts[:MOST_LINES]:
        print(f"  {describe(each)}")
    if len(facts) > MOST_LINES:
        print(f"  and {len(facts) - MOST_LINES} more")
    for each in facts:
        for warning in each.warnings:
            print(f"warning: {each.category}: {warning}", file=sys.stderr)
