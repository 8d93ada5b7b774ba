"""Progress of a training stage: a bar on a terminal, lines elsewhere, and a file that `make status` reads."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from datasets.progress import LINE_SECONDS, Interval
from store.progress import TrainingProgress, remove_progress, write_progress
from store.text import duration

log = logging.getLogger(__name__)

FILE_SECONDS = 5.0
"""Time between two changes of the file."""


@contextmanager
def show_progress(
    title: str, rounds: int, seconds: float, bars: bool = True, file: Path | None = None
) -> Iterator[Callable[[int, float], object]]:
    """Yield a function that shows the number of a finished round, its loss, and the time left.

    Parameters
    ----------
    title
        Method, category and stage.
    rounds
        Number of rounds: epochs, or groups of steps.
    seconds
        Time that finished rounds have taken already.
    bars
        Whether to draw a bar on a terminal; otherwise there are lines, as elsewhere: after the first round, then
        by time.
    file
        Where other processes find how far the stage is, see `store.progress`; None: nowhere.
    """
    started = time.perf_counter() - seconds
    console = Console()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch"),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (bars and console.is_terminal),
    )
    task = bar.add_task(title, total=rounds, loss="-")
    line, change = Interval(LINE_SECONDS), Interval(FILE_SECONDS)

    def report(number: int, loss: float) -> None:
        bar.update(task, completed=number, loss=f"{loss:.4g}")
        left = (time.perf_counter() - started) / number * (rounds - number)
        if bar.disable and line.is_due():
            log.info("%s: epoch %d/%d, loss %.4g, %s left", title, number, rounds, loss, duration(left))
        if file is not None and change.is_due():
            write_progress(file, TrainingProgress(title, number, rounds, left))

    with bar:
        yield report
    if file is not None:
        remove_progress(file)
