"""A table of means on the console, in Markdown and in LaTeX; the best of each row is marked."""

import pandas as pd
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from reports.seeds import MEAN, Spread

DASH = "–"
DIGITS = 3


def to_rich(table: pd.DataFrame, spread: Spread | None = None) -> Table:
    """Return the table for a terminal; the best of each row is bold and green."""
    drawn = Table()
    drawn.add_column(str(table.index.name))
    for label in table.columns:
        drawn.add_column(escape(str(label)), justify="right", overflow="fold")
    shown, best = _printed(table, spread), _best(table)
    for name in table.index:
        if name == MEAN:
            drawn.add_section()
        marked = zip(shown.loc[name], best.loc[name], strict=True)
        drawn.add_row(Text(str(name)), *(Text(text, "bold green" if b else "") for text, b in marked))
    return drawn


def to_markdown(table: pd.DataFrame, text: str, spread: Spread | None = None) -> str:
    """Return the table in Markdown; the best of each row is bold."""
    stars = _best(table).map(lambda b: "**" if b else "")
    marked = stars + _printed(table, spread) + stars
    grid = marked.to_markdown(disable_numparse=True, colalign=("left", *["right"] * table.shape[1]))
    return f"{grid}\n\n{text}\n"


def to_latex(table: pd.DataFrame, text: str, label: str, spread: Spread | None = None) -> str:
    """Return the table in LaTeX (booktabs); the best of each row is bold."""
    best = _best(table)
    shown = _printed(table, spread).replace(DASH, "--")
    formulas = shown.replace(r"^(\S+) ± (\S+)", r"$\1 \\pm \2$", regex=True)
    styler = formulas.rename_axis(index=None).style
    styler = styler.format_index(escape="latex", axis=0).format_index(escape="latex", axis=1)
    # \textbf alone leaves formulas as they are
    heavy = shown.map(lambda entry: "textbf: --rwrap; boldmath: ;" if "±" in entry else "textbf: --rwrap;")
    bold = heavy.where(best, "")
    return styler.apply(lambda _: bold, axis=None).to_latex(
        hrules=True,
        caption=_escape_latex(text),
        label=label,
        position_float="centering",
        column_format="l" + "r" * table.shape[1],
    )


def _printed(table: pd.DataFrame, spread: Spread | None) -> pd.DataFrame:
    """Return the entries as text: mean, deviation between seeds, and marks of what is missing."""
    shown = table.round(DIGITS).map(lambda value: DASH if pd.isna(value) else f"{value:.{DIGITS}f}")
    if spread:
        shown += spread.deviations.map(lambda value: "" if pd.isna(value) else f" ± {value:.{DIGITS}f}")
    return shown + _marks(table, spread)


def _marks(table: pd.DataFrame, spread: Spread | None) -> pd.DataFrame:
    """Return for each entry how many of the seeds, or for a mean of the categories, it covers if not all."""
    seeds = len(spread.seeds) if spread else 1
    marks = pd.DataFrame("", index=table.index, columns=table.columns, dtype=object)
    if spread and seeds > 1:
        fewer = table.notna() & (spread.counts < seeds)
        marks = spread.counts.map(lambda count: f" [{count} of {seeds}]").astype(object).where(fewer, "")
    covered, categories = table.drop(index=MEAN).notna().sum(), len(table) - 1
    unit = " categories" if seeds > 1 else ""
    for label in table.columns[(covered > 0) & (covered < categories)]:
        marks.loc[MEAN, label] = f" [{covered[label]} of {categories}{unit}]"
    return marks


def _best(table: pd.DataFrame) -> pd.DataFrame:
    """Return which entries are the best of their row as printed.

    A method alone is not, and no mean is where some mean covers fewer categories than the table has.
    """
    rounded = table.round(DIGITS)
    best = rounded.eq(rounded.max(axis=1), axis=0) & (table.shape[1] > 1)
    if table.drop(index=MEAN).isna().any(axis=None):
        best.loc[MEAN] = False
    return best


def _escape_latex(text: str) -> str:
    special = {c: f"\\{c}" for c in "&%#_${}"} | {"±": r"$\pm$"}
    return "".join(special.get(c, c) for c in text)
