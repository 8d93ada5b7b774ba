"""Which runs a figure shows, and what its caption says of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd

from metrics import is_oracle
from reports.cells import labels, rows
from reports.tables.seeds import seeds_of

T = TypeVar("T")
Seeds = dict[str, T]
"""By seed, in ascending order."""
Found = dict[str, dict[str, Seeds[T]]]
"""By category and label; every label is there, without seeds where nothing was found."""


def columns(cells: pd.DataFrame) -> list[str]:
    """Return the labels of the methods, in the order of the tables."""
    return list(pd.unique(labels(cells)))


def find(cells: pd.DataFrame, read: Callable[[str], T | None]) -> Found[T]:
    """Read one thing of every finished cell.

    Parameters
    ----------
    cells
        The tidy table.
    read
        Takes a run's id; None is what a run does not have.

    Returns
    -------
    What was found, by category, label and seed.
    """
    named = cells.assign(category=rows, label=labels)
    found: Found[T] = {c: {label: {} for label in columns(cells)} for c in pd.unique(named["category"])}
    runs = named[named["status"] == "FINISHED"].drop_duplicates("run_id")
    runs = runs.sort_values("seed", key=lambda seeds: seeds.map(int), kind="stable")
    for run_id, category, label, seed in runs[["run_id", "category", "label", "seed"]].itertuples(
        index=False
    ):
        value = read(run_id)
        if value is not None:
            found[category][label][seed] = value
    return found


def lowest(methods: Mapping[str, Mapping[str, T]]) -> dict[str, Seeds[T]]:
    """Keep only each method's lowest seed, for what cannot be averaged."""
    return {label: dict(list(seeds.items())[:1]) for label, seeds in methods.items()}


def caption(
    what: str, cells: pd.DataFrame, methods: Mapping[str, Mapping[str, T]], things: str, category: str = ""
) -> str:
    """Return a figure's caption: what it shows, of which data and seeds, and of which methods not.

    Parameters
    ----------
    what
        The first part, which says what is drawn.
    cells
        The tidy table.
    methods
        What is drawn, by label and seed; labels without seeds are named as missing.
    things
        What these lack: `curves` gives "no curves of rd".
    category
        Row of the tables; "": all of them.
    """
    parts = [what, about(cells, category), drawn_seeds(cells, methods)]
    if absent := [label for label, seeds in methods.items() if not seeds]:
        named = (f"{label}{_why(cells, label, category)}" for label in absent)
        parts.append(f"no {things} of {', '.join(named)}")
    return "; ".join(part for part in parts if part)


def drawn_seeds(cells: pd.DataFrame, methods: Mapping[str, Mapping[str, T]]) -> str:
    """Return which seeds are drawn, in one phrase where all methods have the same; "" for nothing."""
    drawn = {label: tuple(seeds) for label, seeds in methods.items() if seeds}
    if not drawn:
        return ""
    if len(set(drawn.values())) > 1:
        return f"seeds: {listed(f'{label} {listed(seeds)}' for label, seeds in drawn.items())}"
    (seeds,) = set(drawn.values())
    if len(seeds) > 1:
        return f"mean over {len(seeds)} seeds ({listed(seeds)})"
    ran: Sequence[str] = seeds_of(cells)
    return f"seed {seeds[0]}" + (f" of {listed(ran)}" if len(ran) > 1 else "")


def about(cells: pd.DataFrame, category: str = "") -> str:
    """Return the data and protocol of all cells, or of a row of the tables."""
    chosen = cells.assign(row=rows)
    if category:
        chosen = chosen[chosen["row"] == category]
    parts = [
        f"{name} {', '.join(Path(value).name for value in pd.unique(chosen[name]))}"
        for name in ("dataset", "protocol")
    ]
    if category:
        parts.insert(1, f"category {', '.join(pd.unique(chosen['category']))}")
    return "; ".join(parts)


def policies(cells: pd.DataFrame) -> str:
    """Return by which rules thresholds were chosen, oracles named as such."""
    return listed(
        f"{policy} (oracle: chosen on the test images)" if is_oracle(policy) else policy
        for policy in pd.unique(cells["threshold_policy"])
        if policy
    )


def listed(items: Iterable[object]) -> str:
    """Return items separated by commas."""
    return ", ".join(map(str, items))


def _why(cells: pd.DataFrame, label: str, category: str) -> str:
    """Return why a method has nothing to draw, where its cells tell."""
    named = cells.assign(row=rows, label=labels)
    own = named[(named["label"] == label) & ((named["row"] == category) | (category == ""))]
    statuses = set(own["status"])
    if not statuses:
        return " (not run)"
    return "" if "FINISHED" in statuses else f" ({listed(sorted(statuses)).lower()})"
