"""The store read into one tidy table: a row per cell and metric."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from store import format1
from store import tags as names
from store.checksum import is_intact
from store.client import open_store, reading_errors
from store.dataset_names import dataset_names, name_of_earlier
from store.errors import StoreError, first_line, near
from store.garbage import without_collection
from store.liveness import as_it_is
from store.local import database_of
from store.names_in_mlflow import originals
from store.options import changed_options, describe, differing_options, short_pools
from store.passwords import without_password
from store.plan import MEMBER, Member, Plan, parse_member, read_plan
from store.text import listed

log = logging.getLogger(__name__)

TAGS = (
    *(names.SWEEP, names.METHOD, names.MODE, names.DATASET, names.DATASET_CHOICE, names.CATEGORY),
    *(names.GROUP, names.SEED, names.TIMED_CATEGORY),
    *(names.PROTOCOL, names.BACKBONE, names.WEIGHTS, names.PRETRAINING_IMAGES, names.PRETRAINING_COUNT),
    names.NATURAL_IMAGES,
    *(names.DEVICE, names.PRECISION, names.CPU, names.CPU_THREADS, names.GPU, names.PLATFORM),
    *(names.THRESHOLD_POLICY, names.FPR_LIMIT, names.GIT_COMMIT, names.GIT_DIRTY, names.REASON),
    *(names.FORMAT_TAG, names.IDENTITY, names.TRAINING_KEY, names.TEST_IMAGES, names.UNMEASURED),
)
"""Tags of a cell that are columns of the table; "" where a cell has none."""
COLUMNS = ("run_id", "status", *TAGS, "variant", "changes", "params", "metric", "value")
IDENTITY = [names.METHOD, "variant", names.DATASET, names.CATEGORY, names.SEED, names.PROTOCOL]
"""Columns whose values tell cells apart."""
ROWS_OF_MEANS = ("mean", "average")
"""First words of the names of rows of means."""
_LIKE_MEANS = re.compile(rf"(category )*({'|'.join(ROWS_OF_MEANS)})( |$)")
PAGE = 1000
NAMED = 10
"""So many things are named in a message."""


def find_sweep(uri: str, name: str | None = None) -> Run:
    """Return the parent run of a sweep; without a name, of the latest.

    Raises
    ------
    StoreError
        If the store cannot be read, or has no such sweep.
    """
    runs = _sweeps(uri)
    known = [run.data.tags[names.SWEEP] for run in runs]
    if name is None:
        return runs[-1]
    if name not in known:
        raise StoreError(
            f"there is no sweep '{name}'{near(name, known)} in {without_password(uri)}; known: "
            + ", ".join(known[-NAMED:])
        )
    return runs[known.index(name)]


def sweeps_of(uri: str) -> list[str]:
    """Return the names of all sweeps of a store, oldest first.

    Raises
    ------
    StoreError
        If the store cannot be read, or has none.
    """
    return [run.data.tags[names.SWEEP] for run in _sweeps(uri)]


def _sweeps(uri: str) -> list[Run]:
    runs = search(uri, f"tags.{names.KIND} = '{names.SWEEP_KIND}'")
    if not runs:
        raise StoreError(
            f"{without_password(uri)} holds no sweep yet: run `python run_benchmark.py -m method=...` first"
        )
    return runs


def read_cells(uri: str, sweeps: Sequence[str]) -> pd.DataFrame:
    """Read the cells of some sweeps.

    Returns
    -------
    One row per cell and metric, in the order in which the sweeps asked for them, with the columns `COLUMNS`.

    `variant` holds the options that tell the cells of a method apart (see `differing_options`), as a label; `changes`
    holds the other options of the cell that were changed from its protocol. `params` is the dictionary of a run's
    parameters, the same object in all its rows. A cell without metrics has one row with an empty metric.

    Of a cell that ran more than once, the last run counts; one that belongs to several of the sweeps counts for the
    first. If one name stands for several datasets, `dataset` says which, see `store.dataset_names`.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    runs = _runs(uri, sweeps)
    runs["params"] = pd.Series(short_pools(runs["params"].tolist()), index=runs.index, dtype=object)
    contents = runs[[names.DATASET, names.CATEGORY, names.TEST_IMAGES]].itertuples(index=False, name=None)
    runs[names.DATASET] = dataset_names([*contents], runs["params"].tolist())
    _add_variants(runs)
    _warn_of_changed_images(runs)
    last = runs.groupby(IDENTITY, sort=False)["run_id"].transform("last")
    rows = [
        {**run, "metric": metric, "value": value}
        for run in runs[runs["run_id"] == last].to_dict("records")
        for metric, value in (run["metrics"] or {"": float("nan")}).items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _runs(uri: str, sweeps: Sequence[str]) -> pd.DataFrame:
    """Return a row per run: identifiers, tags, parameters and metrics, by their present names."""
    members: dict[str, tuple[Run, str, Member]] = {}
    for sweep in sweeps:
        # a stable order: runs of one cell stay sorted by time
        cells = sorted(cells_of(uri, sweep), key=lambda cell: (cell[1].job, cell[1].place))
        for run, member in cells:
            members.setdefault(run.info.run_id, (run, sweep, member))
    jobs = {(sweep, member.key): params_of(run) for run, sweep, member in members.values() if run.data.params}
    rows = []
    for run, sweep, member in members.values():
        is_old = names.FORMAT_TAG not in run.data.tags
        tags = format1.tags_of(run.data.tags) if is_old else run.data.tags
        # a cell that failed before its options were logged has those of its job
        params = params_of(run) or jobs.get((sweep, member.key), {})
        if names.DATASET_CHOICE not in tags:
            choice = tags.get(names.DATASET, "")
            tags = {**tags, names.DATASET: name_of_earlier(choice, params), names.DATASET_CHOICE: choice}
        rows.append(
            {
                "run_id": run.info.run_id,
                "status": run.info.status,
                **{tag: tags.get(tag, "") for tag in TAGS},
                names.SWEEP: sweep,
                "params": params,
                "metrics": format1.metrics_of(run.data.metrics) if is_old else originals(run.data.metrics),
            }
        )
    return pd.DataFrame(rows, columns=["run_id", "status", *TAGS, "params", "metrics"])


def params_of(run: Run) -> dict[str, str]:
    """Return the parameters of a cell: its options by their dotted names, and `store.tags.PROTOCOL_VALUE` ones."""
    is_old = names.FORMAT_TAG not in run.data.tags
    return format1.params_of(run.data.params) if is_old else originals(run.data.params)


def cells_of(uri: str, sweep: str) -> list[tuple[Run, Member]]:
    """Return the runs of a sweep's cells, oldest first, each with its position in the sweep.

    Once a cell has finished, its other runs, which were interrupted or failed, do not count. A run whose process was
    killed counts as KILLED, see `store.liveness`.
    """
    tag = MEMBER + sweep
    found = search(uri, f"tags.{names.KIND} = '{names.CELL_KIND}' and tags.`{tag}` LIKE '%'")
    database = database_of(uri)
    with reading_errors(uri):
        runs = [as_it_is(uri, run, database) for run in found if _is_intact(run)]
    finished = {run.data.tags.get(names.IDENTITY) for run in runs if run.info.status == "FINISHED"} - {None}
    return [
        (run, parse_member(run.data.tags[tag]) or format1.member_of(run.data.tags[tag]))
        for run in runs
        if run.info.status == "FINISHED" or run.data.tags.get(names.IDENTITY) not in finished
    ]


def _is_intact(run: Run) -> bool:
    intact = is_intact(run.data.metrics, run.data.tags)
    if not intact:
        log.warning(
            "%s: the numbers of run %s are damaged; the cell is left out, and runs again with its sweep",
            run.info.run_name,
            run.info.run_id,
        )
    return intact


def plans_of(uri: str, parent: Run) -> dict[int, Plan]:
    """Return the plans of a sweep's jobs that have started, {number of the job: plan}.

    A damaged plan is left out, with a warning.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    tags, run_id = parent.data.tags, parent.info.run_id
    earlier = {
        int(name.removeprefix(format1.JOB)): format1.plan_of(text)
        for name, text in tags.items()
        if name.startswith(format1.JOB)
    }
    plans = {number: plan for number, plan in earlier.items() if plan is not None}
    for name, text in texts_of(uri, run_id, names.PLANS).items():
        try:
            plans[int(name.removesuffix(".json"))] = read_plan(text, f"{run_id}/{names.PLANS}/{name}")
        except (StoreError, ValueError) as error:
            log.warning("%s", error)
    total = int(tags.get(names.JOBS, 0))
    return {number: plan for number, plan in sorted(plans.items()) if number < total}


def texts_of(uri: str, run_id: str, folder: str) -> dict[str, str]:
    """Return the text files in a folder of a run's artifacts, {name: content}.

    A file that cannot be read is left out, with a warning.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    texts = {}
    with TemporaryDirectory() as temporary:
        with reading_errors(uri):
            client = open_store(uri)
            found = [file.path for file in client.list_artifacts(run_id, folder)]
        for name in found:
            try:
                path = Path(client.download_artifacts(run_id, name, temporary))
                texts[path.name] = path.read_text(errors="replace")
            except (MlflowException, OSError) as error:
                log.warning("%s/%s: the file cannot be read (%s)", run_id, name, first_line(error))
    return texts


def search(uri: str, condition: str) -> list[Run]:
    """Return all runs that meet a condition, in all experiments, oldest first.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    order = ["attributes.start_time ASC"]
    runs: list[Run] = []
    with reading_errors(uri), without_collection():
        client = open_store(uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        token: str | None = None
        while True:
            page = client.search_runs(
                experiments, condition, max_results=PAGE, order_by=order, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs


def labels(cells: pd.DataFrame) -> "pd.Series[str]":
    """Return for each row of a tidy table its column: the method, with the options that tell it from others."""
    plain = cells["variant"] == ""
    return (
        cells["method"]
        if plain.all()
        else cells["method"].where(plain, cells["method"] + " (" + cells["variant"] + ")")
    )


def rows(cells: pd.DataFrame) -> "pd.Series[str]":
    """Return for each row of a tidy table its row: the category, with its dataset if there are several.

    Different categories never have one name, nor does a category have the name of a row of means.
    """
    named = cells["category"]
    if cells["dataset"].nunique() > 1:
        named = cells["dataset"] + " " + cells["category"]
        if named.nunique() < len(cells[["dataset", "category"]].drop_duplicates()):
            named = cells["dataset"] + " / " + cells["category"]
    renamed = {name: f"category {name}" for name in pd.unique(named) if _LIKE_MEANS.match(name)}
    return named.map(lambda name: renamed.get(name, name)) if renamed else named


def ended(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells that have finished or failed."""
    return cells[cells["status"].isin(["FINISHED", "FAILED"])]


def _add_variants(runs: pd.DataFrame) -> None:
    """Add the columns `variant` and `changes`."""
    variants, changes = [""] * len(runs), [""] * len(runs)
    for _, cells in runs.groupby(names.METHOD, sort=False):
        params: list[dict[str, str]] = cells["params"].tolist()
        choices = [*zip(cells[names.DATASET_CHOICE], cells[names.PROTOCOL], strict=True)]
        options = differing_options(params, choices, cells[names.FORMAT_TAG].tolist())
        several_protocols = cells.groupby(names.DATASET)[names.PROTOCOL].nunique().max() > 1
        for i, protocol, own in zip(cells.index, cells[names.PROTOCOL], params, strict=True):
            shown = {"protocol": protocol} if several_protocols else {}
            shown |= {name: own[name] for name in options if name in own}
            # captions name the teacher in any case
            others = {k: v for k, v in changed_options(own).items() if k not in (*options, "backbone.name")}
            variants[i], changes[i] = describe(shown), describe(others)
    runs["variant"], runs["changes"] = variants, changes


def _warn_of_changed_images(runs: pd.DataFrame) -> None:
    """Warn of cells whose test images are not those of an earlier run."""
    counts = runs[runs[names.TEST_IMAGES] != ""].groupby(IDENTITY, sort=False)[names.TEST_IMAGES].nunique()
    changed = pd.unique(counts[counts > 1].index.get_level_values(names.CATEGORY))
    if len(changed):
        log.warning(
            "the test images of %s have changed between runs: only the last run of a cell counts",
            listed(changed, NAMED),
        )
