"""Statistics of one measure over categories: average ranks, critical differences, pairs of methods."""

import math
from functools import partial
from textwrap import fill

import pandas as pd
import scikit_posthocs as posthocs
from matplotlib.figure import Figure as Drawing

from reports.figures.captions import columns
from reports.figures.style import PAGE, drawing, palette, shorten
from reports.model import Figure, Sheet
from reports.statistics.ranks import ALPHA, EXACT, RESAMPLES, Friedman, smallest_p
from reports.statistics.tested import tested
from reports.tables.captions import title_of
from reports.tables.comparison import category_values, samples
from reports.tables.entries import PAIR, VERSUS
from reports.tables.seeds import seeds_of, several_seeds
from store.display_names import method_name
from store.table import rows
from store.text import counted, listed

# above both numbers the chi-squared distribution fits Friedman's statistic (Demsar, 2006, section 3.2.2)
MANY_CATEGORIES, MANY_METHODS = 10, 5
# characters of a name on one line of the diagram
WIDE = 34
NAMED = 10
"""So many categories are named in a sentence."""


def statistics_of(cells: pd.DataFrame, metric: str) -> tuple[list[Sheet], list[Figure]]:
    """Test whether methods differ in one measure; larger is better.

    The samples are categories, as in Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets",
    JMLR 7 (2006): the mean over seeds of each category in which every method has a value. Three or more methods
    are ranked and compared by Friedman's test; then all pairs, also if there are only two methods, by Wilcoxon's
    signed-rank test with Holm's correction. Under Nemenyi's test, Demsar's choice after Friedman's, the verdict on
    two methods depends on the other methods; Benavoli, Corani and Mangili, "Should We Really Use Post-Hoc Tests
    Based on Mean-Ranks?", JMLR 17 (2016) recommend Wilcoxon's test instead.

    Returns
    -------
    Sheets and figures; none with fewer than two methods or fewer than two categories.
    """
    found = tested(cells, metric)
    if found is None:
        return [], []
    limits = " ".join(limits_of(cells, metric))
    compared = _pairs_sheet(metric, found.pairs, limits)
    if found.friedman is None:
        return [compared], []
    diagram = Figure(
        name=f"{metric}_critical_difference",
        title=f"{title_of(metric)}: critical differences",
        caption=f"{_diagram_caption(found.friedman)} {limits}",
        draw=partial(draw_critical_differences, found.ranks, found.p_values, palette(columns(cells))),
        section="statistics",
    )
    return [_ranks_sheet(metric, found.samples, found.ranks, found.friedman), compared], [diagram]


def limits_of(cells: pd.DataFrame, metric: str) -> list[str]:
    """Return sentences on the limits of the tests of one measure, or why there are no tests.

    Empty if there are not two methods to compare.
    """
    everything, table = category_values(cells, metric), samples(cells, metric)
    categories, methods = table.shape
    if methods < 2:
        return []
    if categories < 2:
        return [
            f"{title_of(metric)} is not tested: {categories} of "
            f"{counted(len(everything), 'category')} {'has' if categories == 1 else 'have'} a value of every "
            "method, and a test needs at least two."
        ]
    return [
        _reach(categories, methods),
        *_left_out(everything, table),
        f"The samples are {categories} categories of {_datasets(cells, table)}; categories of one dataset are not "
        "independent samples of all inspection tasks.",
        "Each is a mean over seeds; the tests do not consider the variation between seeds."
        if several_seeds(seeds_of(cells))
        else "Each comes from one seed; the tests do not consider the variation between seeds.",
        f"A p of {ALPHA} or more does not show that methods are equal.",
    ]


