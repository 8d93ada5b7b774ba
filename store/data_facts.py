"""What was found in the data before the first training: a file per job among the artifacts of a sweep's parent run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from store.tags import DATA

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class DataFacts:
    """What was found in the data of a job.

    Attributes
    ----------
    dataset
        Name of the dataset, as in the tag `dataset`.
    categories
        One mapping per category, see `datasets.inspection`.
    """

    dataset: str
    categories: Sequence[Mapping[str, Any]]


def data_facts_file(number: int) -> str:
    """Return the path, among the artifacts of the parent run, of what was found in the data of a job."""
    return f"{DATA}/{number}.json"


def data_facts_to_json(facts: DataFacts) -> str:
    """Return the content of the file."""
    return json.dumps({"dataset": facts.dataset, "categories": list(facts.categories)}, indent=1)


def parse_data_facts(text: str) -> DataFacts | None:
    """Return what was found from the content of the file; None if it is damaged."""
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(stored, list):
        stored = {"categories": stored}
    if not isinstance(stored, dict) or not isinstance(stored.get("categories"), list):
        return None
    categories = [item for item in stored["categories"] if isinstance(item, dict) and "category" in item]
    return DataFacts(str(stored.get("dataset", "")), categories)


def data_facts_of(uri: str, parent: "Run") -> list[DataFacts]:
    """Return what was found in the data of each job of a sweep, in the order of the jobs; damaged files are left out.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    from store.table import texts_of  # a second, for which no mistake in the data should wait

    texts = texts_of(uri, parent.info.run_id, DATA)
    ordered = sorted(texts, key=lambda name: (len(name), name))
    return [facts for name in ordered if (facts := parse_data_facts(texts[name])) is not None]
