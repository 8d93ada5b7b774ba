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
        known = list(dict.fromkeys(run.data.tags[tag] for run in found))
        found = [run for run in found if run.data.tags[tag] == value]
        if not found:
            raise BenchmarkError(
                f"--{tag} {value}: sweep {name} has no such finished cell{near(value, known)}; known: "
                f"{listed(known, SHOWN)}"
            )
    if len(found) > 1:
        missing = [f"--{tag}" for tag in CELL if len({run.data.tags[tag] for run in found}) > 1]
        way = f"add {' and '.join(missing)}, or " if missing else ""
        raise BenchmarkError(
            f"sweep {name}: found {len(found)} such cells; expected one: {way}give the id of one's run: {_cells(found)}"
        )
    return found[0].info.run_id


def _cells(runs: "Sequence[Run]") -> str:
    names = (f"{run.info.run_id} ({run.info.run_name})" for run in runs)
    return listed(names, SHOWN)
