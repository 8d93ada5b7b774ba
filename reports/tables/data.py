"""What was found in the data before the trainings: a table, and warnings."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from reports.model import DASH, Sheet
from reports.naming import slug
from store.data_facts import DataFacts
from store.text import counted, listed

KINDS = 8
"""So many kinds of anomalies are named."""
LEGEND = {
    "good": "normal test images",
    "anomalous": "test images, by kind",
    "masks": "anomalous images with ground truth",
    "area": "the share of anomalous pixels of these masks",
}
"""What columns mean whose names do not say it."""

Row = tuple[str, str, Mapping[str, Any]]
"""Dataset, category, and what was found."""


def data_sheets(found: Sequence[DataFacts], cells: pd.DataFrame) -> list[Sheet]:
    """Return a table of what was found in the categories of these cells; none if nothing was."""
    rows = _rows(found, cells)
    if not rows:
        return []
    datasets = pd.unique(pd.Series([dataset for dataset, *_ in rows]))
    names = [
        f"{dataset} {category}".strip() if len(datasets) > 1 else category for dataset, category, _ in rows
    ]
    shown = pd.DataFrame([_entries(facts) for *_, facts in rows], index=pd.Index(names, name="category"))
    shown = shown.loc[:, (shown != DASH).any()]
    return [
        Sheet(
            name=slug("data"),
            title="Data",
            caption=f"What was found in the data before the first training; dataset {listed(filter(None, datasets))}. "
            f"{'; '.join(f'{name}: {text}' for name, text in LEGEND.items() if name in shown)}.",
            values=shown.copy(),
            shown=shown,
            section="data",
        )
    ]


def data_warnings(found: Sequence[DataFacts], cells: pd.DataFrame) -> list[str]:
    """Return the warnings about the data, each with the categories that it concerns."""
    concerned: dict[str, list[str]] = {}
    for _, category, facts in _rows(found, cells):
        for sentence in _listed_of(facts.get("warnings")):
            concerned.setdefault(str(sentence).rstrip("."), []).append(category)
    return [f"Data of {listed(names, KINDS)}: {sentence}." for sentence, names in concerned.items()]


def _rows(found: Sequence[DataFacts], cells: pd.DataFrame) -> list[Row]:
    """Return what was found in each category of the cells; what a later job found counts."""
    wanted, datasets = set(cells["category"]), list(pd.unique(cells["dataset"]))
    latest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for facts in found:
        for own in facts.categories:
            category = str(own["category"])
            # a dataset's title may say more than its name, see `store.dataset_names`
            known = not facts.dataset or any(facts.dataset in title for title in datasets)
            if category in wanted and known:
                latest[facts.dataset, category] = own
    return [(dataset, category, facts) for (dataset, category), facts in latest.items()]


def _entries(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return a row as text; what is missing, or of another form than expected, is a dash."""
    kinds = facts.get("kinds")
    kinds = kinds if isinstance(kinds, Mapping) else {}
    numbers = [number for number in kinds.values() if isinstance(number, int)]
    others = facts.get("other_sizes")
    return {
        "train": _text(facts.get("train")),
        "validation": _text(facts.get("validation") or None),
        "good": _text(facts.get("good")),
        "anomalous": f"{sum(numbers)} ({listed([f'{k} {n}' for k, n in kinds.items()], KINDS)})"
        if kinds
        else DASH,
        "masks": _text(facts.get("masks")),
        "size": _text(facts.get("size") or None)
        + (f" and {counted(others, 'other')}" if isinstance(others, int) and others else ""),
        "mode": listed(_listed_of(facts.get("modes")), KINDS) or DASH,
        "mask values": listed(map(_text, _listed_of(facts.get("mask_values"))), KINDS) or DASH,
        "area": _area(facts),
    }


def _area(facts: Mapping[str, Any]) -> str:
    median, largest = facts.get("median_share"), facts.get("largest_share")
    if not isinstance(median, int | float) or not isinstance(largest, int | float):
        return DASH
    return f"{100 * median:.1f} % (largest {100 * largest:.1f} %)"


def _text(value: object) -> str:
    if value is None:
        return DASH
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed_of(value: object) -> list[object]:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
