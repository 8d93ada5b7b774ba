"""Progress of a training stage: a bar on a terminal, some lines elsewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

LINES = 5  # per stage, where there is no terminal


@contextmanager
def show_progress(
    title: str, rounds: int, seconds: float, bars: bool = True
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
        Whether to draw a bar on a terminal; otherwise there are lines, as elsewhere.
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

    def report(number: int, loss: float) -> None:
        bar.update(task, completed=number, loss=f"{loss:.4g}")
        if bar.disable and number * LINES // rounds > (number - 1) * LINES // rounds:
            left = (time.perf_counter() - started) / number * (rounds - number)
            log.info("%s: epoch %d/%d, loss %.4g, %.0f s left", title, number, rounds, loss, left)

    with bar:
        yield report
