"""The inspection of the data of all jobs, before the first one runs."""

import sys
from collections.abc import Sequence

from benchmark.job_values import JobValues
from benchmark.settings.values import build
from datasets.dataset import Dataset
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
        If a dataset cannot be used; the message names all faults.
    """
    seen: dict[str, DataFacts] = {}
    for job in jobs:
        options = repr(job.plain["dataset"])
        if options not in seen:
            dataset = build("dataset", job.plain["dataset"], Dataset)
            facts = inspect(dataset)
            _show(dataset.name, facts)
            seen[options] = DataFacts(dataset.name, to_json(facts))
    return [seen[repr(job.plain["dataset"])] for job in jobs]


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
