"""Tests over categories: ranks, Friedman, Wilcoxon with Holm, against the literature and against scipy."""

import itertools
import math
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scikit_posthocs as posthocs
from scipy import stats

from reports.figures.style import STYLE
from reports.statistics import ranks
from reports.statistics.ranks import average_ranks, friedman, pairwise, smallest_p
from reports.statistics.significance import limits_of, statistics_of
from tests.reports.made import NAN, cells, over_seeds

# Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006), table 6: AUC of C4.5 with m
# and cf tuned or not, on 14 UCI datasets. In the 13th row the paper prints 0.975 twice and ranks it 2 and 3, by digits
# that it does not print.
DEMSAR = pd.DataFrame(
    [
        (0.763, 0.768, 0.771, 0.798),
        (0.599, 0.591, 0.590, 0.569),
        (0.954, 0.971, 0.968, 0.967),
        (0.628, 0.661, 0.654, 0.657),
        (0.882, 0.888, 0.886, 0.898),
        (0.936, 0.931, 0.916, 0.931),
        (0.661, 0.668, 0.609, 0.685),
        (0.583, 0.583, 0.563, 0.625),
        (0.775, 0.838, 0.866, 0.875),
        (1.000, 1.000, 1.000, 1.000),
        (0.940, 0.962, 0.965, 0.962),
        (0.619, 0.666, 0.614, 0.669),
        (0.972, 0.981, 0.9751, 0.975),
        (0.957, 0.978, 0.946, 0.970),
    ],
    columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"],
)


def table(categories: int, methods: int, decimals: int = 9) -> pd.DataFrame:
    """Make values up; few decimals make ties."""
    random = np.random.default_rng(categories)
    return pd.DataFrame(random.random((categories, methods)).round(decimals), columns=[*"abcdefgh"[:methods]])


def made(values: pd.DataFrame) -> pd.DataFrame:
    """Make the tidy table of the same values."""
    return cells(*((str(m), f"c{c}", v) for m, column in values.items() for c, v in column.items()))


def test_average_ranks_are_those_of_demsar() -> None:
    assert average_ranks(DEMSAR).round(3).to_list() == [3.143, 2.0, 2.893, 1.964]


def test_friedmans_statistics_are_those_of_demsar_once_his_lack_of_a_correction_for_ties_is_undone() -> None:
    found = friedman(DEMSAR)
    ranks = DEMSAR.rank(axis=1).to_numpy()
    sizes = [np.unique(row, return_counts=True)[1] for row in ranks]
    ties = sum((size**3 - size).sum() for size in sizes) / (14 * (4**3 - 4))
    uncorrected = found.chi_squared * (1 - ties)
    assert uncorrected == pytest.approx(9.28, abs=0.005)
    assert 13 * uncorrected / (14 * 3 - uncorrected) == pytest.approx(3.69, abs=0.005)
    assert found.f == pytest.approx(13 * found.chi_squared / (14 * 3 - found.chi_squared))
    assert max(found.p, found.p_f, found.p_chi_squared) < 0.05


def test_wilcoxons_signed_ranks_are_those_of_demsar() -> None:
    found = pairwise(DEMSAR[["C4.5+m", "C4.5"]]).iloc[0]
    # table 2: R+ = 93 and R- = 12
    assert found["effect_size"] == pytest.approx((93 - 12) / (93 + 12))
    assert (found["better"], found["equal"], found["worse"]) == (10, 2, 2)
    # T = 12 is below 21, the critical value for 14 datasets
    assert found["p"] < 0.05


@pytest.mark.parametrize(("categories", "methods", "decimals"), [(5, 3, 9), (12, 6, 9), (9, 4, 1)])
def test_friedman_agrees_with_scipy(categories: int, methods: int, decimals: int) -> None:
    values = table(categories, methods, decimals)
    found, theirs = friedman(values), stats.friedmanchisquare(*values.to_numpy().T)
    assert found.chi_squared == pytest.approx(theirs.statistic)
    assert found.p_chi_squared == pytest.approx(theirs.pvalue)


def test_friedmans_permutations_are_those_counted_by_hand() -> None:
    # three methods that rank alike in four categories: 6 of the 6^4 arrangements are as extreme
    alike = pd.DataFrame([[0.9, 0.8, 0.7]] * 4)
    found = friedman(alike)
    assert found.p == pytest.approx(6**-3)
    assert math.isnan(found.f)


def test_methods_that_are_equal_everywhere_do_not_differ() -> None:
    equal = pd.DataFrame(0.5, index=range(6), columns=[*"abc"])
    assert friedman(equal).p == 1
    assert pairwise(equal)["p"].to_list() == [1, 1, 1]
    assert pairwise(equal)["effect_size"].to_list() == [0, 0, 0]


@pytest.mark.parametrize("decimals", [9, 1])
@pytest.mark.parametrize("categories", [2, 4, 7, 10])
def test_wilcoxon_agrees_with_scipys_permutations_ties_and_zeros_included(
    categories: int, decimals: int
) -> None:
    values = table(categories, 2, decimals)
    every_sign = stats.PermutationMethod(n_resamples=2**categories)
    differences = (values["a"] - values["b"]).round(9)
    theirs = stats.wilcoxon(differences, zero_method="zsplit", method=every_sign)
    assert pairwise(values).loc[0, "p"] == pytest.approx(theirs.pvalue)


