"""Progress bars, drawn only on a terminal."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def with_bar(items: Iterable[T], total: int, title: str, enabled: bool = True) -> Iterable[T]:
    """Yield the items and show a bar that disappears at the end."""
    console = Console(stderr=True)
    if not (enabled and console.is_terminal):
        return items
    return track(items, title, total, console=console, transient=True)
