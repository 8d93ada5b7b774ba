"""The chart of a leaderboard: on one scale a row of dots per method, a dot per category, and a line at their mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from reports.model import Leaderboard
from store.display_names import method_name

TICKS = 6
"""At most so many intervals on the scale."""
MARGIN = 2.0
"""Percent of the width that are left free at both ends."""


@dataclass(frozen=True)
class Strip:
    """A method's row: the dots' and the mean's places in percent of the width, with their texts."""

    method: str
    name: str
    dots: Sequence[tuple[str, str]]
    mean: str


@dataclass(frozen=True)
class Chart:
    """The rows of a leaderboard's chart, and the ticks of their scale: places in percent, with their texts."""

    title: str
    strips: Sequence[Strip]
    ticks: Sequence[tuple[str, str]]


def chart(board: Leaderboard, numbers: Sequence[str]) -> Chart | None:
    """Return the chart of a leaderboard; None where no method has a value.

    Parameters
    ----------
    board
        The leaderboard.
    numbers
        The number of each row's method on the page.
    """
    values = board.values.to_numpy(float)
    if np.isnan(values).all():
        return None
    locator = MaxNLocator(TICKS, min_n_ticks=2)
    ticks = np.asarray(locator.tick_values(np.nanmin(values), np.nanmax(values)))
    low, high = float(ticks[0]), min(float(ticks[-1]), 1.0)  # no measure is larger
    ticks = ticks[ticks <= high]

    def place(value: float) -> str:
        return f"{MARGIN + (100 - 2 * MARGIN) * (value - low) / (high - low):.2f}%"

    strips = [
        Strip(
            number,
            method_name(str(label)),
            [
                (place(value), f"{category} {value:.3f}")
                for category, value in board.values[label].dropna().items()
            ],
            "" if pd.isna(mean := board.sheet.values[board.title][label]) else place(float(mean)),
        )
        for label, number in zip(board.sheet.values.index, numbers, strict=True)
    ]
    return Chart(board.title, strips, [(place(float(tick)), f"{tick:g}") for tick in ticks])