def test_pairs_agree_with_scikit_posthocs() -> None:
    values = table(12, 5).add([0, 0.2, 0.4, 0.6, 0.8], axis="columns")
    matrix = posthocs.posthoc_wilcoxon(values.T.to_numpy(), p_adjust="holm", method="exact").to_numpy()
    expected = [matrix[i, j] for i, j in itertools.combinations(range(5), 2)]
    assert pairwise(values)["p_holm"].to_list() == pytest.approx(expected)
    assert len(set(expected)) == 5


def test_holms_correction_never_reorders_and_never_exceeds_one() -> None:
    found = pairwise(table(12, 7)).sort_values("p")
    assert (found["p_holm"] >= found["p"]).all()
    assert found["p_holm"].max() <= 1
    assert found["p_holm"].is_monotonic_increasing


def test_differences_that_are_equal_but_for_rounding_are_ties() -> None:
    # 0.3 - 0.2 and 0.2 - 0.1 differ in their last bits
    values = pd.DataFrame({"a": [0.3, 0.1, 0.9], "b": [0.2, 0.2, 0.4]})
    assert pairwise(values).loc[0, "effect_size"] == pytest.approx((1.5 + 3 - 1.5) / 6)


@pytest.mark.parametrize("categories", [2, 4, 6, 9])
def test_the_smallest_p_is_that_of_a_method_that_is_better_everywhere(categories: int) -> None:
    values = pd.DataFrame({"a": np.arange(1.0, categories + 1), "b": np.zeros(categories)})
    assert pairwise(values).loc[0, "p"] == pytest.approx(smallest_p(categories))
    assert pairwise(values).loc[0, "effect_size"] == 1


def test_four_categories_cannot_reach_significance_and_the_page_says_so() -> None:
    first, *_ = limits_of(made(table(4, 3)), "pro")
    assert "4 categories" in first
    assert "0.125" in first
    assert "no difference between two methods can be significant" in first


@pytest.mark.parametrize(
    ("categories", "methods", "reach"), [(6, 2, True), (5, 2, False), (9, 6, False), (10, 6, True)]
)
def test_holms_correction_counts_in_the_smallest_reachable_p(
    categories: int, methods: int, reach: bool
) -> None:
    first, *_ = limits_of(made(table(categories, methods)), "pro")
    assert ("differences can be significant" in first) == reach


def test_categories_without_a_value_of_every_method_are_left_out_and_named() -> None:
    values = made(table(6, 3))
    values = values[~((values["method"] == "b") & (values["category"] == "c2"))]
    (ranks, pairs), _ = statistics_of(values, "pro")
    assert "over 5 categories" in pairs.caption
    assert "1 of 6 categories left out" in pairs.caption
    assert "c2" in pairs.caption
    assert "over 5 categories" in ranks.caption


def test_a_method_that_failed_everywhere_leaves_the_others_their_tests() -> None:
    failed = cells(*(("z", f"c{i}", NAN) for i in range(6)), status="FAILED", metric="")
    (_, pairs), _ = statistics_of(pd.concat([made(table(6, 3)), failed]), "pro")
    assert len(pairs.values) == 3
    assert "no value: z." in pairs.caption


def test_values_are_means_over_seeds() -> None:
    pairs = {("a", f"c{i}"): [0.8 + 0.01 * i, 0.9] for i in range(3)} | {
        ("b", f"c{i}"): [0.7, 0.7 + 0.01 * i] for i in range(3)
    }
    (sheet,), _ = statistics_of(over_seeds(pairs), "pro")
    assert sheet.values.loc["a vs. b", "median difference"] == pytest.approx(0.15)
    assert "Each is a mean over seeds" in sheet.caption


def test_two_methods_are_compared_by_wilcoxon_alone() -> None:
    sheets, figures = statistics_of(made(table(8, 2)), "pro")
    assert [sheet.name for sheet in sheets] == ["pro_wilcoxon"]
    assert not figures


@pytest.mark.parametrize(("categories", "methods"), [(8, 1), (1, 4)])
def test_one_method_or_one_category_is_not_tested(categories: int, methods: int) -> None:
    assert statistics_of(made(table(categories, methods)), "pro") == ([], [])


def test_a_measure_that_nothing_has_is_not_tested() -> None:
    assert statistics_of(made(table(8, 3)), "dice") == ([], [])
    assert limits_of(made(table(8, 3)), "dice") == []


def test_too_few_common_categories_are_reported() -> None:
    (sentence,) = limits_of(cells(("a", "x", 0.5), ("b", "x", 0.6), ("a", "y", 0.5)), "pro")
    assert sentence.startswith("PRO (exact) is not tested: 1 of 2 categories")


