"""The parts of a report before they are written in any format: sheets, figures and gallery rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
        File name without its suffix, and label in LaTeX: letters, digits, `_` and `-`.
    title
        Heading, a few words.
    caption
        What a reader must know.
    values
        The numbers (or texts), written to CSV unchanged. The index is the table's first column.
    shown
        The entries as printed, same shape as `values`; `DASH` where there is none.
    best, second
        Marked entries, same shape; None: no marks.
    rules
        Positions of the rows above which a rule is drawn.
    means
        Positions of the rows of means, which stay last however the table is sorted.
    spans
        Headings over neighbouring columns, (text, number of columns); together they cover all columns.
    section
        Section of the page: `results`, `published`, `cost`, `statistics` or `data`.
    category, method
        The category or method whose own view shows the sheet; "" for neither.
    percent
        The same entries as percentages, which LaTeX prints; None: they are no measures, and stay as they are.
    brief
        What a paper's caption says after the title, a few words.
    partial
        Entries that cover only some of their categories, same shape: their row, or where methods are rows their column,
        has no marks. None: there are none.
    measures
        Where methods are rows: the best is marked in so many columns, from the left; None: in all.
    samples
        The values by which its column `average rank` ranks methods, a row per category; None: there is no such column.
    """

    name: str
    title: str
    caption: str
    values: pd.DataFrame
    shown: pd.DataFrame
    best: pd.DataFrame | None = None
    second: pd.DataFrame | None = None
    rules: tuple[int, ...] = ()
    means: tuple[int, ...] = ()
    spans: tuple[tuple[str, int], ...] = ()
    section: str = "results"
    category: str = ""
    method: str = ""
    percent: pd.DataFrame | None = None
    brief: str = ""
    partial: pd.DataFrame | None = None
    measures: int | None = None
    samples: pd.DataFrame | None = None


@dataclass(frozen=True)
class Leaderboard:
    """The answer of a report for one dataset: which method is best, by how much, and how sure that is.

    Attributes
    ----------
    sheet
        A row per method, the best first.
    sentences
        The same in words.
    title
        The measure that ranks the methods.
    values
        Its value by category and method.
    versus
        (methods, methods): if the row's method is the best, how the column's compares with it, in a few words.
    """

    sheet: Sheet
    sentences: Sequence[str]
    title: str
    values: pd.DataFrame
    versus: pd.DataFrame


@dataclass(frozen=True)
class Figure:
    """One figure that can be drawn.

    Attributes
    ----------
    name
        File name without its suffix: letters, digits, `_` and `-`.
    title, caption, category, method
        As in `Sheet`.
    draw
        Draws the figure, in the width of a page's text or, with `width=COLUMN`, of a column; a `functools.partial`
        of a module's function, so that it can be pickled and run in another process.
    section
        Section of the page: `results`, `cost`, `statistics`, `curves` or `distributions`.
    """

    name: str
    title: str
    caption: str
    draw: Callable[..., Drawing]
    section: str
    category: str = ""
    method: str = ""


@dataclass(frozen=True)
class Tile:
    """One picture of a gallery row: a small JPEG, and the path of the full picture relative to the report's folder.

    Where there is no picture the thumbnail is empty and the title says so. The tile of a method has a note, its score
    of the image, and an outcome of `store.predictions.OUTCOMES`, or "" without a verdict.
    """

    title: str
    thumbnail: bytes
    full: Path
    note: str = ""
    outcome: str = ""


@dataclass(frozen=True)
class GalleryRow:
    """One test image: the image, its ground truth, and an anomaly map per method.

    Attributes
    ----------
    category
        Row of the comparison table that the image belongs to.
    image, kind
        Name of the image in its dataset, and of its kind of defect (`good`: none).
    disagreement
        Largest minus smallest rank that a method gives the image, 0 to 1.
    ranks
        By method: the fraction of the category's other test images with a lower score, 0 to 1.
    tiles
        Image, ground truth, and the methods' maps in the order of the columns.
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
        Methods and datasets in words.
    subtitle
        The selection, sweeps and filters, and the date.
    leaderboards
        The answer, for each dataset.
    relevant
        Smallest difference between best and second that is marked.
    data
        All cells and their numbers, in CSV.
    facts
        (name, value) for the overview: store, sweeps, data, protocols, teachers, seeds, code, counts of cells.
    warnings
        Sentences about what a reader might overlook.
    failures
        The failed cells: columns `method`, `category`, `seed`, `reason`.
    sheets
        All tables.
    figures
        All figures, each with the path of its PNG.
    gallery, gallery_note
        Rows in the order in which they are shown, and a note on colours and order.
    configs, environments
        Resolved configurations, (label, YAML), and environments, (label, text).
    """

    title: str
    facts: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    failures: pd.DataFrame
    sheets: Sequence[Sheet]
    figures: Sequence[tuple[Figure, Path]]
    subtitle: str = ""
    leaderboards: Sequence[Leaderboard] = ()
    relevant: float = 0.0
    data: str = ""
    gallery: Sequence[GalleryRow] = ()
    gallery_note: str = ""
    configs: Sequence[tuple[str, str]] = ()
    environments: Sequence[tuple[str, str]] = ()
