"""The style of figures, readable in print, in grey and for colour-blind readers; writing them to files."""

import io
import logging
import re
from collections.abc import Iterable, Sequence
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from reports.look import Width
from reports.model import Figure
from store.display_names import method_name
from store.garbage import without_collection

COLUMN, PAGE = 3.25, 6.875
"""Widths in inches of a column and of the text of a two-column paper; figures are printed at this size."""
WIDTHS: dict[Width, float] = {"column": COLUMN, "text": PAGE}
DOTS = 150
"""Dots per inch of the PNG."""
# Okabe and Ito (2008) in an order of good contrast; grey replaces their yellow, which is too bright on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000", "#56B4E9", "#8C8C8C")
# their numbers are coprime to the number of colours: 40 and 56 labels differ
LINES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
CHARACTERS = 16
"""Approximate number of characters of a legend per inch."""
LOW = 3
"""So many lines of a legend fit into the usual height of a figure."""
LINE = 100
"""Characters on a line of a legend over the whole page."""
LONGEST = 60
"""Names are shortened to so many characters."""
FAINT = "#B3B3B3"
NORMAL, ANOMALOUS = COLOURS[:2]
"""Colours of normal and anomalous images and locations."""
STYLE: dict[Any, Any] = {
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E0E0E0",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
    "text.parse_math": False,  # names may hold `$`
}

# it logs every table of a font that a PDF does not need
logging.getLogger("fontTools").setLevel(logging.WARNING)


def palette(labels: Iterable[str]) -> dict[str, str]:
    """Return a colour for each label, by its position; the ninth repeats the first, with another line style."""
    return dict(zip(labels, cycle(COLOURS)))


def markers(labels: Iterable[str]) -> dict[str, str]:
    """Return a marker for each label, by its position."""
    return dict(zip(labels, cycle(MARKERS)))


def linestyles(labels: Iterable[str]) -> dict[str, Any]:
    """Return a line style for each label, by its position."""
    return dict(zip(labels, cycle(LINES)))


def drawing(
    width: float = PAGE,
    height: float = 2.6,
    rows: int = 1,
    columns: int = 1,
    *,
    sharex: bool = False,
    sharey: bool = False,
    **grid: Any,
) -> tuple[Drawing, NDArray[Any]]:
    """Return a figure that is independent of pyplot's global state, and its axes.

    Parameters
    ----------
    width, height
        Size in inches, see `COLUMN` and `PAGE`.
    rows, columns
        Shape of the grid of axes.
    sharex, sharey
        Whether all axes share their range.
    **grid
        `width_ratios` and `height_ratios` of the axes.

    Returns
    -------
    The figure, and (rows, columns) axes: `figure, [[axes]] = drawing(COLUMN, 2.4)`.
    """
    figure = Drawing(figsize=(width, height), dpi=DOTS, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey, **grid)
    return figure, axes


