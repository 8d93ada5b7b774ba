"""The values of one measure over several seeds: standard deviations and confidence intervals."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

MEAN = "mean"
CONFIDENCE = 0.95
# the deviation of fewer seeds is itself too uncertain for an interval
ENOUGH_SEEDS = 5
# more than these, if there are no gaps, are named by the first and the last
LISTED_SEEDS = 5


@dataclass(frozen=True)
class Spread:
    """How the entries of a table vary with the seed; the frames have the table's shape.

    Attributes
    ----------
    deviations
        Sample standard deviations (ddof = 1), undefined below two seeds.
    counts
        How many seeds have a value; in the row of means, a value for every category.
    seeds
        The seeds of the table, of which entries may lack some.
    """

    deviations: pd.DataFrame
    counts: pd.DataFrame
    seeds: list[str]


def values_by_seed(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the values of one measure before seeds are averaged.

    Returns
    -------
    A row per category and their mean, a column per method and seed. What failed, was not run or is undefined
    is NaN, and so is the mean of a seed that lacks a category. Empty if nothing has the measure.
    """
    # rows are named before cells are chosen: a dataset of which nothing has the measure counts too
    ended = _ended(cells).assign(category=_rows, label=_labels)
    chosen = ended[(ended["metric"] == metric) & (ended["status"] == "FINISHED")]
    if chosen.empty:
        return pd.DataFrame()
    columns = pd.MultiIndex.from_product(
        [pd.unique(ended["label"]), seeds_of(cells)], names=["label", "seed"]
    )
    values = (
        chosen.groupby(["category", "label", "seed"])["value"]
        .mean()
        .unstack(["label", "seed"])
        .reindex(index=pd.unique(ended["category"]), columns=columns)
        .rename_axis(index="category")
    )
    values.loc[MEAN] = values.mean(skipna=False)
    return values


def spread_of(cells: pd.DataFrame, metric: str) -> Spread:
    """Return the deviations and numbers of seeds that belong to the table of one measure."""
    by_method = values_by_seed(cells, metric).T.groupby(level="label", sort=False)
    deviations, counts = (frame.T.rename_axis(columns=None) for frame in (by_method.std(), by_method.count()))
    return Spread(deviations, counts, seeds_of(cells))


def tidy(table: pd.DataFrame, spread: Spread) -> pd.DataFrame:
    """Return a table of means with its spread, a row per entry.

    Returns
    -------
    The columns `category`, `method`, `mean`, `std`, `seeds` (how many), and `low` and `high`: the confidence
    interval of the mean by Student's t, from `ENOUGH_SEEDS` seeds on. A mean over categories of 0 seeds is
    one that no seed has in full, see `comparison`.
    """
    parts = {"mean": table, "std": spread.deviations, "seeds": spread.counts}
    entries = pd.DataFrame(
        {name: part.rename_axis(index="category", columns="method").stack() for name, part in parts.items()}
    )
    enough = entries["seeds"].where(entries["seeds"] >= ENOUGH_SEEDS)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, enough - 1) * entries["std"] / np.sqrt(enough)
    return entries.assign(low=entries["mean"] - half, high=entries["mean"] + half).reset_index()


def seeds_of(cells: pd.DataFrame) -> list[str]:
    """Return the seeds of the cells that ran to an end, well or not, in ascending order."""
    return sorted(pd.unique(_ended(cells)["seed"]), key=int)


def describe_seeds(seeds: list[str], metric: str) -> str:
    """Return what a caption says of the seeds: which, and how entries sum them up."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    parts = [
        f"mean ± standard deviation over {len(seeds)} seeds ({_listed(map(int, seeds))})",
        f"row {MEAN}: the same of each seed's mean over all categories, leaving out seeds that lack one",
    ]
    if len(seeds) >= ENOUGH_SEEDS:
        parts.append(
            f"{100 * CONFIDENCE:.0f} % confidence intervals where n is at least {ENOUGH_SEEDS} seeds, in "
            f"{metric}_seeds.csv: mean ± t s / sqrt(n), with the deviation s and Student's t for n - 1 degrees "
            "of freedom"
        )
    return "; ".join(parts)


def _listed(seeds: Iterable[int]) -> str:
    """Name the seeds one by one, or many without gaps by the first and the last."""
    first, *_, last = numbers = list(seeds)
    if len(numbers) > LISTED_SEEDS and numbers == list(range(first, last + 1)):
        return f"{first} to {last}"
    return ", ".join(map(str, numbers))


def _ended(cells: pd.DataFrame) -> pd.DataFrame:
    return cells[cells["status"].isin(["FINISHED", "FAILED"])]


def _labels(cells: pd.DataFrame) -> "pd.Series[str]":
    return cells["method"].where(cells["variant"] == "", cells["method"] + " (" + cells["variant"] + ")")


def _rows(cells: pd.DataFrame) -> "pd.Series[str]":
    if cells["dataset"].nunique() == 1:
        return cells["category"]
    return cells["dataset"] + " " + cells["category"]
