"""Finds the run of a cell that a command chooses by its tags, for the cell's detector."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmark.deployment.arguments import CELL
from benchmark.errors import BenchmarkError
from store import tags
from store.errors import near
from store.passwords import without_password
from store.text import listed

if TYPE_CHECKING:
    from mlflow.entities import Run

SHOWN = 8
"""So many cells are listed."""


def find_cell(uri: str, sweep: str | None, wanted: Mapping[str, str | None]) -> str:
    """Return the id of the one finished cell's run that has the wanted tags; of its runs, the last.

    Parameters
    ----------
    uri
        Tracking URI.
    sweep
        The name of a sweep; None: the latest.
    wanted
        {tag of `CELL`: its value}; None: any.

    Raises
    ------
    BenchmarkError, StoreError
        If not exactly one finished cell is meant, or the store cannot be read.
    """
    name, found = _finished(uri, sweep, wanted)
    if len(found) > 1:
        raise _ambiguous(name, found, CELL)
    return found[0].info.run_id


def find_cells(uri: str, sweep: str | None, wanted: Mapping[str, str | None]) -> "dict[str, Run]":
    """Return the runs of the finished cells that have the wanted tags, {category: run}; of a cell's runs, the last.

    Parameters and errors are those of `find_cell`; a category may have one such cell.
    """
    name, found = _finished(uri, sweep, wanted)
    by_category: dict[str, list[Run]] = {}
    for run in found:
        by_category.setdefault(run.data.tags[tags.CATEGORY], []).append(run)
    for runs in by_category.values():
        if len(runs) > 1:
            raise _ambiguous(name, runs, [tag for tag in CELL if tag != tags.CATEGORY])
    return {category: runs[0] for category, runs in by_category.items()}


def _finished(uri: str, sweep: str | None, wanted: Mapping[str, str | None]) -> "tuple[str, list[Run]]":
    """Return the name of a sweep, and the last run of each of its finished cells that have the wanted tags."""
    # an import of seconds, which a detector in a folder need not wait for
    from store.table import cells_of, find_sweep

    name = find_sweep(uri, sweep).data.tags[tags.SWEEP]
    finished = [(run, member) for run, member in cells_of(uri, name) if run.info.status == "FINISHED"]
    if not finished:
        raise BenchmarkError(
            f"sweep {name} in {without_password(uri)}: no cell has finished, so there is no detector"
        )
    cells = {(member.key, run.data.tags[tags.CATEGORY]): run for run, member in finished}
    found = list(cells.values())
    for tag, value in wanted.items():
        if value is None:
            continue
        known = list(dict.fromkeys(run.data.tags.get(tag, "") for run in found))
        found = [run for run in found if run.data.tags.get(tag) == value]
        if not found:
            raise BenchmarkError(
                f"--{tag} {value}: sweep {name} has no such finished cell{near(value, known)}; known: "
                f"{listed(known, SHOWN)}"
            )
    return name, found


def _ambiguous(sweep: str, found: "Sequence[Run]", options: Sequence[str]) -> BenchmarkError:
    """Return the error of several cells where one is meant; the options could tell them apart."""
    missing = [f"--{tag}" for tag in options if len({run.data.tags.get(tag) for run in found}) > 1]
    ways = [
        *([f"add {' and '.join(missing)}"] if missing else []),
        *(["give the id of one's run"] if tags.CATEGORY in options else []),
    ]
    what = "one" if tags.CATEGORY in options else f"one of {found[0].data.tags[tags.CATEGORY]}"
    advice = ", or ".join(ways) or "their options differ: run those of the detectors as a sweep of their own"
    return BenchmarkError(
        f"sweep {sweep}: found {len(found)} such cells; expected {what}: {advice}: {_cells(found)}"
    )


def _cells(runs: "Sequence[Run]") -> str:
    names = (f"{run.info.run_id} ({run.info.run_name})" for run in runs)
    return listed(names, SHOWN)
