"""Weighted scores in bounded memory: how much lies above any score, to a known part of itself."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.pixels import at_or_below

#: A summary keeps cells of this part of all that lies above them, and errs by half a cell.
CELL = 2**-16
#: Summaries that are kept at most.
SUMMARIES = 12
#: Summaries are merged about this many points at a time.
BAND = 2**16

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

    @property
    def total(self) -> float:
        """All masses together."""
        return float(self.scores.size if self.masses is None else self.masses.sum())

    def __getitem__(self, part: slice) -> "Points":
        return Points(self.scores[part], None if self.masses is None else self.masses[part])

    def from_place(self, places: NDArray[np.int64]) -> Masses | NDArray[np.int64]:
        """Return the mass of the scores from some places on, (m,)."""
        if self.masses is None:
            return self.scores.size - places
        # from the top, so that small masses there are not lost in the large ones below
        return np.append(0.0, np.cumsum(self.masses[::-1]))[self.scores.size - places]

    def distinct(self) -> "Points":
        """Join equal scores."""
        starts = np.flatnonzero(np.append(True, self.scores[1:] != self.scores[:-1]))
        if self.masses is None:
            return Points(self.scores[starts], np.diff(starts, append=self.scores.size).astype(np.float64))
        return Points(self.scores[starts], np.add.reduceat(self.masses, starts))


@dataclass(frozen=True, eq=False)
class Cells:
    """Scores (n,), ascending, that stand for the cells into which a total mass is cut, see `summarise`."""

    scores: Scores
    total: float
    finest: float

    def __getitem__(self, part: slice) -> Points:
        start, stop, _ = part.indices(self.scores.size)
        return Points(self.scores[part], -np.diff(self.from_place(np.arange(start, stop + 1))))

    def from_place(self, places: NDArray[np.int64]) -> Masses:
        """Return the mass of the cells from some places on, (m,)."""
        return _cuts(self.scores.size - places, self.total, self.finest)


Summary = Points | Cells


def sort_points(scores: Scores, masses: Masses) -> Points:
    """Bring scores with masses into ascending order."""
    order = np.argsort(scores)
    return Points(scores[order], masses[order])


def summarise(points: Points, finest: float | None) -> Summary:
    """Represent many points by few, so that the mass above each score changes by at most half a cell.

    From the highest score down, the mass is cut into cells: of the width ``finest``, and where more lies
    above than ``finest / CELL``, of the part ``CELL`` of what lies above. A cell is represented by the score
    in its middle, so for any score t the cells represented at or above t are those above a cut that is at
    most half a cell off the mass at or above t; the same holds strictly above t. A score heavier than a
    cell is the middle of many, so ties keep their mass to the same half cells. Where ``finest`` is None,
    all cells have the part ``CELL`` of the whole mass. Points that are not more than the cells, after
    equal scores are joined, are kept: then nothing changes at all.
    """
    total = points.total
    finest = total * CELL if finest is None else finest
    middles = _middles(total, finest)
    if np.count_nonzero(points.scores[1:] != points.scores[:-1]) < middles.size:
        return points.distinct()
    if points.masses is None:
        places = np.ceil(middles).astype(np.int64) - 1
    else:
        places = np.searchsorted(np.cumsum(points.masses[::-1]), middles)
    # rounding may put the last middle beyond the sum of all masses
    places = points.scores.size - 1 - np.minimum(places, points.scores.size - 1)
    return Cells(points.scores[places[::-1]], total, finest)


def merge(parts: Sequence[Summary], finest: float | None) -> Summary:
    """`summarise` all points of several summaries without joining them all at once."""
    total = sum(part.total for part in parts)
    finest = total * CELL if finest is None else finest
    middles = _middles(total, finest)
    # rounding may put the last middle beyond the sum of all masses
    lowest = min(part.scores[0] for part in parts)
    picked = np.full(middles.size, lowest, np.result_type(*(part.scores for part in parts)))
    kept: list[Points] = []
    size, start, above = 0, 0, 0.0
    for band in _bands(parts):
        size += band.scores.size
        if size <= middles.size:
            kept.append(band)
        else:
            kept.clear()
        mass = above + np.cumsum(band.weighted[::-1])
        above = mass[-1]
        stop = start + np.searchsorted(middles[start:], above, side="right")
        picked[start:stop] = band.scores[::-1][np.searchsorted(mass, middles[start:stop])]
        start = stop
    return join(kept) if size <= middles.size else Cells(picked[::-1].copy(), total, finest)


def _bands(parts: Sequence[Summary]) -> Iterator[Points]:
    """Go through all points of several summaries, from the highest score down, with equal scores joined."""
    step = max(1, BAND // len(parts))
    every = np.sort(np.concatenate([part.scores[::step] for part in parts]))
    borders = np.unique(every[:: len(parts)])
    ends = [np.append(np.searchsorted(part.scores, borders), part.scores.size) for part in parts]
    for band in reversed(range(borders.size)):
        pieces = [part[end[band] : end[band + 1]] for part, end in zip(parts, ends, strict=True)]
        yield join(pieces).distinct()


def _cuts(cells: NDArray[np.int64], total: float, finest: float) -> Masses:
    """Return the mass of so many cells from the top, (m,)."""
    cuts = CELL * cells
    np.exp(cuts - 1, out=cuts, where=cuts > 1)
    cuts *= finest / CELL
    return np.minimum(cuts, total, out=cuts)


def _middles(total: float, finest: float) -> Masses:
    """Return the middles of all cells, as the mass above each."""
    part = total * CELL / finest
    cells = math.ceil((part if part <= 1 else 1 + math.log(part)) / CELL)
    cuts = _cuts(np.arange(cells + 1), total, finest)
    return (cuts[1:] + cuts[:-1]) / 2


class _Buffer:
    """Numbers that arrive in parts, in an array for ``size`` of them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0
        self._items: NDArray[Any] = np.empty(0, np.float32)

    @property
    def filled(self) -> NDArray[Any]:
        """What has arrived, as a view."""
        return self._items[: self.used]

    def append(self, items: NDArray[np.floating]) -> None:
        """Take in numbers, in the widest precision of all so far."""
        dtype = np.result_type(self._items, items)
        if self._items.size < self.size or self._items.dtype != dtype:
            larger = np.empty(self.size, dtype)
            larger[: self.used] = self.filled
            self._items = larger
        self._items[self.used : self.used + items.size] = items
        self.used += items.size

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_items": self.filled}


