"""Which cell of a sweep begins, and the time left, from the cells that have ended."""

import statistics
from collections import Counter
from collections.abc import Mapping

from store.text import duration


class Pace:
    """The cells that this process runs, job by job.

    Parameters
    ----------
    cells
        {number of a job: number of its cells}, in the order in which the jobs run.
    scope
        What the cells are all cells of: the sweep, or one job of it.

    Examples
    --------
    >>> pace = Pace({0: 1, 1: 2})
    >>> pace.count(0), pace.time_left(0, 1)
    ('cell 1 of 3', '')
    >>> pace.end(0, seconds=300)
    >>> pace.count(1), pace.time_left(1, 2)
    ('cell 2 of 3', ', about 10 min left for the sweep (a guess, by the time of cells of other jobs)')
    """

    def __init__(self, cells: Mapping[int, int], scope: str = "the sweep") -> None:
        self._cells, self._scope = dict(cells), scope
        self._begun: Counter[int] = Counter()
        self._seconds: dict[int, list[float]] = {number: [] for number in cells}

    def count(self, job: int) -> str:
        """Count a cell of a job that begins, or that cannot run, and return which one it is."""
        self._begun[job] += 1
        before = sum(cells for number, cells in self._cells.items() if number < job)
        return f"cell {before + self._begun[job]} of {sum(self._cells.values())}"

    def end(self, job: int, seconds: float) -> None:
        """Take the time of a cell that has run."""
        self._seconds[job].append(seconds)

    def time_left(self, job: int, waiting: int) -> str:
        """Return the time left for a message; an empty string before the first cell has ended.

        Each cell is expected to take the mean time of the cells of its job that have ended, or, if none have, of all.

        Parameters
        ----------
        job
            The job that is running.
        waiting
            How many of its cells have yet to run.
        """
        known = [value for seconds in self._seconds.values() for value in seconds]
        if not known:
            return ""
        cells = {job: waiting} | {number: count for number, count in self._cells.items() if number > job}
        left = sum(
            count * statistics.fmean(self._seconds[number] or known) for number, count in cells.items()
        )
        guessed = any(count and not self._seconds[number] for number, count in cells.items())
        reason = " (a guess, by the time of cells of other jobs)" if guessed else ""
        return f", about {duration(left)} left for {self._scope}{reason}"
