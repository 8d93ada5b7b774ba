"""Progress over many images: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from datasets.progress import LINE_SECONDS, Interval
from store.text import duration


@contextmanager
def show_progress(title: str, total: int) -> Iterator[Callable[[int], object]]:
    """Yield a function that receives how many more images are done."""
    console = Console(stderr=True)
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(title, total=total)
    line, started, done = Interval(LINE_SECONDS, at_once=False), time.perf_counter(), 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        bar.update(task, completed=done)
        if bar.disable and line.is_due():
            left = (time.perf_counter() - started) / done * (total - done)
            print(f"{title}: {done} of {total}, {duration(left)} left", file=sys.stderr, flush=True)

    with bar:
        yield report
