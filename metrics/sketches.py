"""Weighted scores in bounded memory: how much lies above any score, to a known part of itself."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A summary keeps cells of this part of all that lies above them, and errs by half a cell.
CELL = 2**-16
#: Scores that are kept as they are before they are summarised.
LEAF = 2**23
#: Summaries of one level that are merged into one of the next.
FAN = 8

Scores = NDArray[np.floating]
Masses = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Points:
    """Scores (n,), ascending, and the mass of each, (n,); None where each has the mass 1."""

    scores: Scores
    masses: Masses | None

    @property
    def weighted(self) -> Masses:
        """The mass of each score, (n,)."""
        return np.ones(self.scores.size) if self.masses is None else self.masses


def sort_points(scores: Scores, masses: Masses) -> Points:
    """Bring scores with masses into ascending order."""
    order = np.argsort(scores)
    return Points(scores[order], masses[order])


def summarise(points: Points, finest: float | None) -> Points:
    """Represent many points by few, so that the mass above each score changes by at most half a cell.

    From the highest score down, the mass is cut into cells: of the width ``finest``, and where more lies
    above than ``finest / CELL``, of the part ``CELL`` of what lies above. A cell is represented by the score
    in its middle, so for any score t the cells represented at or above t are those above a cut that is at
    most half a cell off the mass at or above t; the same holds strictly above t. A score heavier than a
    cell is the middle of many, so ties keep their mass to the same half cells. Where ``finest`` is None,
    all cells have the part ``CELL`` of the whole mass. Points that are not more than the cells, after
    equal scores are joined, are kept: then nothing changes at all.
    """
    total = float(points.scores.size if points.masses is None else points.masses.sum())
    cuts = _cuts(total, total * CELL if finest is None else finest)
    cells = cuts.size - 1
    if points.scores.size <= cells:
        return points
    first = np.append(True, points.scores[1:] != points.scores[:-1])
    if np.count_nonzero(first) <= cells:
        starts = np.flatnonzero(first)
        return Points(points.scores[starts], np.add.reduceat(points.weighted, starts))
    middles = (cuts[1:] + cuts[:-1]) / 2
    if points.masses is None:
        places = np.ceil(middles).astype(np.int64) - 1
    else:
        places = np.searchsorted(np.cumsum(points.masses[::-1]), middles)
    # rounding may put the last middle beyond the sum of all masses
    picked = points.scores[::-1][np.minimum(places, points.scores.size - 1)]
    return Points(picked[::-1], np.diff(cuts)[::-1])


def _cuts(total: float, finest: float) -> Masses:
    """Return the borders of the cells, from 0 to the total mass."""
    even = min(total, finest / CELL)
    cuts = np.append(np.arange(0, even, finest), even)
    if total > even:
        growing = even * np.exp(CELL * np.arange(1, np.ceil(np.log(total / even) / CELL)))
        cuts = np.concatenate([cuts, growing, [total]])
    return cuts


class Sketch:
    """A multiset of scores with masses, of which any number arrives and few are kept.

    What arrives is kept as it is up to `LEAF` scores, then summarised; `FAN` summaries of a level become
    one of the next (Munro and Paterson, "Selection and sorting with limited storage", 1980). Each level adds
    half a cell to the error of the mass above a score, and masses and errors of summaries add up, however
    they were merged. So with n scores, and `levels` about ``1 + log(n / LEAF) / log(FAN)``, that mass is
    known to the part ``levels * CELL / 2`` of itself (of the whole mass where ``finest`` is None), and
    exactly as long as n is below `LEAF`. It is kept in O(log n) summaries of
    ``(1 + log(n * CELL)) / CELL`` points at most.

    Parameters
    ----------
    finest : float or None
        The width of the cells at the top, see `summarise`: 1 for masses that are counts.
    """

    def __init__(self, finest: float | None) -> None:
        self.finest = finest
        self._levels: list[list[Points]] = []

    @property
    def levels(self) -> int:
        """How often a score may have been summarised."""
        return len(self._levels)

    def add(self, points: Points, level: int = 0) -> None:
        """Take in points that were summarised ``level`` times, and summarise them once more."""
        while len(self._levels) <= level:
            self._levels.append([])
        self._levels[level].append(summarise(points, self.finest))
        if len(self._levels[level]) == FAN:
            full, self._levels[level] = self._levels[level], []
            self.add(join(full), level + 1)

    def merge(self, other: "Sketch") -> None:
        """Take in all that another sketch holds, and leave that as it is."""
        for level, summaries in enumerate(other._levels):
            for points in summaries:
                self.add(points, level)

    def __iter__(self) -> Iterator[Points]:
        return (points for summaries in self._levels for points in summaries)


def join(parts: list[Points]) -> Points:
    """Return all points of several sorted lists as one."""
    if len(parts) == 1:
        return parts[0]
    scores = np.concatenate([part.scores for part in parts])
    return sort_points(scores, np.concatenate([part.weighted for part in parts]))
