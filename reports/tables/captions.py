"""Captions of tables: measure, data, protocol, teacher, threshold, seeds, code, marks and words for missing entries."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from metrics import MEASURES, is_oracle
from reports.measured import measured, trained_only
from reports.model import DASH
from reports.tables.formatting import FAILED, UNDEFINED
from reports.tables.seeds import MEAN, Seeds, explain_seeds, seeds_of, several_seeds
from reports.teachers import name_teachers
from store.display_names import dataset_name
from store.table import labels, rows
from store.tags import NATURAL_IMAGES, NO_IMAGES, OWN_IMAGES, PRETRAINING_COUNT, PRETRAINING_IMAGES
from store.text import counted, listed

NAMED = 10
"""So many categories are named in a caption."""


def title_of(metric: str) -> str:
    """Return the heading of a metric."""
    return MEASURES[metric].label if metric in MEASURES else metric


def caption(cells: pd.DataFrame, metric: str) -> str:
    """Return what a reader must know: measure, data, protocol, teacher, threshold, seeds, code."""
    return "; ".join([title_of(metric), *facts(cells, [metric], seeds_of(cells))])


def brief(cells: pd.DataFrame, deviations: bool = True) -> str:
    """Return what a paper's caption says after a table's title: the dataset, and over how many seeds entries are."""
    datasets = listed(dataset_name(name) for name in pd.unique(cells["dataset"]))
    counts = {len(own) for own in seeds_of(cells).values()}
    if counts == {1}:
        return datasets
    number = f"{counts.pop()} seeds" if len(counts) == 1 else "seeds"
    return f"{datasets}, mean{' ± standard deviation' if deviations else ''} over {number}"


def facts(cells: pd.DataFrame, metrics: Sequence[str], seeds: Seeds, mean: str = MEAN) -> list[str]:
    """Return the parts of a caption about measures and their cells.

    Parameters
    ----------
    cells
        The tidy table, or a part of it.
    metrics
        Names of the measures.
    seeds
        Seeds of the methods shown, see `seeds_of`.
    mean
        Name of the row of means; "": there is none.
    """
    parts = []
    parts.append(f"dataset {', '.join(pd.unique(cells['dataset']))}")
    parts.append(f"protocol {', '.join(Path(value).name for value in pd.unique(cells['protocol']))}")
    parts += name_teachers(cells)
    parts += [
        f"teachers of {method} pretrained on {images}" for method, images in pretraining(cells, "method")
    ]
    if without := pd.unique(cells.loc[cells[NATURAL_IMAGES] == NO_IMAGES, "method"]).tolist():
        parts.append(f"{listed(without)} trained without natural images")
    if only := [*pd.unique(rows(trained_only(cells)))]:
        parts.append(f"trained, not measured for lack of test images: {listed(only, NAMED)}")
    for changes, part in cells[cells["changes"] != ""].groupby("changes", sort=False):
        methods = "" if len(part) == len(cells) else f" for {', '.join(pd.unique(labels(part)))}"
        parts.append(f"changed{methods}{on_datasets(part, cells)}: {changes}")
    parts += _about(cells, metrics)
    parts.append(explain_seeds(seeds, metrics[0] if len(metrics) == 1 else "<measure>", mean))
    commits = {
        (commit[:10] or "unknown") + (" with changes" if dirty == "true" else "")
        for commit, dirty in zip(cells["git_commit"], cells["git_dirty"], strict=True)
    }
    parts.append(f"code {', '.join(sorted(commits))}")
    return parts


def on_datasets(part: pd.DataFrame, cells: pd.DataFrame) -> str:
    """Return ` on a, b` for a part of some cells that has only some of their datasets."""
    datasets = pd.unique(part["dataset"])
    return "" if len(datasets) == cells["dataset"].nunique() else f" on {', '.join(datasets)}"


def pretraining(cells: pd.DataFrame, column: str) -> list[tuple[str, str]]:
    """Return (value of a column, images) for cells of methods that pretrain their own teachers."""
    columns = [column, PRETRAINING_IMAGES, PRETRAINING_COUNT]
    pretrained = cells.loc[cells[PRETRAINING_IMAGES] != "", columns].drop_duplicates()
    return [
        (
            value,
            f"{counted(int(count), 'train image')} of the tested categories"
            if images == OWN_IMAGES
            else f"{counted(int(count), 'image')} of {images}",
        )
        for value, images, count in pretrained.itertuples(index=False)
    ]


def _about(cells: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    """Return the parts about the measures: variants of PRO, thresholds, oracles."""
    known = [MEASURES[metric] for metric in metrics if metric in MEASURES]
    overlaps = [measure for measure in known if measure.name.startswith("pro")]
    parts = [
        f"PRO variant {measure.name.removeprefix('pro').strip('_') or 'exact'}: {measure.note.rstrip('.')}"
        for measure in overlaps
    ]
    if overlaps:
        parts.append(f"integrated to a false-positive rate of {', '.join(pd.unique(cells['fpr_limit']))}")
    if any(measure.at_threshold for measure in known):
        parts.append(f"threshold {policies(cells)}")
    return parts + [
        f"{measure.label} is an oracle: its threshold is chosen on the test images"
        for measure in known
        if measure.oracle
    ]


def policies(cells: pd.DataFrame) -> str:
    """Return the policies by which thresholds were chosen, oracles named as such."""
    return ", ".join(
        f"{policy} (oracle: chosen on the test images)" if is_oracle(policy) else policy
        for policy in pd.unique(measured(cells)["threshold_policy"])
        if policy
    )


def marking(anything: bool, relevant: float, line: str) -> str:
    """Return what a caption says of marked entries."""
    rule = f"best of each {line} bold, second underlined, by the values as printed"
    if relevant > 0:
        return f"{rule}, only where the best exceeds the second by more than {relevant:g}"
    return rule if anything else ""


def words(shown: pd.DataFrame, seeds: Seeds) -> str:
    """Return the meaning of the words and counts in entries that have no value, or that cover only a part."""
    entries = {str(entry) for entry in shown.to_numpy().ravel()}
    meanings = {
        FAILED: "the cell ended with an error",
        UNDEFINED: "the cell finished without this measure",
        DASH: "no cell has ended or was measured, or there is nothing to average",
    }
    parts = [f"{word}: {meaning}" for word, meaning in meanings.items() if word in entries]
    if any(re.search(r"\[\d+ of \d+\]", entry) for entry in entries):
        parts.append(f"[n of m]: n of m {'seeds' if several_seeds(seeds) else 'categories'} have a value")
    return "; ".join(parts)
