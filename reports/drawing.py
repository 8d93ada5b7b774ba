"""Drawing the figures of a report, in several processes if there are many, and showing the progress."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from reports.figures.style import PAGE, save
from reports.model import Figure
from reports.parts import Parts

MANY, PROCESSES = 40, 4
"""At least `MANY` figures are drawn by up to `PROCESSES` processes, each of which takes seconds to start."""

Step = Callable[[str, int, int], None]
"""Shows the progress of a step: its name, the total and what is done."""


@contextmanager
def draw_figures(
    figures: Sequence[Figure], folder: Path, parts: Parts, step: Step, width: float = PAGE
) -> Iterator[list[tuple[Figure, Path]]]:
    """Draw figures, if many in other processes while the block runs; the list yielded is complete after the block."""
    drawn: list[tuple[Figure, Path]] = []

    def collect(works: Sequence[Callable[[], Path]]) -> None:
        for number, (figure, work) in enumerate(zip(figures, works, strict=True), 1):
            try:
                drawn.append((figure, work()))
            except (
                BrokenExecutor
            ) as error:  # a process was killed, and with it the drawing of all that remained
                parts.fail("some figures", error)
            except Exception as error:
                parts.fail(f"figure {figure.name}", error)
            step("figures", len(figures), number)

    step("figures", len(figures), 0)
    if len(figures) < MANY:
        yield drawn
        collect([partial(save, figure, folder, width) for figure in figures])
        return
    # spawned: a fork of a process with threads may hang
    with ProcessPoolExecutor(min(PROCESSES, os.cpu_count() or 1), get_context("spawn")) as pool:
        futures = [pool.submit(save, figure, folder, width) for figure in figures]
        yield drawn
        collect([future.result for future in futures])


@contextmanager
def steps(console: Console | None) -> Iterator[Step]:
    """Yield a function that shows progress on a console; None: nowhere."""
    columns = (TextColumn("{task.description:8}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=console is None, transient=True) as progress:
        tasks = {}

        def step(name: str, total: int, done: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)

        yield step