def log_scale(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with plain numbers at its ticks (10, not a power in mathematical text).

    Call it when everything is drawn: a short axis gets ticks between its powers of ten.
    """
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    subs = [*range(1, 10)] if high < 8 * low else [1, 2, 5] if high < 300 * low else [1]
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def legend_below(figure: Drawing) -> None:
    """Put one legend for all axes below them, each name once, in as many columns as fit; a high one adds its height."""
    entries = {
        wrap(shorten(text, 2 * LINE), LINE): handle
        for axes in figure.axes
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if entries:
        longest = max(len(line) for text in entries for line in text.split("\n"))
        wide = figure.get_figwidth() * CHARACTERS / (6 + longest)
        number = max(1, min(len(entries), int(wide)))
        lines = -(-sum(text.count("\n") + 1 for text in entries) // number)
        figure.set_figheight(figure.get_figheight() + 0.13 * max(0, lines - LOW))
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=number)


def side_by_side(
    axes: Axes,
    table: pd.DataFrame,
    order: Sequence[str],
    spread: tuple[pd.DataFrame, pd.DataFrame] | None = None,
) -> None:
    """Draw a marker per entry of a table: rows along the axis, columns, which are methods, next to each other.

    Parameters
    ----------
    axes
        Axes to draw on.
    table
        A row per position on the axis, a column per label; NaN is not drawn.
    order
        All labels; their order determines colours and markers.
    spread
        Lower and upper ends of a bar at each marker, in tables of the same shape; None: no bars.
    """
    colours, shapes = palette(order), markers(order)
    positions = np.arange(len(table))
    for i, label in enumerate(order):
        if label in table:
            offset = 0.7 * ((i + 0.5) / len(order) - 0.5)
            values = table[label].to_numpy(float)
            name = method_name(label)
            axes.plot(positions + offset, values, shapes[label], color=colours[label], label=name, alpha=0.9)
            if spread:
                low, high = (end[label].to_numpy(float) for end in spread)
                axes.vlines(positions + offset, low, high, color=colours[label], linewidth=0.8)
    for border in positions[1:] - 0.5:
        axes.axvline(border, color="#E0E0E0", linewidth=0.5)
    axes.set_xlim(-0.5, len(table) - 0.5)
    axes.grid(axis="y")


def name_ticks(axes: Axes, names: Sequence[str], width: float, first: float = 0.0) -> None:
    """Write names below an axis, one per unit from `first` on; upright where they would cover each other."""
    axes.set_xticks(first + np.arange(len(names)), names, rotation=90 if _are_upright(names, width) else 0)


def room_for(names: Sequence[str], width: float) -> float:
    """Return the height in inches that `name_ticks` needs."""
    if _are_upright(names, width):
        return _longest_line(names) / CHARACTERS
    return 0.13 * max(name.count("\n") + 1 for name in names)


def _are_upright(names: Sequence[str], width: float) -> bool:
    return _longest_line(names) * len(names) > CHARACTERS * (width - 0.6)


def _longest_line(names: Sequence[str]) -> int:
    return max((len(line) for name in names for line in name.split("\n")), default=0)


def shorten(name: str, most: int = LONGEST) -> str:
    """Return a name on one line, its middle left out if it is longer than `most` characters.

    Examples
    --------
    >>> shorten("a name\\nof two lines"), shorten("uninformed_students", 12)
    ('a name of two lines', 'uninfo…dents')
    """
    line = " ".join(name.split())
    return line if len(line) <= most else f"{line[: most // 2]}…{line[len(line) - (most - 1) // 2 :]}"


def wrap(name: str, width: int) -> str:
    """Break a name into lines of at most `width` characters, after spaces and `_ = , / -` where possible.

    Examples
    --------
    >>> wrap("uninformed_students", 12)
    'uninformed_\\nstudents'
    """
    pieces = [
        piece[i : i + width]
        for piece in re.split(r"(?<=[ _=,/-])", name)
        for i in range(0, max(len(piece), 1), width)
    ]
    lines = [""]
    for piece in pieces:
        if len(lines[-1] + piece.rstrip()) <= width:
            lines[-1] += piece
        else:
            lines.append(piece)
    return "\n".join(line.rstrip() for line in lines if line)


def save(figure: Figure, folder: Path, width: float = PAGE) -> Path:
    """Draw a figure and write it as PDF and PNG, both or neither.

    The same figure always gives the same bytes.

    Returns
    -------
    The path of the PNG.
    """
    with mpl.rc_context(STYLE), without_collection():
        drawn = figure.draw(width=width)
        contents = {"png": io.BytesIO(), "pdf": io.BytesIO()}
        # `savefig` would draw everything twice; the layout is needed once
        FigureCanvasAgg(drawn).print_png(contents["png"])
        drawn.set_layout_engine("none")
        FigureCanvasPdf(drawn).print_pdf(contents["pdf"], metadata={"CreationDate": None})
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".") as unfinished:
        for ending, content in contents.items():
            (Path(unfinished) / ending).write_bytes(content.getvalue())
        for ending in contents:
            (Path(unfinished) / ending).replace(folder / f"{figure.name}.{ending}")
    return folder / f"{figure.name}.png"
