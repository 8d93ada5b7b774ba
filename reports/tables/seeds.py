"""One measure over several seeds: means, standard deviations and confidence intervals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from store.table import ended, labels, rows

MEAN = "mean"
CONFIDENCE = 0.95
# with fewer seeds the deviation itself is too uncertain for an interval
ENOUGH_SEEDS = 5
# more seeds than these, if there are no gaps, are named by the first and the last
LISTED_SEEDS = 5


@dataclass(frozen=True)
class Spread:
    """Variation of a table's entries with the seed; the frames have the table's shape.

    Attributes
    ----------
    deviations
        Sample standard deviations (ddof = 1), undefined below two seeds.
    counts
        Number of seeds with a value; in rows of means, with a value for every category.
    seeds
        All seeds of the table.
    """

    deviations: pd.DataFrame
    counts: pd.DataFrame
    seeds: list[str]


def values_by_seed(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the values of one measure, seeds not averaged.

    Returns
    -------
    A row per category, a column per method and seed; NaN for what failed, was not run or is undefined. Empty if
    no cell has the measure.
    """
    # rows and columns of the whole table: a method or category without any value counts as missing
    named = cells.assign(category=rows, label=labels)
    chosen = named[(named["metric"] == metric) & (named["status"] == "FINISHED")]
    if chosen.empty:
        return pd.DataFrame()
    columns = pd.MultiIndex.from_product(
        [pd.unique(named["label"]), seeds_of(cells)], names=["label", "seed"]
    )
    return (
        chosen.groupby(["category", "label", "seed"])["value"]
        .mean()
        .unstack(["label", "seed"])
        .reindex(index=pd.unique(named["category"]), columns=columns)
        .rename_axis(index="category")
    )


def summary(
    cells: pd.DataFrame, metric: str, means: Mapping[str, Sequence[str]]
) -> tuple[pd.DataFrame, Spread] | None:
    """Return the means of one measure over seeds and categories, and their variation with the seed.

    Parameters
    ----------
    cells
        The tidy table.
    metric
        Name of the measure.
    means
        Rows of means to add, {name: categories covered}, in their order.

    Returns
    -------
    A row per category and mean, a column per method. An entry is the mean over the seeds that have a value. In
    a row of means, it is the mean over categories of each seed, averaged over the seeds that have a value for
    every category; where no seed does, the mean over the categories that the method has a value for.
    None if no cell has the measure.
    """
    values = values_by_seed(cells, metric)
    if values.empty:
        return None
    averages = {name: values.loc[[*members]].mean(skipna=False) for name, members in means.items()}
    values = pd.concat([values, pd.DataFrame(averages).T]).rename_axis(index="category")
    by_method = values.T.groupby(level="label", sort=False)
    table, deviations, counts = (
        frame.T.rename_axis(columns=None) for frame in (by_method.mean(), by_method.std(), by_method.count())
    )
    for name, members in means.items():
        table.loc[name] = table.loc[name].fillna(table.loc[[*members]].mean())
    return table, Spread(deviations, counts, seeds_of(cells))


def tidy(table: pd.DataFrame, spread: Spread) -> pd.DataFrame:
    """Return a table of means with its spread, a row per entry.

    Returns
    -------
    The columns `category`, `method`, `mean`, `std`, `seeds` (number), and `low` and `high`: the confidence
    interval of the mean by Student's t, for at least `ENOUGH_SEEDS` seeds. A mean over categories has 0 seeds
    where no seed has a value for every category, see `summary`.
    """
    parts = {"mean": table, "std": spread.deviations, "seeds": spread.counts}
    entries = pd.DataFrame(
        {name: part.rename_axis(index="category", columns="method").stack() for name, part in parts.items()}
    )
    enough = entries["seeds"].where(entries["seeds"] >= ENOUGH_SEEDS)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, enough - 1) * entries["std"] / np.sqrt(enough)
    return entries.assign(low=entries["mean"] - half, high=entries["mean"] + half).reset_index()


def seeds_of(cells: pd.DataFrame) -> list[str]:
    """Return the seeds of the finished and failed cells, in ascending order."""
    return sorted(pd.unique(ended(cells)["seed"]), key=int)


def describe_seeds(seeds: list[str], metric: str, mean: str = MEAN) -> str:
    """Return the part of a caption about seeds: which, and how entries and the row of means summarise them."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    parts = [f"mean ± standard deviation over {len(seeds)} seeds ({_listed(map(int, seeds))})"]
    if mean:
        parts.append(
            f"row {mean}: the same for each seed's mean over all categories, without seeds that lack one"
        )
    if len(seeds) >= ENOUGH_SEEDS:
        parts.append(
            f"{100 * CONFIDENCE:.0f} % confidence intervals where n is at least {ENOUGH_SEEDS} seeds, in "
            f"{metric}_seeds.csv: mean ± t s / sqrt(n), with the deviation s and Student's t for n - 1 degrees "
            "of freedom"
        )
    return "; ".join(parts)


def _listed(seeds: Iterable[int]) -> str:
    """Name the seeds one by one, or a long range by its first and last."""
    first, *_, last = numbers = list(seeds)
    if len(numbers) > LISTED_SEEDS and numbers == list(range(first, last + 1)):
        return f"{first} to {last}"
    return ", ".join(map(str, numbers))
