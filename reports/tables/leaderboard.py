"""The leaderboard: a row per method with what decides between them, the best first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import pandas as pd

from metrics import Confusion, is_oracle
from reports.answer import Lead, Standing, answer, differences
from reports.intervals import Intervals, about_intervals
from reports.measured import finished
from reports.model import DASH, Leaderboard, Sheet
from reports.statistics.ranks import ALPHA, smallest_p
from reports.statistics.tested import Tested, tested
from reports.tables.captions import brief, marking, title_of, words
from reports.tables.comparison import Entries, entries_of, samples
from reports.tables.cost import LATENCY, cost_by_method, machines
from reports.tables.entries import divided
from reports.tables.formatting import DIGITS, ranked
from reports.tables.groups import by_dataset, mean_rows
from reports.tables.seeds import MEAN, describe_seeds, seeds_of
from reports.tables.verdicts import heading, own_policies, own_verdicts
from store.display_names import dataset_name
from store.table import labels
from store.text import counted, listed

SHOWN = 3
"""So many measures have a column."""


def leaderboards(
    cells: pd.DataFrame,
    metrics: Sequence[str],
    relevant: float = 0.0,
    digits: int = DIGITS,
    intervals: Intervals | None = None,
) -> list[Leaderboard]:
    """Return a leaderboard per dataset on which the first measure is known.

    Parameters
    ----------
    cells
        The tidy table.
    metrics
        Names of measures; the first ranks the methods, and the first `SHOWN` have columns.
    relevant, digits
        See `comparison_sheet`; here, best and second of a column.
    intervals
        The intervals of means, and of differences from the best; None: there are none.
    """
    boards = [
        _Board(name, part, metrics[:SHOWN], relevant, digits, intervals)
        for name, part in by_dataset(cells, "leaderboard")
    ]
    return [board.made() for board in boards if board.metric in board.entries]


@dataclass(frozen=True)
class _Column:
    """A column of the leaderboard, by method; marks and `partial` only of measures."""

    title: str
    over: str
    values: "pd.Series[float] | pd.Series[str]"
    shown: "pd.Series[str]"
    best: "pd.Series[bool] | None" = None
    second: "pd.Series[bool] | None" = None
    partial: "pd.Series[bool] | None" = None
    percent: "pd.Series[str] | None" = None


@dataclass(frozen=True)
class _Board:
    """Makes the leaderboard of one dataset."""

    name: str
    cells: pd.DataFrame
    metrics: Sequence[str]
    relevant: float
    digits: int
    intervals: Intervals | None

    @property
    def metric(self) -> str:
        return self.metrics[0] if self.metrics else ""

    @cached_property
    def entries(self) -> dict[str, Entries]:
        found = {
            metric: entries_of(self.cells, metric, self.digits, self.intervals) for metric in self.metrics
        }
        return {metric: entries for metric, entries in found.items() if entries is not None}

    @cached_property
    def tested(self) -> Tested | None:
        return tested(self.cells, self.metric)

    @cached_property
    def done(self) -> pd.DataFrame:
        return finished(self.cells)

    @cached_property
    def verdicts(self) -> dict[str, tuple[Confusion | None, str]]:
        return {label: own_verdicts(self.done[labels(self.done) == label]) for label in self.order}

    @cached_property
    def order(self) -> list[str]:
        means = self.entries[self.metric].values.T[MEAN]
        return [str(label) for label in means.sort_values(ascending=False, kind="stable").index]

    @cached_property
    def standing(self) -> Standing:
        own = self.entries[self.metric]
        return Standing(
            title=title_of(self.metric),
            means=own.values.T[MEAN].loc[self.order],
            shown=own.shown.T[MEAN].loc[self.order].map(lambda text: divided(text)[0]),
            values=own.values.loc[[*mean_rows(self.cells)[MEAN]], self.order],
            p_values=self._p_values(),
            tested=len(samples(self.cells, self.metric)),
            seeds=max(map(len, seeds_of(self.cells).values())),
            verdicts={label: found for label, (found, _) in self.verdicts.items()},
            threshold=listed(
                f"{policy}{', an oracle' * is_oracle(policy)}" for policy in own_policies(self.cells)
            ),
            digits=self.digits,
            leads=self._leads(),
        )

    @cached_property
    def differences(self) -> pd.DataFrame:
        return differences(self.standing)

    def made(self) -> Leaderboard:
        """Return the leaderboard."""
        columns = [*self._measures(), *self._judged(), *self._latency(), *self._compared()]

        def frame(part: str) -> pd.DataFrame:
            return pd.DataFrame({column.title: getattr(column, part) for column in columns}, self._index)

        def flags(part: str) -> pd.DataFrame:
            own = {column.title: getattr(column, part) for column in columns}
            return pd.DataFrame(
                {title: False if marks is None else marks for title, marks in own.items()}, self._index
            )

        best, shown = flags("best"), frame("shown")
        sheet = Sheet(
            name=self.name,
            title=f"Leaderboard on {dataset_name(str(self.cells['dataset'].iloc[0]))}",
            caption="; ".join(filter(None, self._caption(bool(best.to_numpy().any()), shown))),
            values=frame("values"),
            shown=shown,
            best=best,
            second=flags("second"),
            partial=flags("partial"),
            spans=_spans(columns),
            brief=brief(self.cells).partition(", ")[2],  # the title has the dataset
            percent=shown.assign(**{c.title: c.percent for c in columns if c.percent is not None}),
            measures=len(self.entries),
            samples=None if self.tested is None else self.tested.samples,
        )
        own = self.standing
        return Leaderboard(sheet, answer(own), own.title, own.values, self.differences)

    @property
    def _index(self) -> pd.Index:
        return pd.Index(self.order, name="method")

    def _p_values(self) -> pd.DataFrame | None:
        """Return the p-values of all pairs; None where no difference can be significant."""
        if self.tested is None:
            return None
        categories, methods = self.tested.samples.shape
        return self.tested.p_values if smallest_p(categories, math.comb(methods, 2)) < ALPHA else None

    def _leads(self) -> dict[tuple[str, str], Lead]:
        """Return by how much each method leads each other one, where test images give an interval of it."""
        if self.intervals is None:
            return {}
        means, members = self.entries[self.metric].values.T[MEAN], mean_rows(self.cells)[MEAN]
        leads = {}
        for first, second in combinations(self.order, 2):
            ahead = float(means[first] - means[second])
            found = self.intervals.of_difference(self.cells, self.metric, (first, second), members, ahead)
            if found is not None:
                low, high = found
                leads[first, second], leads[second, first] = Lead(ahead, low, high), Lead(-ahead, -high, -low)
        return leads

    def _measures(self) -> list[_Column]:
        means = mean_rows(self.cells)
        over = f"mean over {counted(len(means[MEAN]), 'category')}" if len(means[MEAN]) > 1 else "measures"
        columns = []
        for metric, own in self.entries.items():
            best, second = ranked(own.values, means, self.relevant, self.digits)
            parts = (own.values, own.shown, best, second, own.partial, own.percent)
            columns.append(_Column(title_of(metric), over, *(part.T[MEAN].loc[self.order] for part in parts)))
        return columns

    def _judged(self) -> list[_Column]:
        """Return misses and false alarms at the thresholds of the runs; none if no cell has recorded any."""
        found = {label: (verdict, covered) for label, (verdict, covered) in self.verdicts.items() if verdict}
        if not found:
            return []
        columns = {
            "misses": {label: (own.misses, own.anomalous, more) for label, (own, more) in found.items()},
            "false alarms": {
                label: (own.false_alarms, own.normal, more) for label, (own, more) in found.items()
            },
        }
        over = f"threshold {listed(map(heading, own_policies(self.cells)))}"
        return [
            _Column(
                title,
                over,
                pd.Series({label: float(count) for label, (count, _, _) in counts.items()}).reindex(
                    self.order
                ),
                self._texts(
                    {label: f"{count} of {all_}{more}" for label, (count, all_, more) in counts.items()}
                ),
            )
            for title, counts in columns.items()
        ]

    def _latency(self) -> list[_Column]:
        costs = cost_by_method(self.done, LATENCY)
        if costs.empty:
            return []
        values = costs["mean"].reindex(self.order)
        shown = {str(label): f"{value:.3g}" for label, value in values.dropna().items()}
        return [_Column("ms per image", "cost", values, self._texts(shown))]

    def _compared(self) -> list[_Column]:
        """Return average ranks and differences from the best; none where nothing compares methods."""
        over, columns = f"by {self.standing.title}", []
        if self.tested is not None:
            ranks = self.tested.ranks.reindex(self.order)
            texts = {str(label): f"{rank:.2f}" for label, rank in ranks.dropna().items()}
            columns.append(_Column("average rank", over, ranks, self._texts(texts)))
        if self.tested is not None or self.standing.leads:
            columns.append(self._versus(over))
        return columns

    def _versus(self, over: str) -> _Column:
        """Return how the methods compare with the best: by the tests, and by the images of the test set."""
        best = self.standing.leaders[:1]
        versus = {label: self.differences[label][name] for name in best for label in self.order}
        texts = self._texts(versus)
        in_percent = differences(self.standing, percent=True)
        percent = self._texts({label: in_percent[label][name] for name in best for label in self.order})
        return _Column("against the best", over, texts.str.replace("\n", "; "), texts, percent=percent)

    def _texts(self, entries: dict[str, str]) -> "pd.Series[str]":
        return pd.Series(entries, dtype=object).reindex(self.order).fillna(DASH)

    def _caption(self, is_marked: bool, shown: pd.DataFrame) -> list[str]:
        seeds = seeds_of(self.cells)
        about = describe_seeds(seeds, "mean ± standard deviation")
        parts = [f"{about[0].upper()}{about[1:]}"]
        if "misses" in shown:
            parts.append(
                "misses and false alarms: wrong verdicts on anomalous and on normal images of all categories and seeds"
            )
        if "ms per image" in shown:
            parts.append(f"one image at a time with {listed(machines(self.done))}")
        if self.tested is not None:
            parts.append(
                f"ranks over {counted(len(self.tested.samples), 'category')}, 1 is best; against the best: Wilcoxon's "
                "signed-rank test with Holm's correction"
            )
        if self.intervals is not None:
            parts.append(about_intervals(self.cells))
        if self.standing.leads:
            parts.append("differences from the best: on the same resampled images")
        return [*parts, marking(is_marked, self.relevant, "column"), words(shown, seeds)]


def _spans(columns: Sequence[_Column]) -> tuple[tuple[str, int], ...]:
    """Return the headings over neighbouring columns."""
    spans: list[tuple[str, int]] = []
    for column in columns:
        if spans and spans[-1][0] == column.over:
            spans[-1] = (column.over, spans[-1][1] + 1)
        else:
            spans.append((column.over, 1))
    return tuple(spans)
