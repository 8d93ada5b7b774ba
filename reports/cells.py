"""The store read into one tidy table: a row per cell and metric."""

import json
import re
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

TAGS = (
    "sweep",
    "method",
    "mode",
    "dataset",
    "category",
    "seed",
    "protocol",
    "backbone",
    "weights",
    "pretext",
    "device",
    "precision",
    "cpu",
    "cpu_threads",
    "gpu",
    "platform",
    "threshold_policy",
    "fpr_limit",
    "pixel_measures",
    "git_commit",
    "git_dirty",
    "reason",
)
IDENTITY = ["method", "variant", "dataset", "category", "seed", "protocol"]
RESULTS = Path(__file__).resolve().parent.parent / "results"
STORE = f"sqlite:///{RESULTS / 'mlflow.db'}"
"""The local store."""
MEMBER = "sweep."
"""Beginning of the tag by which a cell belongs to a sweep, as `benchmark.tracking` sets it."""
PAGE = 1000
# overrides that rows, columns and seeds of a table show anyway
IN_TABLES = {"method", "dataset", "dataset.root", "dataset.categories", "seed", "sweep"}
# overrides that a caption states anyway
IN_CAPTIONS = IN_TABLES | {
    *("protocol", "backbone.weights", "evaluation.threshold", "evaluation.fpr_limit"),
    *("evaluation.tables", "evaluation.pro_variants"),
}
# beginnings of overrides that leave numbers alone
NOT_NUMBERS = (
    *("hydra", "results_dir", "jobs", "tracking", "dataset.download", "dataset.accept_license"),
    *("trainer.features", "trainer.cache_dir", "trainer.progress", "trainer.malloc", "trainer.threads"),
    "trainer.checkpoint_seconds",
)


class ReportError(ValueError):
    """A store or sweep that cannot be reported; the message says what there is."""


def find_sweep(uri: str, name: str | None = None) -> Run:
    """Return the parent run of a sweep; without a name, of the latest.

    Raises
    ------
    ReportError
        If the store has no such sweep.
    """
    runs = _sweeps(uri)
    names = [run.data.tags["sweep"] for run in runs]
    if name is None:
        return runs[-1]
    if name not in names:
        raise ReportError(
            f"there is no sweep '{name}' in {without_password(uri)}; known: {', '.join(names[-10:])}"
        )
    return runs[names.index(name)]


def sweeps_of(uri: str) -> list[str]:
    """Return the names of all sweeps of a store, oldest first.

    Raises
    ------
    ReportError
        If there is none.
    """
    return [run.data.tags["sweep"] for run in _sweeps(uri)]


def _sweeps(uri: str) -> list[Run]:
    runs = search(uri, "tags.kind = 'sweep'")
    if not runs:
        raise ReportError(
            f"{without_password(uri)} holds no sweep yet: run `python run_benchmark.py -m method=...` first"
        )
    return runs


def read_cells(uri: str, sweeps: Sequence[str]) -> pd.DataFrame:
    """Read the cells of some sweeps.

    Returns
    -------
    One row per cell and metric, in the order in which the sweeps asked for them: `run_id`, `status`, the columns
    of `TAGS`, `variant` and `changes` (see `labels_and_changes`), `metric`, `value`. A cell without metrics has
    one row with an empty metric. Of a cell that ran more than once, the last run counts; one that belongs to
    several of the sweeps counts for the first.
    """
    members: dict[str, tuple[Run, str, dict[str, Any]]] = {}
    for sweep in sweeps:
        # runs of one cell stay in order of time
        for run, asked in sorted(cells_of(uri, sweep), key=lambda member: member[1]["place"]):
            members.setdefault(run.info.run_id, (run, sweep, asked))
    variants, changes = labels_and_changes([asked["overrides"] for _, _, asked in members.values()])
    rows = [
        {
            "run_id": run.info.run_id,
            "status": run.info.status,
            **{tag: run.data.tags.get(tag, "") for tag in TAGS},
            "sweep": sweep,
            "variant": variant,
            "changes": changes,
            "metric": metric,
            "value": value,
        }
        for (run, sweep, _), variant in zip(members.values(), variants, strict=True)
        for metric, value in (run.data.metrics or {"": float("nan")}).items()
    ]
    cells = pd.DataFrame(rows, columns=["run_id", "status", *TAGS, "variant", "changes", "metric", "value"])
    last = cells.groupby(IDENTITY, sort=False)["run_id"].transform("last")
    return cells[cells["run_id"] == last].reset_index(drop=True)


