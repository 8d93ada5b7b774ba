"""The parts of a report, of which one that fails costs only itself and is named."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from reports.errors import ReportError
from store.errors import StoreError, first_line

T = TypeVar("T")


@dataclass(frozen=True)
class WrittenReport:
    """A report as it was written.

    Attributes
    ----------
    page
        Path of the page.
    failures
        The parts that failed and are missing, each with the reason, in one line.
    """

    page: Path
    failures: tuple[str, ...] = ()


class Parts:
    """Makes the parts of a report.

    Attributes
    ----------
    failures
        The parts that failed, each with the reason, in one line.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []

    def make(self, name: str, work: Callable[[], T]) -> T | None:
        """Return what `work` makes; if it fails, record the part's name and the reason, and return None."""
        try:
            return work()
        except Exception as error:  # of any library, over any names and numbers
            self.fail(name, error)
            return None

    def make_all(self, name: str, work: Callable[[], Sequence[T]]) -> Sequence[T]:
        """Return the things that `work` makes; if it fails, record the part's name and the reason, and return none."""
        return self.make(name, work) or ()

    def fail(self, name: str, error: BaseException) -> None:
        """Record that a part has failed; equal failures count once."""
        failure = f"{name}: {reason_of(error)}"
        if failure not in self.failures:
            self.failures.append(failure)


def reason_of(error: BaseException) -> str:
    """Return an error in one line: what this project says itself is a sentence, others have the name of their type."""
    line = first_line(error)
    own = isinstance(error, (ReportError, StoreError)) or line == type(error).__name__
    return line if own else f"{type(error).__name__}: {line}"