def test_ranks_stand_from_the_best_on_and_the_best_is_marked() -> None:
    values = pd.DataFrame({"low": [0.1, 0.2, 0.3], "high": [0.9, 0.8, 0.7], "middle": [0.5, 0.5, 0.5]})
    ranks = statistics_of(made(values), "pro")[0][0]
    assert ranks.values["average rank"].to_dict() == {"high": 1, "middle": 2, "low": 3}
    assert ranks.best is not None
    assert ranks.best.loc["high"].to_dict() == {"average rank": True, "mean": False}


def test_pairs_keep_full_numbers_and_print_few() -> None:
    (pairs,), _ = statistics_of(made(pd.DataFrame({"a": np.arange(1.0, 13), "b": np.zeros(12)})), "pro")
    assert pairs.values.loc["a vs. b", "p"] == pytest.approx(2**-11)
    assert pairs.shown.loc["a vs. b"].to_dict() == {
        "median difference": "+6.500",
        "rank-biserial r": "+1.000",
        "better": "12",
        "equal": "0",
        "worse": "0",
        "p": "< 0.001",
        "p (Holm)": "< 0.001",
    }


def drawn(values: pd.DataFrame) -> tuple[str, list[tuple[float, float]], set[str]]:
    """Draw the diagram; return its caption, the ranges of its bars, and its texts."""
    _, (figure,) = statistics_of(made(values), "pro")
    with mpl.rc_context(STYLE):
        picture = figure.draw()
        picture.draw_without_rendering()
    (axes,) = picture.axes
    bars = [np.asarray(line.get_xdata(), float) for line in axes.lines if line.get_color() == "k"]
    return figure.caption, [(x.min(), x.max()) for x in bars], {text.get_text() for text in axes.texts}


def test_one_bar_joins_all_methods_where_friedmans_test_shows_nothing() -> None:
    values = pd.DataFrame({"a": [1.0, 2, 3, 1], "b": [2.0, 3, 1, 2], "c": [3.0, 1, 2, 3]})
    caption, bars, _ = drawn(values)
    ranks = average_ranks(values)
    assert bars == [(ranks.min(), ranks.max())]
    assert "one bar joins all" in caption


def test_no_pair_differs_where_friedmans_test_shows_nothing_even_if_wilcoxons_would() -> None:
    # a loses to b by little in four categories and wins by much in eleven; c is far above both or far below
    losses, wins = [-0.001, -0.002, -0.003, -0.004], [0.1 + 0.01 * i for i in range(11)]
    far = [5.0 if i % 2 else -5.0 for i in range(15)]
    values = pd.DataFrame({"a": losses + wins, "b": [0.0] * 15, "c": far})
    assert pairwise(values)["p_holm"][0] < 0.05
    assert friedman(values).p >= 0.05
    assert len(drawn(values)[1]) == 1


def test_bars_join_methods_without_a_significant_difference() -> None:
    noise = np.linspace(-0.02, 0.02, 15)
    values = pd.DataFrame({"a": 0.9 + noise, "b": 0.9 - noise, "c": 0.5 + noise / 2})
    caption, bars, _ = drawn(values)
    ranks = average_ranks(values)
    assert bars == [(min(ranks[["a", "b"]]), max(ranks[["a", "b"]]))]
    assert "Wilcoxon" in caption


def test_the_points_of_a_bar_stand_in_the_order_of_ranks_whatever_the_order_of_sets() -> None:
    _, (figure,) = statistics_of(made(table(4, 8)), "pro")
    (axes,) = figure.draw().axes
    (bar,) = [np.asarray(line.get_xdata(), float) for line in axes.lines if line.get_color() == "k"]
    assert (np.diff(bar) >= 0).all()
    assert len(bar) == 8


def test_names_are_drawn_as_they_are() -> None:
    odd = "100%_odd&co#{}~^\\ $x$"
    *_, texts = drawn(table(6, 2).assign(**{odd: 0.0}))
    assert any(odd in text for text in texts)


def test_long_names_leave_room_for_the_diagram() -> None:
    values = table(6, 3).rename(columns=lambda name: f"{name} ({' '.join(['training.epochs=5'] * 12)})")
    *_, texts = drawn(values)
    assert max(len(line) for text in texts for line in text.splitlines()) < 50


def test_names_of_files_are_plain() -> None:
    sheets, figures = statistics_of(made(table(6, 3)), "pro")
    assert all(re.fullmatch(r"\w+", name) for name in [*(s.name for s in sheets), *(f.name for f in figures)])


@pytest.mark.parametrize("ties", [False, True])
def test_for_many_categories_the_normal_distribution_is_as_good_as_all_sign_patterns(
    monkeypatch: pytest.MonkeyPatch, ties: bool
) -> None:
    noise = np.random.default_rng(1).normal(0.1, 1, ranks.EXACT)
    table = pd.DataFrame({"a": noise.round(1 if ties else 9), "b": 0.0})
    exact = ranks.pairwise(table)["p"].iloc[0]
    monkeypatch.setattr(ranks, "EXACT", 0)
    assert ranks.pairwise(table)["p"].iloc[0] == pytest.approx(exact, rel=0.02)
