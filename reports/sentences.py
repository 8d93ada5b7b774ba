"""Parts of sentences about cells, for warnings."""

from collections.abc import Sequence

import pandas as pd

from metrics import MEASURES
from store.text import listed

NAMED = 4
"""So many cells of a method are named one by one; the others are counted."""
METHODS = 10
"""So many methods are named in a sentence."""
KEYS = ["label", "row", "seed", "protocol"]
"""What tells the cells of a tidy table apart."""


def by(table: pd.DataFrame, column: str) -> list[tuple[str, pd.DataFrame]]:
    """Return the parts of a table by the values of a column, in order of appearance."""
    return [(str(value), part) for value, part in table.groupby(column, sort=False)]


def one_each(named: pd.DataFrame) -> pd.DataFrame:
    """Return one row per cell of a tidy table with the columns `label` and `row`."""
    return named.drop_duplicates([*KEYS, "status"])


def keys(named: pd.DataFrame) -> pd.MultiIndex:
    """Return the keys of the cells of such a table."""
    return pd.MultiIndex.from_frame(named[KEYS])


def titles(part: pd.DataFrame) -> str:
    """Name the measures of a part of a tidy table."""
    return listed(measure.label for name, measure in MEASURES.items() if (part["metric"] == name).any())


def cell_names(runs: pd.DataFrame) -> str:
    """Name cells by method: categories and seeds."""
    parts = []
    for label, part in by(runs, "label"):
        items = [f"{row} seed {seed}" for row, seed in part[["row", "seed"]].itertuples(index=False)]
        more = [f"{len(items) - NAMED} more"] if len(items) > NAMED else []
        parts.append(f"{label} ({listed([*items[:NAMED], *more])})")
    return listed_parts(parts)


def method_names(part: pd.DataFrame) -> str:
    """Name the methods of a part of a tidy table."""
    return listed(pd.unique(part["label"]))


def are(number: int) -> str:
    """Return the verb for so many things."""
    return "is" if number == 1 else "are"


def were(number: int) -> str:
    """Return the same verb in the past tense."""
    return "was" if number == 1 else "were"


def mixed(done: pd.DataFrame, column: str, title: str, consequence: str) -> list[str]:
    """Return a sentence if a column has several values, each with its methods; "" counts as a value."""
    if column not in done or done[column].nunique() < 2:
        return []
    named = listed_parts([f"{value or 'none'} for {method_names(part)}" for value, part in by(done, column)])
    return [f"Different {title} are compared, {consequence}: {named}."]


def listed_parts(parts: Sequence[str], most: int = METHODS) -> str:
    """Return phrases separated by semicolons, and of more than `most` the number of the others."""
    more = [f"{len(parts) - most} more"] if len(parts) > most else []
    return "; ".join([*parts[:most], *more])
