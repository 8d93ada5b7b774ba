"""The tests of one measure over the categories in which all methods have a value."""

from dataclasses import dataclass

import pandas as pd

from reports.remembered import remembered
from reports.statistics.ranks import Friedman, average_ranks, friedman, p_values, pairwise
from reports.tables.comparison import samples


@dataclass(frozen=True)
class Tested:
    """Ranks and tests of two or more methods over two or more categories.

    Attributes
    ----------
    samples
        (categories, methods), see `reports.tables.comparison.samples`.
    ranks
        See `average_ranks`.
    pairs
        See `pairwise`.
    friedman
        None for two methods, which Friedman's test does not compare.
    """

    samples: pd.DataFrame
    ranks: "pd.Series[float]"
    pairs: pd.DataFrame
    friedman: Friedman | None

    @property
    def p_values(self) -> pd.DataFrame:
        """The p-values of all pairs, see `reports.statistics.ranks.p_values`."""
        return p_values(self.pairs, self.friedman, list(self.samples.columns))


@remembered
def tested(cells: pd.DataFrame, metric: str) -> Tested | None:
    """Rank and test the methods in one measure; None with fewer than two methods or fewer than two categories."""
    table = samples(cells, metric)
    if min(table.shape) < 2:
        return None
    test = friedman(table) if table.shape[1] > 2 else None
    return Tested(table, average_ranks(table), pairwise(table), test)
