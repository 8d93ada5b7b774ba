"""The answer in words: which method is best, by how much, how sure that is, and what it misses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from metrics import Confusion
from reports.statistics.ranks import ALPHA, smallest_p
from reports.tables.formatting import number, signed_number, within_brackets
from store.display_names import method_name
from store.text import counted, joined

NAMED = 3
"""So many methods are named in a sentence."""


@dataclass(frozen=True)
class Lead:
    """By how much a method is ahead of another, and the 95 % interval of that over test images."""

    ahead: float
    low: float
    high: float


@dataclass(frozen=True)
class Standing:
    """What decides between methods on one dataset.

    Attributes
    ----------
    title
        The measure that ranks the methods.
    means, shown
        Its means over categories by method, the best first, and their texts.
    values
        Its values, a row per category, a column per method.
    p_values
        (methods, methods), see `reports.statistics.ranks.p_values`; None where nothing can be tested.
    tested
        Number of categories of the test.
    seeds
        Number of seeds.
    verdicts
        Verdicts of each method on the test images at the thresholds of its runs; None: not recorded.
    threshold
        The policies of these thresholds.
    digits
        Decimals of the means as printed.
    leads
        {(method, other): the lead of the first, where test images tell}.
    """

    title: str
    means: "pd.Series[float]"
    shown: "pd.Series[str]"
    values: pd.DataFrame
    p_values: pd.DataFrame | None
    tested: int
    seeds: int
    verdicts: Mapping[str, Confusion | None]
    threshold: str
    digits: int
    leads: Mapping[tuple[str, str], Lead] = field(default_factory=dict)

    @property
    def leaders(self) -> list[str]:
        """Return the methods with the highest mean as printed; none if a method lacks a category."""
        if self.values.isna().any(axis=None):
            return []
        printed = self.means.map(self.printed)
        return [str(label) for label in printed.index[printed == printed.max()]]

    def printed(self, value: float) -> float:
        """Return a value as printed."""
        return float(number(value, self.digits))

    def p(self, first: str, second: str) -> float:
        """Return the p of the difference between two methods; NaN if it cannot be tested."""
        if self.p_values is None or not {first, second} <= {*self.p_values}:
            return float("nan")
        return float(self.p_values[first][second])

    def rivals(self) -> dict[str, float]:
        """Return the methods that do not differ significantly from the best, with the p of the difference."""
        others = [str(label) for label in self.means.index if label not in self.leaders]
        return {label: p for label in others if (p := self.p(self.leaders[0], label)) >= ALPHA}


def answer(standing: Standing) -> list[str]:
    """Return the answer in sentences."""
    if len(standing.means) == 1:
        return [_alone(standing), *_verdicts(standing, str(standing.means.index[0]))]
    if not standing.leaders:
        return [_incomplete(standing)]
    certain = [_certainty(standing), *_over_images(standing)]
    return [_lead(standing), *certain, *_verdicts(standing, standing.leaders[0])]


def differences(standing: Standing, percent: bool = False) -> pd.DataFrame:
    """Return in a few words how the method of a column compares with that of the row, if this is the best.

    A second line has its difference and the interval of that over test images, maybe in percent.
    """
    labels = list(standing.means.index)
    printed = standing.means.map(standing.printed)
    return pd.DataFrame(
        [
            [
                "\n".join(
                    [_difference(standing, best, label, printed), *_behind(standing, best, label, percent)]
                )
                for label in labels
            ]
            for best in labels
        ],
        labels,
        labels,
    )


def _behind(standing: Standing, best: str, label: str, percent: bool) -> list[str]:
    """Return the difference of a method from the best with its interval, if test images tell."""
    lead = standing.leads.get((best, label))
    if lead is None:
        return []
    difference = signed_number(-lead.ahead, standing.digits, percent)
    return [f"{difference} {within_brackets(-lead.high, -lead.low, standing.digits, percent)}"]


def _difference(standing: Standing, best: str, label: str, printed: "pd.Series[float]") -> str:
    if printed[best] == printed[label]:
        return "best"
    p = standing.p(best, label)
    if pd.isna(p):
        return "cannot be tested"
    return f"{'not significant' if p >= ALPHA else 'lower'}, {p_text(p)}"


def p_text(p: float) -> str:
    """Return a p-value as text.

    Examples
    --------
    >>> p_text(0.0004), p_text(0.0312), p_text(0.3412)
    ('p < 0.001', 'p 0.031', 'p 0.34')
    """
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}" if p < 2 * ALPHA else f"p {p:.2f}"


def _alone(standing: Standing) -> str:
    label, (categories, _) = standing.means.index[0], standing.values.shape
    text = f"{method_name(str(label))}: {_measure(standing)} {standing.shown[label]}{_over(standing)}"
    if categories < 2 or standing.values[label].isna().all():
        return f"{text}."
    lowest = standing.values[label].idxmin()
    return f"{text}; lowest on {lowest}, {number(standing.values[label].min(), standing.digits)}."


def _incomplete(standing: Standing) -> str:
    lacking = standing.values.isna().sum()
    parts = [
        f"{method_name(str(label))} has no value for {count} of {counted(len(standing.values), 'category')}"
        for label, count in lacking[lacking > 0].items()
    ]
    more = [f"{len(parts) - NAMED} other methods lack some, too"] if len(parts) > NAMED else []
    return (
        f"No method can be called the best, as the means do not compare: {', '.join(parts[:NAMED] + more)}."
    )


def _lead(standing: Standing) -> str:
    leaders, digits = standing.leaders, standing.digits
    what = f"highest {_measure(standing)}"
    if len(leaders) > 1:
        value = number(standing.means[leaders[0]], digits)
        return f"{joined([*map(method_name, leaders)])} share the {what}: {value}{_over(standing)}."
    first, second = standing.means.iloc[:2]
    ahead = number(standing.printed(first) - standing.printed(second), digits)
    return (
        f"{method_name(leaders[0])} has the {what}: {standing.shown.iloc[0]}{_over(standing)}, {ahead} above "
        f"{method_name(str(standing.means.index[1]))}."
    )


def _certainty(standing: Standing) -> str:
    """Return how sure the order is: what the tests show, or why they cannot."""
    methods = len(standing.means)
    if standing.tested < 2:
        return "With one category it cannot be tested whether this holds for others."
    reach = smallest_p(standing.tested, math.comb(methods, 2))
    if standing.p_values is None:
        return (
            f"With {standing.tested} categories no difference can be significant at {ALPHA} "
            f"(smallest possible p {reach:.3g})."
        )
    others, rivals = methods - len(standing.leaders), standing.rivals()
    if not rivals:
        which = "The difference" if others == 1 else "Its difference from every other method"
        return f"{which} is significant (p < {ALPHA})."
    if len(rivals) == others > NAMED:
        return f"No other method differs significantly from it (the smallest {p_text(min(rivals.values()))})."
    named = [f"{method_name(label)} ({p_text(p)})" for label, p in [*rivals.items()][:NAMED]]
    more = [f"{len(rivals) - NAMED} more"] if len(rivals) > NAMED else []
    rest = "; the others are significantly lower" if len(rivals) < others else ""
    return f"Not significantly different from it: {', '.join(named + more)}{rest}."


def _over_images(standing: Standing) -> list[str]:
    """Return how sure the lead over the next method is, as far as test images tell."""
    best = standing.leaders[0]
    second = next((str(label) for label in standing.means.index if label not in standing.leaders), best)
    lead = standing.leads.get((best, second))
    if lead is None:
        return []
    ends = " to ".join(signed_number(end, standing.digits) for end in (lead.low, lead.high))
    over = f"the lead over {method_name(second)}"
    if lead.low <= 0:
        return [f"Other test images like these could reverse {over}: its 95 % interval, {ends}, includes 0."]
    return [f"Other test images like these would hardly reverse {over}: its 95 % interval is {ends}."]


def _verdicts(standing: Standing, label: str) -> list[str]:
    found = standing.verdicts.get(label)
    if found is None:
        return []
    name = "It" if len(standing.leaders) == 1 or len(standing.means) == 1 else method_name(label)
    return [
        f"{name} misses {found.misses} of {counted(found.anomalous, 'anomalous image')} and raises "
        f"{counted(found.false_alarms, 'false alarm')} on {counted(found.normal, 'normal image')} at the threshold "
        f"of its runs ({standing.threshold})."
    ]


def _measure(standing: Standing) -> str:
    title = (
        f"{standing.title[0].lower()}{standing.title[1:]}"
        if standing.title[1:2].islower()
        else standing.title
    )
    return f"mean {title}" if len(standing.values) > 1 else title


def _over(standing: Standing) -> str:
    categories, seeds = len(standing.values), standing.seeds
    where = counted(categories, "category") if categories > 1 else str(standing.values.index[0])
    number_of_seeds = f" and {counted(seeds, 'seed')}" if seeds > 1 else ""
    return f" {'over' if categories > 1 else 'on'} {where}{number_of_seeds}"
