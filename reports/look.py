"""How tables and figures of a report are printed."""

from dataclasses import dataclass
from typing import Literal

Width = Literal["column", "text"]


@dataclass(frozen=True)
class Look:
    """How tables and figures of a report are printed.

    Attributes
    ----------
    digits
        Decimals of measures in tables, as fractions; a percentage has two fewer.
    percent
        Whether measures are percentages in LaTeX, as in papers, or fractions.
    table_width
        Width of tables in LaTeX; None: a column if the table is readable in it, else both.
    figure_width
        Width of figures.
    intervals
        Whether tables of measures have 95 % intervals over test images, as the leaderboard has.
    """

    digits: int = 3
    percent: bool = True
    table_width: Width | None = None
    figure_width: Width = "text"
    intervals: bool = False
