"""One measure over several seeds: means, standard deviations and confidence intervals."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from reports.remembered import remembered
from store.table import ROWS_OF_MEANS, ended, labels, rows
from store.text import counted, listed

MEAN = ROWS_OF_MEANS[0]
CONFIDENCE = 0.95
# with fewer seeds the deviation itself is too uncertain for an interval
ENOUGH_SEEDS = 5
# more seeds than these, if there are no gaps, are named by the first and the last
LISTED_SEEDS = 5


Seeds = Mapping[str, Sequence[str]]
"""{method: its seeds}."""


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
        The seeds of each column, see `seeds_of`.
    """

    deviations: pd.DataFrame
    counts: pd.DataFrame
    seeds: Seeds


@remembered
def values_by_seed(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the values of one measure, seeds not averaged.

    Returns
    -------
    A row per category, a column per method and each of its seeds; NaN for what failed, was not run or is undefined.
    Empty if no cell has the measure.
    """
    # rows and columns of the whole table: a method or category without any value counts as missing
    named = cells.assign(category=rows, label=labels)
    chosen = named[(named["metric"] == metric) & (named["status"] == "FINISHED")]
    if chosen.empty:
        return pd.DataFrame()
    pairs = [(label, seed) for label, seeds in seeds_of(cells).items() for seed in seeds]
    columns = pd.MultiIndex.from_tuples(pairs, names=["label", "seed"])
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


@remembered
def seeds_of(cells: pd.DataFrame) -> Seeds:
    """Return the seeds of each method's finished and failed cells, in ascending order; of all cells if none has ended.

    Methods need not have the same seeds: those of another method are not missing.
    """
    named = cells.drop_duplicates(["method", "variant", "seed", "status"]).assign(label=labels)
    known = {str(label): own["seed"] for label, own in ended(named).groupby("label")}
    return {
        str(label): sorted(pd.unique(known.get(str(label), own["seed"])), key=seed_order)
        for label, own in named.groupby("label", sort=False)
    }


def several_seeds(seeds: Seeds) -> bool:
    """Return whether a method has more than one seed."""
    return any(len(own) > 1 for own in seeds.values())


def all_seeds(seeds: Seeds) -> list[str]:
    """Return the seeds of all methods, in ascending order."""
    return sorted({seed for own in seeds.values() for seed in own}, key=seed_order)


def seed_order(seed: str) -> tuple[int, str]:
    """Return the key by which seeds are sorted: as numbers, and what is none last."""
    return (int(seed), "") if seed.isdecimal() else (2**63, seed)


def describe_seeds(seeds: Seeds, what: str = "mean") -> str:
    """Return which seeds the methods have, in a phrase; methods with other seeds than others are named.

    Parameters
    ----------
    seeds
        See `seeds_of`.
    what
        What entries are if a method has several seeds.

    Examples
    --------
    >>> describe_seeds({"rd": ["0"], "stfpm": ["0"]}), describe_seeds({"rd": ["42"], "stfpm": ["0"]})
    ('seed 0', 'seed 42 of rd and 0 of stfpm')
    >>> describe_seeds({"rd": ["0", "1"]})
    'mean over 2 seeds (0, 1)'
    >>> describe_seeds({"rd": ["0", "1"], "stfpm": ["0"]})
    'mean over the seeds of each method (0, 1 of rd and 0 of stfpm)'
    """
    owners: dict[tuple[str, ...], list[str]] = {}
    for label, own in seeds.items():
        owners.setdefault(tuple(own), []).append(label)
    each = " and ".join(f"{_named(own)} of {listed(names)}" for own, names in owners.items())
    if not several_seeds(seeds):
        return f"seed {each if len(owners) > 1 else listed(all_seeds(seeds))}"
    if len(owners) == 1:
        (own,) = owners
        return f"{what} over {counted(len(own), 'seed')} ({_named(own)})"
    return f"{what} over the seeds of each method ({each})"


def explain_seeds(seeds: Seeds, metric: str, mean: str = MEAN) -> str:
    """Return the part of a caption about seeds: which, and how entries and the row of means summarise them."""
    if not several_seeds(seeds):
        return describe_seeds(seeds)
    parts = [describe_seeds(seeds, "mean ± standard deviation")]
    if mean:
        parts.append(f"row {mean}: computed per seed over all categories, then averaged over complete seeds")
    if max(map(len, seeds.values())) >= ENOUGH_SEEDS:
        parts.append(
            f"{100 * CONFIDENCE:.0f} % confidence intervals where n is at least {ENOUGH_SEEDS} seeds, in "
            f"{metric}_seeds.csv: mean ± t s / sqrt(n), with the deviation s and Student's t for n - 1 degrees "
            "of freedom"
        )
    return "; ".join(parts)


def _named(seeds: Collection[str]) -> str:
    """Name seeds one by one, or a long range by its first and last."""
    numbers = [int(seed) for seed in seeds if seed.isdecimal()]
    if len(seeds) > LISTED_SEEDS and numbers == list(range(numbers[0], numbers[0] + len(seeds))):
        return f"{numbers[0]} to {numbers[-1]}"
    return listed(seeds)