def cells_of(uri: str, sweep: str) -> list[tuple[Run, dict[str, Any]]]:
    """Return the runs of a sweep's cells, oldest first, each with how the sweep asked for it.

    Of a cell that has finished, runs that were interrupted or failed on the same code and data do not count.
    """
    member = MEMBER + sweep
    runs = search(uri, f"tags.kind = 'cell' and tags.`{member}` LIKE '%'")
    finished = {run.data.tags.get("identity") for run in runs if run.info.status == "FINISHED"} - {None}
    return [
        (run, json.loads(run.data.tags[member]))
        for run in runs
        if run.info.status == "FINISHED" or run.data.tags.get("identity") not in finished
    ]


def search(uri: str, condition: str) -> list[Run]:
    """Return all runs that meet a condition, in all experiments, oldest first.

    Raises
    ------
    ReportError
        If the store cannot be read.
    """
    try:
        client = _open(uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs: list[Run] = []
        token: str | None = None
        while True:
            order = ["attributes.start_time ASC"]
            page = client.search_runs(
                experiments, condition, max_results=PAGE, order_by=order, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        reason = without_password(str(error).splitlines()[0])
        raise ReportError(f"{without_password(uri)}: the store cannot be read ({reason})") from None


def _open(uri: str) -> MlflowClient:
    """Return a client of a store; asked for a database that is not there, MLflow would make one."""
    path = uri.removeprefix("sqlite:///")
    if path != uri and not Path(path).exists():
        raise ReportError(
            f"{without_password(uri)}: there is no store yet; run `python run_benchmark.py -m method=...` first"
        )
    return MlflowClient(tracking_uri=uri)


def without_password(text: str) -> str:
    """Return a text without the passwords of the URIs in it.

    Examples
    --------
    >>> without_password("postgresql://user:secret@host/db")
    'postgresql://user@host/db'
    """
    return re.sub(r"(://[^/:@\s]*):\S*@", r"\1@", text)


def labels_and_changes(overrides: Sequence[Sequence[str]]) -> tuple[list[str], str]:
    """Tell cells apart, and from what their protocol prints, by their command lines.

    Parameters
    ----------
    overrides
        Of each cell.

    Returns
    -------
    For each cell the overrides that not all cells share, as a label; and the shared ones that change
    numbers, for captions.
    """
    common = set.intersection(*map(set, overrides)) if overrides else set()
    labels = [_shown([item for item in items if item not in common], IN_TABLES) for items in overrides]
    shared = [item for item in overrides[0] if item in common] if overrides else []
    return labels, _shown(shared, IN_CAPTIONS)


def _shown(overrides: Sequence[str], hidden: Set[str]) -> str:
    """Join the overrides that change numbers and are not told elsewhere."""
    return " ".join(item.removeprefix("method.") for item in without_details(overrides, hidden))


def without_details(overrides: Sequence[str], hidden: Set[str] = frozenset({"sweep"})) -> list[str]:
    """Return the overrides that change numbers, without those of hidden names."""
    keys = [item.partition("=")[0].lstrip("+~") for item in overrides]
    return [
        item
        for item, key in zip(overrides, keys, strict=True)
        if key not in hidden and not key.startswith(NOT_NUMBERS)
    ]


def labels(cells: pd.DataFrame) -> "pd.Series[str]":
    """Return for each row of a tidy table the method, with the overrides that tell it from others: its column."""
    return cells["method"].where(cells["variant"] == "", cells["method"] + " (" + cells["variant"] + ")")


def rows(cells: pd.DataFrame) -> "pd.Series[str]":
    """Return for each row of a tidy table the category, with its dataset if there are several: its row."""
    if cells["dataset"].nunique() == 1:
        return cells["category"]
    return cells["dataset"] + " " + cells["category"]


def ended(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells that ran to an end, well or not."""
    return cells[cells["status"].isin(["FINISHED", "FAILED"])]