class Sketch:
    """A multiset of scores with masses, of which any number arrives and few are kept.

    What arrives is kept as it is up to a leaf of scores, then summarised; once there are `SUMMARIES`, those
    of the lowest level become one of the next (Manku, Rajagopalan and Lindsay, "Approximate medians and other
    quantiles in one pass and with limited memory", SIGMOD 1998). Each level adds half a cell to the error of
    the mass above a score, and masses and errors of summaries add up, however they were merged. So with
    n scores, that mass is known to the part ``levels * CELL / 2`` of itself (of the whole mass where
    ``finest`` is None), and exactly as long as n is below a leaf. A summary has
    ``(1 + log(n * CELL)) / CELL`` scores at most.

    Parameters
    ----------
    finest : float or None
        The width of the cells at the top, see `summarise`: 1 for masses that are counts.
    leaf : int
        Scores that are kept as they are before they are summarised.
    """

    def __init__(self, finest: float | None, leaf: int) -> None:
        self.finest = finest
        self.leaf = leaf
        self._levels: list[list[Summary]] = []
        self._scores = _Buffer(leaf)
        self._masses = _Buffer(leaf)

    @property
    def levels(self) -> int:
        """How often a score may have been summarised."""
        return len(self._levels)

    def add(self, scores: Scores, masses: Masses | None = None) -> None:
        """Take in scores in any order, and the mass of each; None where each has the mass 1."""
        rest = Points(scores, masses)
        while rest.scores.size:
            fits = rest[: self.leaf - self._scores.used]
            self._scores.append(fits.scores)
            if fits.masses is not None:
                self._masses.append(fits.masses)
            rest = rest[fits.scores.size :]
            if self._scores.used == self.leaf:
                self._keep(summarise(self._rest(), self.finest), 0)
                self._scores.used = self._masses.used = 0

    def merge(self, other: "Sketch") -> None:
        """Take in all that another sketch holds, and leave that as it is."""
        for level, summaries in enumerate(other._levels):
            for summary in summaries:
                self._keep(summary, level)
        rest = other._rest()
        self.add(rest.scores, rest.masses)

    def above(self, scores: Scores) -> tuple[Masses, Masses]:
        """Return the mass above some scores, and at or above them, (m,) each."""
        above, at_or_above = np.zeros(scores.size), np.zeros(scores.size)
        for part in self._parts():
            for start in range(0, scores.size, BAND):
                some = slice(start, start + BAND)
                below = np.searchsorted(part.scores, scores[some])
                at_or_above[some] += part.from_place(below)
                above[some] += part.from_place(at_or_below(part.scores, scores[some], below))
        return above, at_or_above

    def at_or_above(self, score: float) -> float:
        """Return the mass at or above one score, compared exactly whatever the precision of those here."""
        exact = np.float64(score)
        return float(
            sum(part.from_place(np.array([bisect_left(part.scores, exact)]))[0] for part in self._parts())
        )

    def points(self) -> Points:
        """Return all points: as they are below a leaf, else summarised once more."""
        if not self._levels:
            return self._rest()
        parts = [summarise(part, self.finest) if isinstance(part, Points) else part for part in self._parts()]
        return merge(parts, self.finest)[:]

    def _parts(self) -> list[Summary]:
        """Return all summaries, and what has not been summarised if there is any."""
        parts = [summary for level in self._levels for summary in level]
        return [*parts, self._rest()] if self._scores.used else parts

    def _rest(self) -> Points:
        """Return what has not been summarised, in order."""
        if self._masses.used:
            return sort_points(self._scores.filled, self._masses.filled)
        self._scores.filled.sort()
        return Points(self._scores.filled, None)

    def _keep(self, summary: Summary, level: int) -> None:
        self._levels += [[] for _ in range(len(self._levels), level + 1)]
        self._levels[level].append(summary)
        if sum(map(len, self._levels)) == SUMMARIES:
            lowest: list[Summary] = []
            level = 0
            while len(lowest) < 2:
                lowest += self._levels[level]
                self._levels[level] = []
                level += 1
            self._keep(merge(lowest, self.finest), level)


def join(parts: list[Points]) -> Points:
    """Return all points of several sorted lists as one."""
    if len(parts) == 1:
        return parts[0]
    scores = np.concatenate([part.scores for part in parts])
    return sort_points(scores, np.concatenate([part.weighted for part in parts]))
