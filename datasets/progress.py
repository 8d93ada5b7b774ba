"""Progress of long work: a bar on a terminal, a line now and then elsewhere."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

log = logging.getLogger(__name__)

T = TypeVar("T")

LINE_SECONDS = 30.0
"""Time between two lines where there is no terminal."""


class Interval:
    """Tells when something that is done now and then is due.

    Parameters
    ----------
    seconds
        The time between two of them.
    at_once
        Whether the first one is due at once, instead of after that time.
    """

    def __init__(self, seconds: float, at_once: bool = True) -> None:
        self._seconds = seconds
        self._next = time.perf_counter() + (0.0 if at_once else seconds)

    def is_due(self) -> bool:
        """Return whether it is due; if so, the time to the next one begins."""
        now = time.perf_counter()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


def with_bar(items: Iterable[T], total: int, title: str, enabled: bool = True) -> Iterable[T]:
    """Yield the items and show a bar that disappears at the end.

    Where there is no terminal, or bars are not wanted, work of over half a minute is shown by lines.
    """
    console = Console(stderr=True)
    if enabled and console.is_terminal:
        return track(items, title, total, console=console, transient=True)
    return _with_lines(items, total, title)


def _with_lines(items: Iterable[T], total: int, title: str) -> Iterator[T]:
    line = Interval(LINE_SECONDS, at_once=False)
    for number, item in enumerate(items, 1):
        if line.is_due():
            log.info("%s: %d of %d", title, number, total)
        yield item
