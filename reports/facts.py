"""What the page shows of a selection besides its tables: facts, failed cells, configurations, environments."""

from datetime import datetime

import pandas as pd

from reports.tables.cost import MACHINE
from reports.teachers import teachers
from store import tags
from store.artifacts import Artifacts
from store.passwords import without_password
from store.table import ended, labels, rows
from store.text import listed

NAMED = 20
"""So many values of a fact are named."""
SETUP = (*MACHINE, tags.GIT_COMMIT, tags.GIT_DIRTY)
"""Columns in which the environments of cells may differ."""
ENVIRONMENT = (*MACHINE, tags.CPU_COUNT, tags.PYTHON, *tags.LIBRARIES, tags.GIT_COMMIT, tags.GIT_DIRTY)
"""Tags that describe an environment."""


def overview(uri: str, cells: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (name, value) of the facts about a selection."""
    runs = cells.drop_duplicates("run_id")
    states = runs["status"].str.lower().value_counts()
    columns = {
        "sweep": runs["sweep"],
        "methods": labels(runs),
        "dataset": runs["dataset"],
        "categories": rows(runs),
        "seeds": runs["seed"],
        "protocol": runs["protocol"],
        "teacher": teachers(runs),
        "threshold": runs["threshold_policy"],
        "code": runs["git_commit"].str[:10],
    }
    return [
        ("cells", ", ".join(f"{count} {state}" for state, count in states.items())),
        *((name, listed(filter(None, pd.unique(values)), NAMED)) for name, values in columns.items()),
        ("store", without_password(uri)),
        ("written", f"{datetime.now():%Y-%m-%d %H:%M}"),
    ]


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
        environments.append((f"{method} {category}", "\n".join(lines)))
    return environments
