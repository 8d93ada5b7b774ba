"""What captions say: measure, data, protocol, weights, threshold, seeds, code, marks and words of a table."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from metrics import MEASURES, is_oracle
from reports.parts import DASH
from reports.tables.entries import FAILED, UNDEFINED
from reports.tables.seeds import MEAN, describe_seeds, seeds_of


def title_of(metric: str) -> str:
    """Return what a heading calls a metric."""
    return MEASURES[metric].label if metric in MEASURES else metric


def caption(cells: pd.DataFrame, metric: str) -> str:
    """Return what a reader must know: measure, data, protocol, weights, threshold, seeds, code."""
    return "; ".join([title_of(metric), *facts(cells, [metric], seeds_of(cells))])


def facts(cells: pd.DataFrame, metrics: Sequence[str], seeds: list[str], mean: str = MEAN) -> list[str]:
    """Return what captions say of measures and the cells that they were taken of.

    Parameters
    ----------
    cells
        The tidy table, or a part of it.
    metrics
        Names of the measures.
    seeds
        Those of the whole table.
    mean
        Name of the row of means; "": there is none.
    """
    parts = []
    for name, title in (("dataset", "dataset"), ("protocol", "protocol"), ("weights", "teacher weights")):
        values = [Path(value).name for value in pd.unique(cells[name])]
        parts.append(f"{title} {', '.join(values)}")
    distilled = cells.loc[cells["pretext"] != "", ["method", "pretext"]].drop_duplicates()
    parts += [
        f"teachers of {name} distilled on {images}" for name, images in distilled.itertuples(index=False)
    ]
    if changes := cells["changes"].iloc[0]:
        parts.append(f"changed: {changes}")
    parts += _about(cells, metrics)
    parts.append(describe_seeds(seeds, metrics[0] if len(metrics) == 1 else "<measure>", mean))
    commits = {
        (commit[:10] or "unknown") + (" with changes" if dirty == "true" else "")
        for commit, dirty in zip(cells["git_commit"], cells["git_dirty"], strict=True)
    }
    parts.append(f"code {', '.join(sorted(commits))}")
    return parts


def _about(cells: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    """Return what a reader must know of the measures: variants of PRO, thresholds, what is an oracle."""
    known = [MEASURES[metric] for metric in metrics if metric in MEASURES]
    overlaps = [measure for measure in known if measure.name.startswith("pro")]
    parts = [
        f"PRO variant {measure.name.removeprefix('pro').strip('_') or 'exact'}: {measure.note.rstrip('.')}"
        for measure in overlaps
    ]
    if overlaps:
        parts.append(f"integrated to a false-positive rate of {', '.join(pd.unique(cells['fpr_limit']))}")
    if any(measure.at_threshold for measure in known):
        named = (
            f"{policy} (oracle: chosen on the test images)" if is_oracle(policy) else policy
            for policy in pd.unique(cells["threshold_policy"])
        )
        parts.append(f"threshold {', '.join(named)}")
    return parts + [
        f"{measure.label} is an oracle: its threshold is chosen on the test images"
        for measure in known
        if measure.oracle
    ]


def marking(anything: bool, relevant: float, line: str) -> str:
    """Return what a caption says of marked entries."""
    rule = f"best of each {line} bold, second underlined, by the values as printed"
    if relevant > 0:
        return f"{rule}, where the best exceeds the second by more than {relevant:g} and nowhere else"
    return rule if anything else ""


def words(shown: pd.DataFrame, seeds: list[str]) -> str:
    """Return what a caption says of entries that have no value, or not all that they might cover."""
    found = {str(entry) for entry in shown.to_numpy().ravel()}
    meanings = {
        FAILED: "the cell ended with an error",
        UNDEFINED: "the cell finished without this measure",
        DASH: "no cell has run to an end, or nothing to average",
    }
    parts = [f"{word}: {meaning}" for word, meaning in meanings.items() if word in found]
    if any(re.search(r"\[\d+ of \d+\]", entry) for entry in found):
        parts.append(f"[n of m]: n of m {'seeds' if len(seeds) > 1 else 'categories'} have a value")
    return "; ".join(parts)
