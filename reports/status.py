"""`python -m reports.status`: what of a sweep is done, running, failed and missing, and how long it may take."""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Run
from rich.console import Console
from rich.table import Table

from reports.cells import STORE, ReportError, cells_of, find_sweep, without_details

JOB = "job."
"""Beginning of the tags of a parent run that say what each job runs, as `benchmark.tracking` sets them."""
STATES = ("finished", "running", "failed", "missing")


@dataclass(frozen=True)
class Status:
    """How far a sweep is.

    Attributes
    ----------
    jobs
        By job: its title, its overrides, and the state of each of its categories.
    unknown
        Jobs that have not started, and whose categories are not known yet.
    seconds_left
        Median time of a finished cell of the job (of the sweep, where the job has none), times the cells to be
        run, divided by how many run at once; None before the first cell has finished.
    """

    jobs: list[tuple[str, list[str], dict[str, str]]]
    unknown: int
    seconds_left: float | None

    @property
    def counts(self) -> dict[str, int]:
        """Return how many cells are in each state."""
        found = [state for _, _, cells in self.jobs for state in cells.values()]
        return {state: found.count(state) for state in STATES}


def read_status(uri: str, sweep: str | None = None) -> tuple[str, Status]:
    """Return the name of a sweep, by default of the latest, and how far it is.

    Raises
    ------
    ReportError
        If the store has no such sweep.
    """
    parent = find_sweep(uri, sweep)
    name = parent.data.tags["sweep"]
    total = int(parent.data.tags.get("jobs", 0))
    plans = [json.loads(parent.data.tags.get(f"{JOB}{number}", "null")) for number in range(total)]
    runs: dict[tuple[Any, str], list[Run]] = {}
    for run, asked in cells_of(uri, name):
        runs.setdefault((_key(asked["overrides"]), run.data.tags["category"]), []).append(run)
    jobs, seconds = [], []
    for plan in filter(None, plans):
        latest = {
            category: runs.get((_key(plan["overrides"]), category), []) for category in plan["categories"]
        }
        jobs.append((plan["title"], plan["overrides"], {key: _state(value) for key, value in latest.items()}))
        seconds.append(
            [_seconds(run) for value in latest.values() for run in value if _state([run]) == "finished"]
        )
    return name, Status(jobs, total - len(jobs), _left(jobs, seconds))


def _key(overrides: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(without_details(overrides)))


def _state(runs: Sequence[Run]) -> str:
    """Return the state of a cell from its runs, oldest first; one that was killed is missing."""
    if not runs:
        return "missing"
    states = {"FINISHED": "finished", "RUNNING": "running", "FAILED": "failed"}
    return states.get(runs[-1].info.status, "missing")


def _seconds(run: Run) -> float:
    return ((run.info.end_time or run.info.start_time) - run.info.start_time) / 1000


def _left(
    jobs: Sequence[tuple[str, list[str], dict[str, str]]], seconds: Sequence[Sequence[float]]
) -> float | None:
    known = [value for times in seconds for value in times]
    if not known:
        return None
    waiting = [sum(state in ("running", "missing") for state in cells.values()) for *_, cells in jobs]
    at_once = sum(state == "running" for *_, cells in jobs for state in cells.values())
    work = sum(
        count * statistics.median(times or known) for count, times in zip(waiting, seconds, strict=True)
    )
    return work / max(at_once, 1)


def show(name: str, status: Status, console: Console) -> None:
    """Print a line per job and one for all."""
    table = Table()
    for title in ("job", *STATES):
        table.add_column(title, justify="left" if title == "job" else "right", overflow="fold")
    common = set.intersection(*(set(overrides) for _, overrides, _ in status.jobs)) if status.jobs else set()
    for title, overrides, cells in status.jobs:
        own = " ".join(item for item in overrides if item not in common and not item.startswith("method="))
        columns = [
            _cell([name for name, found in cells.items() if found == state], state) for state in STATES
        ]
        table.add_row(" ".join(filter(None, [title, own])), *columns)
    console.print(f"sweep {name}", table, sep="\n", highlight=False)
    counts = ", ".join(f"{count} {state}" for state, count in status.counts.items())
    waiting = f"; {status.unknown} jobs have not started" if status.unknown else ""
    left = ""
    if status.seconds_left is not None and (status.counts["running"] or status.counts["missing"]):
        end = time.strftime("%a %H:%M", time.localtime(time.time() + status.seconds_left))
        left = f"; about {_duration(status.seconds_left)} left of the jobs that have started, until {end}"
    console.print(counts + waiting + left, highlight=False)


def _cell(names: Sequence[str], state: str) -> str:
    """Return how many categories are in a state, and which where somebody may want to look."""
    listed = state in ("running", "failed") and names
    return f"{len(names)} ({', '.join(names)})" if listed else str(len(names))


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"


def main() -> int:
    """Print how far a sweep is."""
    parser = argparse.ArgumentParser(prog="python -m reports.status", description=main.__doc__)
    parser.add_argument("--uri", default=STORE, help="MLflow tracking URI (default: the local store)")
    parser.add_argument("--sweep", help="name of the sweep (default: the latest)")
    arguments = parser.parse_args()
    try:
        name, status = read_status(arguments.uri, arguments.sweep)
    except ReportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(name, status, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
