"""What test images leave open: 95 % intervals of measures, of their means, and of differences between methods."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metrics import CONFIDENCE, interval, interval_of_difference
from reports.measured import finished
from reports.remembered import remembered
from reports.tables.seeds import seeds_of, several_seeds
from store.artifacts import Artifacts
from store.replicates import StoredReplicates
from store.table import labels, rows
from store.tags import TEST_IMAGES
from store.text import counted

Interval = tuple[float, float]


@dataclass(frozen=True)
class Resampled:
    """A measure of a method on R resamples of the test images, averaged over its seeds and some categories.

    Attributes
    ----------
    values
        (R,).
    images
        Test images of the rarer class, summed over the categories.
    drawn
        The digest of each category's test images: where two methods have the same, they have the same resamples.
    """

    values: NDArray[np.float64]
    images: int
    drawn: tuple[str, ...]


class Intervals:
    """The intervals of a report's tables, from the resamples that cells keep.

    An entry has none where a cell that belongs to it has none, or where the resamples are all alike.

    Parameters
    ----------
    artifacts
        The files of the cells.
    """

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    def of_mean(
        self, cells: pd.DataFrame, metric: str, label: str, members: Sequence[str], value: float
    ) -> Interval | None:
        """Return the interval of a method's mean over categories and seeds.

        Parameters
        ----------
        cells
            The tidy table.
        metric, label
            The measure, and the method's label.
        members
            The categories, as rows of the table.
        value
            The mean itself.
        """
        own = self._resampled(cells, metric, label, members)
        return None if own is None else interval(value, own.values, own.images, len(members))

    def of_difference(
        self, cells: pd.DataFrame, metric: str, pair: tuple[str, str], members: Sequence[str], value: float
    ) -> Interval | None:
        """Return the interval of the difference of two methods' means, the first minus the second, paired by images."""
        first, second = (self._resampled(cells, metric, label, members) for label in pair)
        if first is None or second is None or first.drawn != second.drawn:
            return None
        if first.values.shape != second.values.shape:
            return None
        return interval_of_difference(value, first.values - second.values, first.images, len(members))

    def missing(self, cells: pd.DataFrame) -> list[str]:
        """Return a sentence on the measured cells that keep no resamples, if there are any."""
        runs = pd.unique(finished(cells)["run_id"])
        lacking = sum(self._replicates(run) is None for run in runs)
        if not lacking:
            return []
        return [
            f"{lacking} of {counted(len(runs), 'measured cell')} have no 95 % intervals, as their test images were not "
            "resampled (evaluation.bootstrap=0, or an earlier version); the same sweep again, with "
            "evaluation.bootstrap=1000, measures them and trains nothing."
        ]

    def _resampled(
        self, cells: pd.DataFrame, metric: str, label: str, members: Sequence[str]
    ) -> Resampled | None:
        found = [self._of_category(cells, metric, label, row) for row in members]
        known = [each for each in found if each is not None]
        if len(known) < len(members) or not members or len({each.values.shape for each in known}) > 1:
            return None
        values = np.mean([each.values for each in known], axis=0)
        return Resampled(
            values, sum(each.images for each in known), tuple(d for each in known for d in each.drawn)
        )

    def _of_category(self, cells: pd.DataFrame, metric: str, label: str, row: str) -> Resampled | None:
        runs = _runs(cells).get((row, label), [])
        found = [self._replicates(run) for run, _ in runs]
        own = [each for each in found if each is not None and metric in each.values]
        drawn = {digest for _, digest in runs}
        if len(own) < len(seeds_of(cells)[label]) or len(drawn) > 1:
            return None
        if len({each.values[metric].shape for each in own}) > 1:
            return None
        values = np.mean([each.values[metric].astype(np.float64) for each in own], axis=0)
        return Resampled(values, min(each.images for each in own), tuple(drawn))

    @cache  # noqa: B019 (lives as long as the report)
    def _replicates(self, run_id: str) -> StoredReplicates | None:
        return self._artifacts.replicates(run_id)


@remembered
def _runs(cells: pd.DataFrame) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Return {(category, method): [(run, digest of its test images)]} of the measured cells."""
    named = finished(cells.assign(row=rows, label=labels)).drop_duplicates("run_id")
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row, label, run, digest in named[["row", "label", "run_id", TEST_IMAGES]].itertuples(index=False):
        found.setdefault((row, label), []).append((run, digest))
    return found


def about_intervals(cells: pd.DataFrame) -> str:
    """Return what a caption says of intervals."""
    seeds = ", of the mean over seeds" if several_seeds(seeds_of(cells)) else ""
    return (
        f"in brackets: {100 * CONFIDENCE:.0f} % intervals over test images{seeds}, by a stratified bootstrap (another "
        "training or threshold would add to them); none where no resample differs"
    )
