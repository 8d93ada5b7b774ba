"""The layout of a table in a two-column paper: which float, font size and division let it fit without scaling.

Widths are estimated with Computer Modern, the widest of the usual fonts; in Times a table is narrower.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from reports.look import Width

COLUMN, TEXT = 237.0, 496.8
"""Widths of a column and of the text in points, as in CVPR's template; other conferences have wider ones."""
# widths of Computer Modern's characters at 10 pt, in thousandths of its size
_CHARACTERS = {
    **dict.fromkeys("ijl'.,:;!|", 278),
    **dict.fromkeys("fI()-", 389),
    **dict.fromkeys("crstz ", 444),
    **dict.fromkeys("m%", 833),
    **dict.fromkeys("wABCDEFHJKLNOPQRTUVXYZ&+<>=~^", 778),
    **dict.fromkeys("GM", 917),
    "W": 1028,
}
_OTHER = 556
# `±` is a formula's sign: its own width and the spaces around it, less the two of the text
_CHARACTERS["±"] = 556
BOLD = 1.16


@dataclass(frozen=True)
class Form:
    """A float of a certain width, its font size, and half the space between two columns.

    Attributes
    ----------
    environment
        `table`, or `table*` over both columns.
    width
        Width available in points.
    size
        The command that sets the font size in a class of 10 pt.
    points, stretch
        That size, and how much wider the font's characters are than those at 10 pt in relation to their size.
    gap
        LaTeX's `tabcolsep`, in points.
    """

    environment: str
    width: float
    size: str
    points: float
    stretch: float
    gap: float

    def width_of(self, text: str, bold: bool = False) -> float:
        """Return the width of a line of text in points."""
        units = sum(_CHARACTERS.get(c, _OTHER) for c in text)
        units -= sum(56 for c in text if c.isdigit())
        return units / 1000 * self.points * self.stretch * (BOLD if bold else 1)


def _forms(environment: str, width: float) -> dict[float, Form]:
    sizes = ((9, r"\small", 1.03, 3.5), (8, r"\footnotesize", 1.07, 3), (7, r"\scriptsize", 1.14, 2.5))
    return {
        points: Form(environment, width, size, points, stretch, gap) for points, size, stretch, gap in sizes
    }


_IN_COLUMN, _OVER_TEXT = _forms("table", COLUMN), _forms("table*", TEXT)
FORMS: dict[Width | None, Sequence[Form]] = {
    None: (_IN_COLUMN[9], _IN_COLUMN[8], _OVER_TEXT[9], _OVER_TEXT[8], _OVER_TEXT[7]),
    "column": tuple(_IN_COLUMN.values()),
    "text": tuple(_OVER_TEXT.values()),
}
"""The forms that are tried in turn, by the width asked for; None: a column if the table is readable in it."""


@dataclass(frozen=True)
class Column:
    """What a column holds, for its width: lines of its heading and of its entries, each with whether it is bold."""

    heading: Sequence[str]
    entries: Sequence[tuple[str, bool]]

    def width(self, form: Form) -> float:
        """Return its width in points, without the space between columns."""
        lines = [(line, False) for line in self.heading] + [*self.entries]
        return max((form.width_of(*line) for line in lines), default=0.0)


Group = tuple[Sequence[str], Sequence[int]]
"""Lines of the heading over some neighbouring columns, and their positions."""


def arrange(
    names: Column, columns: Sequence[Column], groups: Sequence[Group], width: Width | None = None
) -> tuple[Form, list[list[int]]]:
    """Choose a form for a table, and divide its columns into as few equal blocks as fit.

    Parameters
    ----------
    names
        The column of the rows' names, which each block repeats.
    columns
        The other columns.
    groups
        Columns under a common heading, in order; none: no such headings.
    width
        Width asked for; None: the narrowest in which the table fits undivided.

    Returns
    -------
    The largest font that holds the table undivided, or else in the fewest blocks; and the columns of each block.
    """
    forms = FORMS[width]
    alone = [[column] for column in range(len(columns))]
    units = [list(members) for _, members in groups] or alone
    for number in range(1, len(columns) + 1):
        for divided in (units, alone):
            blocks = _equal(divided, number)
            for form in forms if number == 1 else forms[-2:]:
                if all(_fits(form, names, columns, groups, block) for block in blocks):
                    return form, blocks
    return forms[-1], alone or [[]]


def _equal(units: Sequence[Sequence[int]], number: int) -> list[list[int]]:
    """Divide units of columns into `number` parts whose lengths differ by one at most, the longer ones first."""
    size, longer = divmod(len(units), number)
    ends = [0]
    for part in range(number):
        ends.append(ends[-1] + size + (part < longer))
    parts = [units[first:last] for first, last in itertools.pairwise(ends)]
    return [[column for unit in part for column in unit] for part in parts if part]


def _fits(
    form: Form, names: Column, columns: Sequence[Column], groups: Sequence[Group], block: Sequence[int]
) -> bool:
    widths = {column: columns[column].width(form) for column in block}
    total = names.width(form) + sum(widths.values()) + 2 * form.gap * len(block)
    for heading, members in groups:
        own = [widths[column] for column in members if column in widths]
        if own:
            needed = max(form.width_of(line) for line in heading)
            # the last column grows to hold a heading wider than its columns
            total += max(0.0, needed - sum(own) - 2 * form.gap * (len(own) - 1))
    return total <= form.width
