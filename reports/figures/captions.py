"""Captions of figures, and the runs that a figure shows."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

import pandas as pd

from reports.tables.seeds import all_seeds, seed_order, seeds_of
from store.table import labels, rows
from store.text import counted, listed

T = TypeVar("T")
Seeds = dict[str, T]
"""By seed, in ascending order."""
Found = dict[str, dict[str, Seeds[T]]]
"""By category and label; all labels are present, without seeds where nothing was found."""


def columns(cells: pd.DataFrame) -> list[str]:
    """Return the labels of the methods, in the order of the sweep."""
    return list(pd.unique(labels(cells.drop_duplicates(["method", "variant"]))))


def find(
    cells: pd.DataFrame, read: Callable[[str], T | None], only: Collection[str] | None = None
) -> Found[T]:
    """Read something of every finished cell.

    Parameters
    ----------
    cells
        The tidy table.
    read
        Takes the id of a run; returns None where the run lacks it.
    only
        Rows of the tables to read; None: all.

    Returns
    -------
    The results by category, label and seed.
    """
    named = cells.assign(category=rows, label=labels)
    if only is not None:
        named = named[named["category"].isin(only)]
    order = columns(cells)
    found: Found[T] = {c: {label: {} for label in order} for c in pd.unique(named["category"])}
    runs = named[named["status"] == "FINISHED"].drop_duplicates("run_id")
    runs = runs.sort_values("seed", key=lambda seeds: seeds.map(seed_order), kind="stable")
    keys = ["run_id", "category", "label", "seed"]
    for run_id, category, label, seed in runs[keys].itertuples(index=False):
        value = read(run_id)
        if value is not None:
            found[category][label][seed] = value
    return found


def lowest(methods: Mapping[str, Mapping[str, T]]) -> dict[str, Seeds[T]]:
    """Keep only each method's lowest seed, for figures that cannot show an average."""
    return {label: dict(list(seeds.items())[:1]) for label, seeds in methods.items()}


def caption(
    what: str, cells: pd.DataFrame, methods: Mapping[str, Mapping[str, T]], things: str, category: str = ""
) -> str:
    """Return a figure's caption: what it shows, the data and seeds, and the methods that are missing.

    Parameters
    ----------
    what
        First part of the caption, what is drawn.
    cells
        The tidy table.
    methods
        What is drawn, by label and seed; labels without seeds are named as missing.
    things
        Name of what is drawn: `curves` gives "no curves of rd".
    category
        Row of the tables; "": all of them.
    """
    parts = [what, about(cells, category), drawn_seeds(cells, methods)]
    if absent := [label for label, seeds in methods.items() if not seeds]:
        named = (f"{label}{_why(cells, label, category)}" for label in absent)
        parts.append(f"no {things} of {', '.join(named)}")
    return "; ".join(part for part in parts if part)


def drawn_seeds(cells: pd.DataFrame, methods: Mapping[str, Mapping[str, T]]) -> str:
    """Return which seeds are drawn, in one phrase where all methods have the same; "" where none are."""
    drawn = {label: tuple(seeds) for label, seeds in methods.items() if seeds}
    if not drawn:
        return ""
    if len(set(drawn.values())) > 1:
        return f"seeds: {listed(f'{label} {listed(seeds)}' for label, seeds in drawn.items())}"
    (seeds,) = set(drawn.values())
    if len(seeds) > 1:
        return f"mean over {counted(len(seeds), 'seed')} ({listed(seeds)})"
    # of methods, or of the one method whose categories are drawn
    known = seeds_of(cells)
    every = all_seeds({label: own for label, own in known.items() if label in drawn} or known)
    return f"seed {seeds[0]}" + (f" of {listed(every)}" if len(every) > 1 else "")


def about(cells: pd.DataFrame, category: str = "") -> str:
    """Return the data and protocol of all cells, or of one row of the tables."""
    chosen = cells.drop_duplicates(["dataset", "category", "protocol"]).assign(row=rows)
    if category:
        chosen = chosen[chosen["row"] == category]
    parts = [
        f"dataset {listed(pd.unique(chosen['dataset']))}",
        f"protocol {listed(Path(value).name for value in pd.unique(chosen['protocol']))}",
    ]
    if category:
        parts.insert(1, f"category {listed(pd.unique(chosen['category']))}")
    return "; ".join(parts)


def _why(cells: pd.DataFrame, label: str, category: str) -> str:
    """Return why a method has nothing to draw, if its cells' states show it."""
    named = cells.assign(row=rows, label=labels)
    own = named[(named["label"] == label) & ((named["row"] == category) | (category == ""))]
    statuses = set(own["status"])
    if not statuses:
        return " (not run)"
    return "" if "FINISHED" in statuses else f" ({listed(sorted(statuses)).lower()})"
