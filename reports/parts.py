"""What a report is made of: sheets, figures and gallery rows, before they are written in any format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure as Drawing

DASH = "–"


@dataclass(frozen=True)
class Sheet:
    """One table, ready to be printed in any format.

    Attributes
    ----------
    name
        File name without its ending, and label in LaTeX: letters, digits, `_` and `-`.
    title
        Heading, a few words.
    caption
        What a reader must know.
    values
        The numbers (or texts), a row per line: written as CSV as they are. The index is the table's first column.
    shown
        The entries as printed, same shape; `DASH` for nothing.
    best, second
        Entries that are marked, same shape; None: none is.
    rules
        Positions of rows above which a rule is drawn: groups, means.
    spans
        Headings over neighbouring columns, (text, number of columns), which cover all columns; none if empty.
    section
        Part of the page that it belongs to: `results`, `published`, `cost` or `statistics`.
    category, method
        Row or label of the comparison whose own page it belongs to; "" for the overview.
    """

    name: str
    title: str
    caption: str
    values: pd.DataFrame
    shown: pd.DataFrame
    best: pd.DataFrame | None = None
    second: pd.DataFrame | None = None
    rules: tuple[int, ...] = ()
    spans: tuple[tuple[str, int], ...] = ()
    section: str = "results"
    category: str = ""
    method: str = ""


@dataclass(frozen=True)
class Figure:
    """One figure that can be drawn.

    Attributes
    ----------
    name
        File name without its ending: letters, digits, `_` and `-`.
    title, caption
        As for a sheet.
    draw
        Draws it; a `functools.partial` of a module's function, so that another process can do it.
    section
        Part of the page that it belongs to: `results`, `cost`, `statistics`, `curves` or `distributions`.
    category, method
        As for a sheet.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], Drawing]
    section: str
    category: str = ""
    method: str = ""


@dataclass(frozen=True)
class Tile:
    """One picture of a gallery row: a small JPEG, and the file that holds it in full, relative to the report's folder.

    An empty thumbnail: there is no picture, and the title says so.
    """

    title: str
    thumbnail: bytes
    full: Path


@dataclass(frozen=True)
class GalleryRow:
    """One test image: the image, its truth, and a map per method.

    Attributes
    ----------
    category
        Row of the comparison that it belongs to.
    image, kind
        Name of the image in its dataset, and of its defect (`good`: none).
    disagreement
        How far the methods' ranks of this image lie apart, 0 to 1.
    ranks
        By method: the part of the category's other test images that have a lower score, 0 to 1.
    tiles
        Image, truth, and the methods' maps in the order of the columns.
    """

    category: str
    image: str
    kind: str
    disagreement: float
    ranks: Mapping[str, float]
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Report:
    """Everything that the page shows.

    Attributes
    ----------
    title
        What was selected: a sweep, several, a method of them.
    facts
        (name, value) of the overview: store, sweeps, data, protocols, teachers, seeds, code, counts of cells.
    warnings
        Sentences about what a reader might overlook.
    failures
        The failed cells: columns `method`, `category`, `seed`, `reason`.
    sheets
        All tables.
    figures
        All figures, each with the PNG that was drawn of it.
    gallery
        Rows in the order in which they are shown, and a sentence on how maps are coloured and rows are sorted.
    configs
        Resolved configurations, (label, YAML), and environments, (label, text).
    """

    title: str
    facts: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    failures: pd.DataFrame
    sheets: Sequence[Sheet]
    figures: Sequence[tuple[Figure, Path]]
    gallery: Sequence[GalleryRow] = ()
    gallery_note: str = ""
    configs: Sequence[tuple[str, str]] = ()
    environments: Sequence[tuple[str, str]] = field(default=())
