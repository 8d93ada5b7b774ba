"""`python -m reports.status`: the finished, running, failed and missing cells of a sweep, and the time left."""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow.entities import Run
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from store.errors import StoreError
from store.liveness import LOCKS, results_dir_of
from store.local import database_of
from store.plan import Plan
from store.progress import TrainingProgress, progress_path, read_progress
from store.table import cells_of, find_sweep, plans_of
from store.tags import CATEGORY, IDENTITY, JOBS, STORE, SWEEP
from store.text import counted, duration

STATES = ("finished", "running", "failed", "missing")


@dataclass(frozen=True)
class Status:
    """Progress of a sweep.

    Attributes
    ----------
    jobs
        The plan of each job that has started, and the state of each of its categories.
    training
        How far the stages are that train now.
    unknown
        Number of jobs that have not started, whose categories are not known yet.
    seconds_left
        Cells still to run, each at the median time of the job's finished cells (of the sweep's, if the job has
        none), divided by the number of cells that run at once; None before the first cell has finished.
    """

    jobs: list[tuple[Plan, dict[str, str]]]
    training: list[TrainingProgress]
    unknown: int
    seconds_left: float | None

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of cells in each state."""
        states = [state for _, cells in self.jobs for state in cells.values()]
        return {state: states.count(state) for state in STATES}


def read_status(uri: str, sweep: str | None = None) -> tuple[str, Status]:
    """Return the name of a sweep, by default the latest, and its progress.

    Raises
    ------
    StoreError
        If the store cannot be read, or has no such sweep.
    """
    parent = find_sweep(uri, sweep)
    name = parent.data.tags[SWEEP]
    runs: dict[tuple[str, str], list[Run]] = {}
    for run, member in cells_of(uri, name):
        runs.setdefault((member.key, run.data.tags[CATEGORY]), []).append(run)
    jobs, training, seconds = [], list[TrainingProgress](), []
    for plan in plans_of(uri, parent).values():
        own = {category: runs.get((plan.key, category), []) for category in plan.categories}
        jobs.append((plan, {category: _state(found) for category, found in own.items()}))
        training += filter(
            None, (_training(uri, found[-1]) for found in own.values() if _state(found) == "running")
        )
        finished = [run for found in own.values() for run in found if _state([run]) == "finished"]
        seconds.append([_seconds(run) for run in finished])
    unknown = int(parent.data.tags.get(JOBS, 0)) - len(jobs)
    return name, Status(jobs, training, unknown, _left([cells for _, cells in jobs], seconds))


def _state(runs: Sequence[Run]) -> str:
    """Return the state of a cell from its runs, oldest first; a killed one is missing."""
    if not runs:
        return "missing"
    states = {"FINISHED": "finished", "RUNNING": "running", "FAILED": "failed"}
    return states.get(runs[-1].info.status, "missing")


def _training(uri: str, run: Run) -> TrainingProgress | None:
    """Return how far the training of a running cell is; None if that is not known."""
    folder = results_dir_of(run.data.tags, database_of(uri))
    identity = run.data.tags.get(IDENTITY)
    return read_progress(progress_path(folder / LOCKS, identity)) if folder and identity else None


def _seconds(run: Run) -> float:
    return ((run.info.end_time or run.info.start_time) - run.info.start_time) / 1000


def _left(jobs: Sequence[dict[str, str]], seconds: Sequence[Sequence[float]]) -> float | None:
    known = [value for times in seconds for value in times]
    if not known:
        return None
    waiting = [sum(state in ("running", "missing") for state in cells.values()) for cells in jobs]
    at_once = sum(state == "running" for cells in jobs for state in cells.values())
    work = sum(
        count * statistics.median(times or known) for count, times in zip(waiting, seconds, strict=True)
    )
    return work / max(at_once, 1)


def show(name: str, status: Status, console: Console) -> None:
    """Print a line per job, one per stage that trains now, and one for all."""
    table = Table()
    for title in ("job", *STATES):
        table.add_column(title, justify="left" if title == "job" else "right", overflow="fold")
    common = set.intersection(*(set(plan.overrides) for plan, _ in status.jobs)) if status.jobs else set()
    for plan, cells in status.jobs:
        own = [item for item in plan.overrides if item not in common and not item.startswith("method=")]
        columns = [
            _entry([name for name, found in cells.items() if found == state], state) for state in STATES
        ]
        table.add_row(*map(escape, [" ".join([plan.title, *own]), *columns]))
    console.print(f"sweep {name}", table, sep="\n", highlight=False)
    for stage in status.training:
        console.print(_describe(stage), markup=False, highlight=False)
    counts = ", ".join(f"{count} {state}" for state, count in status.counts.items())
    have = "has" if status.unknown == 1 else "have"
    waiting = f"; {counted(status.unknown, 'job')} {have} not started" if status.unknown else ""
    left = ""
    if status.seconds_left is not None and (status.counts["running"] or status.counts["missing"]):
        end = time.strftime("%a %H:%M", time.localtime(time.time() + status.seconds_left))
        left = f"; about {duration(status.seconds_left)} left for the jobs that have started, until {end}"
    console.print(counts + waiting + left, highlight=False)


def _entry(names: Sequence[str], state: str) -> str:
    """Return the number of categories in a state, with their names if running or failed."""
    listed = state in ("running", "failed") and names
    return f"{len(names)} ({', '.join(names)})" if listed else str(len(names))


def _describe(stage: TrainingProgress) -> str:
    left = (
        f", about {duration(stage.seconds_left)} left of this stage" if stage.seconds_left is not None else ""
    )
    return f"{stage.title}: epoch {stage.epoch}/{stage.epochs}{left}"


def main() -> int:
    """Print the progress of a sweep."""
    parser = argparse.ArgumentParser(prog="python -m reports.status", description=main.__doc__)
    parser.add_argument("--uri", default=STORE, help="MLflow tracking URI (default: the local store)")
    parser.add_argument("--sweep", help="name of the sweep (default: the latest)")
    arguments = parser.parse_args()
    try:
        name, status = read_status(arguments.uri, arguments.sweep)
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(name, status, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