def _left_out(everything: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Return sentences on categories and methods that are not tested."""
    sentences = []
    if methods := [str(name) for name in everything.columns if name not in table.columns]:
        sentences.append(f"Left out, as they have no value: {', '.join(methods)}.")
    if categories := [str(name) for name in everything.index if name not in table.index]:
        sentences.append(
            f"{len(categories)} of {counted(len(everything), 'category')} left out, as not every method has a value "
            f"there: {listed(categories, NAMED)}."
        )
    return sentences


def _datasets(cells: pd.DataFrame, table: pd.DataFrame) -> str:
    return ", ".join(pd.unique(cells.loc[rows(cells).isin(table.index), "dataset"]))


def draw_critical_differences(
    ranks: "pd.Series[float]", p_values: pd.DataFrame, colours: dict[str, str], width: float = PAGE
) -> Drawing:
    """Draw average ranks on a line, and bars that join methods without a significant difference.

    Parameters
    ----------
    ranks, colours
        By method.
    p_values
        (methods, methods).
    """
    names = list(ranks.sort_values(kind="stable").index)
    shown = [fill(shorten(method_name(str(name))), WIDE) for name in names]
    lines = max(text.count("\n") + 1 for text in shown)
    figure, [[axes]] = drawing(width, 0.9 + 0.16 * len(ranks) * lines)
    axes.set_xlim(1, len(ranks))
    axes.set_xticks(range(1, len(ranks) + 1))
    # numbers instead of names: the library draws in the order of a set, which varies for strings
    numbers = dict(zip(names, range(len(names)), strict=True))
    artists = posthocs.critical_difference_diagram(
        ranks.loc[names].rename(numbers),
        p_values.loc[names, names].rename(index=numbers, columns=numbers),
        alpha=ALPHA,
        ax=axes,
        label_fmt_left="{label}",
        label_fmt_right="{label}",
        marker_props={"s": 16},
        # a bar may pass under a method that it does not join: dots show which it joins
        crossbar_props={"marker": "o", "markersize": 3, "linewidth": 1.6, "solid_capstyle": "butt"},
        color_palette={numbers[name]: colours[name] for name in names},
        text_h_margin=0.03 * (len(ranks) - 1),
    )
    for label in artists["labels"]:
        number = int(label.get_text())
        name, rank = shown[number], f"{ranks[names[number]]:.2f}"
        at_left = label.get_horizontalalignment() == "right"
        label.set_text(f"{name}  {rank} " if at_left else f" {rank}  {name}")
        label.set(color="black", parse_math=False)
    for kind in ("markers", "elbows"):
        for artist in artists[kind]:
            artist.set_clip_on(False)  # the first and last rank may lie at the ends of the line
    axes.spines["top"].set_visible(True)
    return figure


def _ranks_sheet(metric: str, table: pd.DataFrame, ranks: "pd.Series[float]", test: Friedman) -> Sheet:
    values = pd.DataFrame({"average rank": ranks, "mean": table.mean()}).sort_values(
        "average rank", kind="stable"
    )
    values.index.name = "method"
    shown = values.map(lambda value: f"{value:.3f}")
    places = pd.DataFrame({"average rank": shown["average rank"].astype(float).rank(method="min"), "mean": 0})
    return Sheet(
        name=f"{metric}_ranks",
        title=f"{title_of(metric)}: average ranks",
        caption=f"Average ranks over {len(table)} categories, 1 being the best and ties sharing their ranks, and "
        f"means over the same categories. {_friedman_sentence(test, *table.shape)}",
        values=values,
        shown=shown,
        best=places == 1,
        second=places == 2,
        section="statistics",
        measures=1,
        samples=table,
    )


def _friedman_sentence(test: Friedman, categories: int, methods: int) -> str:
    f = "" if pd.isna(test.f) else f", Iman-Davenport F {test.f:.2f} (p {_p(test.p_f)})"
    rough = categories <= MANY_CATEGORIES or methods <= MANY_METHODS
    verdict = "the methods do not all rank alike" if test.p < ALPHA else "no significant difference"
    return (
        f"Friedman's test: chi-squared {test.chi_squared:.2f} with {counted(methods - 1, 'degree')} of freedom "
        f"(p {_p(test.p_chi_squared)}){f}; by permutations within categories (all, or {RESAMPLES} random ones) "
        f"p {_p(test.p)}: {verdict}."
        + (
            " With so few samples the two distributions are approximate; the permutations are valid."
            if rough
            else ""
        )
    )


def _pairs_sheet(metric: str, pairs: pd.DataFrame, limits: str) -> Sheet:
    titles = {
        "median_difference": "median difference",
        "effect_size": "rank-biserial r",
        "better": "better",
        "equal": "equal",
        "worse": "worse",
        "p": "p",
        "p_holm": "p (Holm)",
    }
    values = pairs.rename(columns=titles)[list(titles.values())]
    values.index = pd.Index(pairs["first"] + f" {VERSUS} " + pairs["second"], name=PAIR)
    shown = values.apply(_formatted)
    count = int(pairs[["better", "equal", "worse"]].iloc[0].sum())
    return Sheet(
        name=f"{metric}_wilcoxon",
        title=f"{title_of(metric)}: pairs of methods",
        caption=f"Wilcoxon's signed-rank test, two-sided and {_exact(count)}, of every two methods over {count} "
        "categories: the median over categories of the first's value minus the second's; the matched-pairs "
        "rank-biserial correlation r, from -1 to 1, positive where the first is better; in how many categories the "
        "first is better, equal and worse; p, and p after Holm's correction for "
        f"{counted(len(pairs), 'comparison')}. {limits}",
        values=values,
        shown=shown,
        section="statistics",
    )


def _exact(categories: int) -> str:
    return "exact" if categories <= EXACT else "by the normal distribution"


def _formatted(column: "pd.Series[float]") -> "pd.Series[str]":
    if column.name in ("better", "equal", "worse"):
        return column.astype(int).astype(str)
    if column.name in ("p", "p (Holm)"):
        return column.map(_p)
    return column.map(lambda value: f"{value:+.3f}")


def _diagram_caption(test: Friedman) -> str:
    """Return how to read the diagram."""
    bars = (
        f"bars join methods without a significant difference at {ALPHA} by Wilcoxon's signed-rank tests with Holm's "
        "correction (as Benavoli et al., 2016, recommend, instead of Nemenyi's critical difference); a bar joins only "
        "the methods on which it has a dot"
        if test.p < ALPHA
        else f"one bar joins all, as Friedman's test shows no difference (p {_p(test.p)})"
    )
    return f"Average ranks over categories, the best at the left (1); {bars}."


def _reach(categories: int, methods: int) -> str:
    """Return the smallest p that the tests of pairs can reach, and whether it can be significant."""
    pairs = math.comb(methods, 2)
    alone, corrected = smallest_p(categories), smallest_p(categories, pairs)
    after = f", and after Holm's correction for {pairs} pairs {corrected:.3g}" if pairs > 1 else ""
    reach = (
        f"With {categories} categories the smallest p that a two-sided Wilcoxon signed-rank test can reach is "
        f"{alone:.3g}{after}"
    )
    if corrected >= ALPHA:
        return (
            f"{reach}: no difference between two methods can be significant at {ALPHA}, however large it is."
        )
    return f"{reach}: differences can be significant at {ALPHA}."


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
