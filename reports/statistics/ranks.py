"""Tests of methods over categories: average ranks, Friedman's test, and Wilcoxon's test of two methods."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

ALPHA = 0.05
RESAMPLES = 9999
# values and differences that are equal up to rounding errors are ties
DECIMALS = 9
BATCH = 2**22
"""So many values are permuted at once, which bounds the memory."""
EXACT = 200
"""Wilcoxon's test is exact for at most so many differences; for more, the normal distribution is as good."""


@dataclass(frozen=True)
class Friedman:
    """Friedman's test of the hypothesis that all methods rank alike.

    Attributes
    ----------
    chi_squared, p_chi_squared
        The statistic, corrected for ties, and its p by the chi-squared distribution (Friedman, 1937).
    f, p_f
        The statistic of Iman and Davenport (1980), which Demsar (2006, section 3.2.2) prefers, and its p by the F
        distribution; NaN where every category ranks the methods in the same order.
    p
        By permuting the values within categories, valid for any number of categories. All permutations if there
        are at most `RESAMPLES`, otherwise `RESAMPLES` random ones, always the same.
    """

    chi_squared: float
    p_chi_squared: float
    f: float
    p_f: float
    p: float


def average_ranks(table: pd.DataFrame) -> "pd.Series[float]":
    """Return each method's mean rank over categories; 1 is the largest value, and ties share their ranks.

    Parameters
    ----------
    table
        A row per category, a column per method, without missing values; larger is better.
    """
    return _ranks(table).mean()


def friedman(table: pd.DataFrame) -> Friedman:
    """Test whether three or more methods rank alike; `table` as in `average_ranks`."""
    ranks = _ranks(table).to_numpy()
    categories, methods = ranks.shape
    if (ranks == ranks[:, :1]).all():
        return Friedman(0.0, 1.0, 0.0, 1.0, 1.0)
    chi_squared, p_chi_squared = map(float, stats.friedmanchisquare(*ranks.T))
    rest = categories * (methods - 1) - chi_squared
    # a remainder as small as rounding errors is zero variance
    f = math.nan if rest < 10**-DECIMALS else (categories - 1) * chi_squared / rest
    p_f = float(stats.f.sf(f, methods - 1, (methods - 1) * (categories - 1)))
    permuted = stats.permutation_test(
        tuple(ranks.T),
        _sum_of_squares,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, BATCH // ranks.size),
        alternative="greater",
        rng=0,
    )
    return Friedman(chi_squared, p_chi_squared, f, p_f, float(permuted.pvalue))


def pairwise(table: pd.DataFrame) -> pd.DataFrame:
    """Compare every two methods by Wilcoxon's signed-rank test, two-sided; `table` as in `average_ranks`.

    Differences of zero count half to each side (Demsar, 2006, section 3.1.3). p is exact, also with ties.

    Returns
    -------
    A row per pair, `first` and `second`, in the order of the columns: `median_difference`, first minus second;
    `effect_size`, the matched-pairs rank-biserial correlation (Kerby, 2014), 1 where the first is better in
    every category and -1 where the second is; `better`, `equal`, `worse`, the numbers of categories in which the
    first is; `p`; and `p_holm`, corrected for the number of pairs by Holm (1979).
    """
    compared = [
        {"first": first, "second": second}
        | _compare(table[first].to_numpy(float), table[second].to_numpy(float))
        for first, second in itertools.combinations(table.columns, 2)
    ]
    frame = pd.DataFrame(compared)
    return frame.assign(p_holm=multipletests(frame["p"].to_numpy(), method="holm")[1])


def p_values(pairs: pd.DataFrame, test: Friedman | None, labels: Sequence[str]) -> pd.DataFrame:
    """Return the p-values of all pairs as a matrix: Holm's, or 1 where Friedman's test finds no difference.

    Parameters
    ----------
    pairs
        See `pairwise`.
    test
        None for two methods, which Friedman's test does not compare.
    labels
        The methods.
    """
    matrix = pd.DataFrame(1.0, index=[*labels], columns=[*labels])
    if test is None or test.p < ALPHA:
        for first, second, p in pairs[["first", "second", "p_holm"]].itertuples(index=False):
            matrix.loc[first, second] = matrix.loc[second, first] = p
    return matrix


def smallest_p(categories: int, comparisons: int = 1) -> float:
    """Return the smallest p that Wilcoxon's two-sided test can reach.

    Two of the 2^n possible sign patterns of n differences are extreme: all positive or all negative. Holm's
    correction multiplies the smallest p by the number of comparisons.

    Examples
    --------
    >>> smallest_p(4), smallest_p(10, comparisons=15)
    (0.125, 0.029296875)
    """
    return min(1.0, comparisons * 2.0 ** (1 - categories))


def _ranks(table: pd.DataFrame) -> pd.DataFrame:
    return table.round(DECIMALS).rank(axis=1, ascending=False)


def _sum_of_squares(*ranks: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the only term of Friedman's statistic that permutations change."""
    return sum((each.sum(axis=axis) ** 2 for each in ranks), np.zeros(()))


def _compare(first: NDArray[np.float64], second: NDArray[np.float64]) -> dict[str, float]:
    differences = (first - second).round(DECIMALS)
    signs, ranks = np.sign(differences), stats.rankdata(np.abs(differences))
    return {
        "median_difference": float(np.median(differences)),
        "effect_size": float(np.sum(signs * ranks) / ranks.sum()),
        "better": int(np.sum(differences > 0)),
        "equal": int(np.sum(differences == 0)),
        "worse": int(np.sum(differences < 0)),
        "p": _signed_rank_p(signs, ranks),
    }


def _signed_rank_p(signs: NDArray[np.float64], ranks: NDArray[np.float64]) -> float:
    """Return the probability of a sum of signed ranks at least this far from zero if signs are random.

    Exact up to `EXACT` differences; `scipy.stats.wilcoxon` is exact without ties only, or by trying all sign patterns.
    """
    if np.count_nonzero(signs) > EXACT:
        deviation = math.sqrt(np.sum(ranks[signs != 0] ** 2))  # of a sum of ranks with random signs
        return float(2 * stats.norm.sf(abs(np.sum(signs * ranks)) / deviation))
    doubled = (2 * ranks[signs != 0]).astype(int)  # tied ranks may be halves
    chances = np.ones(1)  # probability of each sum of the positive ranks
    for rank in doubled:
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    sums = 2 * np.arange(len(chances)) - doubled.sum()
    observed = abs(int((2 * signs * ranks).sum()))
    return float(min(1.0, chances[np.abs(sums) >= observed].sum()))
