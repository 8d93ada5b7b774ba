"""Progress over many images: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY = 30.0
"""Seconds between lines, where there is no terminal."""


@contextmanager
def show_progress(title: str, total: int) -> Iterator[Callable[[int], object]]:
    """Yield a function that is told how many more images are done."""
    console = Console(stderr=True)
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(title, total=total)
    started = shown = time.perf_counter()
    done = 0

    def report(count: int) -> None:
        nonlocal done, shown
        done += count
        bar.update(task, completed=done)
        now = time.perf_counter()
        if bar.disable and now - shown >= EVERY:
            shown = now
            left = (now - started) / done * (total - done)
            print(f"{title}: {done} of {total}, {left:.0f} s left", file=sys.stderr, flush=True)

    with bar:
        yield report
