"""What the page shows of a selection besides its tables: facts, failed cells, configurations, environments."""

from pathlib import Path

import pandas as pd

from reports.tables.cost import MACHINE
from reports.teachers import teachers
from store import tags
from store.artifacts import Artifacts
from store.dataset_names import WITH_A_NAME
from store.display_names import dataset_name, method_name
from store.local import database_of
from store.passwords import without_password
from store.table import ended, labels, rows
from store.text import counted, joined, listed

TITLED = 4
"""So many methods and datasets are named in a title."""
NAMED = 20
"""So many values of a fact are named."""
SETUP = (*MACHINE, tags.GIT_COMMIT, tags.GIT_DIRTY)
"""Columns in which the environments of cells may differ."""
ENVIRONMENT = (*MACHINE, tags.CPU_COUNT, tags.PYTHON, *tags.LIBRARIES, tags.GIT_COMMIT, tags.GIT_DIRTY)
"""Tags that describe an environment."""


def heading(cells: pd.DataFrame) -> str:
    """Return methods and datasets of a selection in words.

    The title of its page: `RD and STFPM on MVTec AD`; of more than `TITLED` methods the number.
    """
    methods, datasets = (
        [name(str(value)) for value in pd.unique(values)]
        for name, values in ((method_name, labels(cells)), (dataset_name, cells["dataset"]))
    )
    named = joined(methods) if len(methods) <= TITLED else counted(len(methods), "method")
    where = joined(datasets) if len(datasets) <= TITLED else counted(len(datasets), "dataset")
    categories = pd.unique(rows(cells))
    return f"{named} on {where}" + (f": {categories[0]}" if len(categories) == 1 else "")


def overview(uri: str, cells: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (name, value) of the facts about a selection."""
    runs = cells.drop_duplicates("run_id")
    states = runs["status"].str.lower().value_counts()
    columns = {
        "sweep": runs["sweep"],
        "methods": labels(runs).map(method_name),
        "dataset": runs["dataset"].map(dataset_name),
        "categories": rows(runs),
        "seeds": runs["seed"],
        "protocol": runs["protocol"].map(lambda value: Path(value).name),
        "teacher": teachers(runs),
        "threshold": runs["threshold_policy"],
        "code": runs["git_commit"].str[:10],
    }
    return [
        ("cells", ", ".join(f"{count} {state}" for state, count in states.items())),
        *((name, listed(filter(None, pd.unique(values)), NAMED)) for name, values in columns.items()),
        ("store", _store(uri)),
    ]


def _store(uri: str) -> str:
    """Return the store's address; of a local one the name of its file, as the page may be published."""
    database = database_of(uri)
    return without_password(uri) if database is None else f"local, {database.parent.name}/{database.name}"


def own_dataset(cells: pd.DataFrame) -> str:
    """Return the name of the dataset if it is the only one and the user's own; several are named in the rows."""
    names, choices = pd.unique(cells[tags.DATASET]), set(cells[tags.DATASET_CHOICE])
    return str(names[0]) if len(names) == 1 and not choices & {*WITH_A_NAME} else ""


def failed_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the failed cells with their reasons: columns `method`, `category`, `seed`, `reason`."""
    runs = cells[cells["status"] == "FAILED"].drop_duplicates("run_id")
    return runs.assign(method=labels, category=rows)[["method", "category", "seed", "reason"]]


def configs(cells: pd.DataFrame, artifacts: Artifacts) -> list[tuple[str, str]]:
    """Return the configuration of one cell of each method, below the command that runs this cell again."""
    first = ended(cells).assign(label=labels).drop_duplicates("label")
    runs = first[["label", "run_id"]].itertuples(index=False)
    texts = [(label, run, artifacts.text(run, tags.CONFIG)) for label, run in runs]
    return [(label, f"{_command(run, artifacts)}{text}") for label, run, text in texts if text]


def _command(run: str, artifacts: Artifacts) -> str:
    recorded = artifacts.tags(run)
    command = artifacts.text(run, tags.COMMAND_FILE) or recorded.get(tags.COMMAND)
    return f"# This cell again: {command.strip()}\n" if command else ""


def environments(cells: pd.DataFrame, artifacts: Artifacts) -> list[tuple[str, str]]:
    """Return machine and software of one cell for each machine and state of the code."""
    runs = ended(cells).drop_duplicates(list(SETUP))
    environments = []
    for run, method, category in runs[["run_id", "method", "category"]].itertuples(index=False):
        recorded = artifacts.tags(run)
        lines = [f"{name}: {recorded[name]}" for name in ENVIRONMENT if name in recorded]
        environments.append((f"{method_name(method)} {category}", "\n".join(lines)))
    return environments
