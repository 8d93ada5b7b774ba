"""What choices on test images are worth: each with the difference that it makes to the cells that were audited."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from metrics import FROM_HELD_OUT
from reports.measured import finished
from reports.model import Sheet
from reports.tables.captions import facts, title_of
from reports.tables.formatting import DIGITS
from reports.tables.groups import changes, column_order
from reports.tables.literature import AT_THRESHOLD, EPOCH
from reports.tables.seeds import seeds_of
from reports.tables.verdicts import confusions
from store.audits import Audit, audits_of
from store.table import labels, rows
from store.tags import IDENTITY, SWEEP, THRESHOLD_POLICY

COLUMNS = ["chosen on test images", "measure", "honest", "so chosen", "difference", "cells"]
ORACLES = {"image_f1": "f1_image", "dice": "dice_max"}
"""Measures at a threshold, and the policy that chooses it on test images to make them largest."""


@dataclass(frozen=True)
class _Row:
    """One choice and measure of one method: the values of the audited cells, a row per cell."""

    label: str
    chosen: str
    metric: str
    pairs: pd.DataFrame


def audit_sheets(cells: pd.DataFrame, uri: str) -> list[Sheet]:
    """Return the table of the audit, or nothing if no cell was audited.

    A row has a choice on test images and a measure: the value of the honest cell, that with the choice, and the
    difference, mean over the audited categories and ± the deviation over seeds. The largest image AUROC of the audited
    epochs, and of the one that was chosen without test images, counts as chosen on them.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    done = finished(cells)
    audits = audits_of(uri, list(pd.unique(done[SWEEP])))
    done = done[done[IDENTITY].isin(audits)]
    if done.empty:
        return []
    found = [
        row for label in column_order(done) for row in _rows_of(label, done[labels(done) == label], audits)
    ]
    index = pd.Index([row.label for row in found], name="method")
    values, shown = (
        pd.DataFrame([[*line(row)] for row in found], index, COLUMNS) for line in (_values, _texts)
    )
    looks = sorted({audits[identity].every for identity in done[IDENTITY]})
    parts = [
        "Audit: what choices on test images are worth; no other table or figure shows values with such a choice",
        f"honest: the last epoch, or the best on held-out images; thresholds by {FROM_HELD_OUT}",
        f"{EPOCH}: the epoch with the largest image AUROC, of every {', '.join(map(str, looks))}",
        f"{AT_THRESHOLD}: the one with the largest value of the measure",
        "difference: mean over categories, ± standard deviation over seeds",
        *facts(done, [row.metric for row in found][:1], seeds_of(done), ""),
    ]
    return [
        Sheet(
            name="audit",
            title="Audit: choices on test images",
            caption="; ".join(parts),
            values=values,
            shown=shown,
            rules=changes([*index]),
            section="statistics",
        )
    ]


def _rows_of(label: str, done: pd.DataFrame, audits: dict[str, Audit]) -> Iterator[_Row]:
    """Yield the rows of a method whose honest and chosen values are known."""
    numbers = done.pivot_table(index="run_id", columns="metric", values="value", sort=False)
    about = done.assign(row=rows(done)).drop_duplicates("run_id").set_index("run_id")
    honest = numbers["image_auroc"] if "image_auroc" in numbers else pd.Series(dtype=float)
    largest = about[IDENTITY].map(
        lambda identity: max(audits[identity].image_auroc.values(), default=math.nan)
    )
    pairs = {"image_auroc": (honest, largest.where(largest > honest, honest))}
    runs = pd.unique(done["run_id"])
    blind, oracle = (
        pd.Series([None if each is None else each.f1 for each in confusions(done, policy)], runs, dtype=float)
        for policy in (FROM_HELD_OUT, ORACLES["image_f1"])
    )
    pairs["image_f1"] = (blind, oracle)
    is_blind = about[THRESHOLD_POLICY] == FROM_HELD_OUT
    if {"dice", "dice_max"} <= set(numbers):
        pairs["dice"] = (numbers["dice"].where(is_blind), numbers["dice_max"])
    for metric, (honest, chosen) in pairs.items():
        both = pd.DataFrame({"row": about["row"], "seed": about["seed"], "honest": honest, "chosen": chosen})
        if not (known := both.dropna()).empty:
            yield _Row(label, EPOCH if metric == "image_auroc" else AT_THRESHOLD, metric, known)


def _summary(row: _Row) -> tuple[float, float, float, float]:
    """Return honest and chosen mean, their difference, and its deviation over seeds (NaN for one)."""
    by_seed = row.pairs.groupby("seed")[["honest", "chosen"]].mean()
    differences = by_seed["chosen"] - by_seed["honest"]
    return by_seed["honest"].mean(), by_seed["chosen"].mean(), differences.mean(), differences.std()


def _values(row: _Row) -> Iterator[str | float | int]:
    honest, chosen, difference, _ = _summary(row)
    yield from (row.chosen, row.metric, honest, chosen, difference, len(row.pairs))


def _texts(row: _Row) -> Iterator[str]:
    honest, chosen, difference, deviation = _summary(row)
    spread = "" if pd.isna(deviation) else f" ± {deviation:.{DIGITS}f}"
    yield from (row.chosen, title_of(row.metric), f"{honest:.{DIGITS}f}", f"{chosen:.{DIGITS}f}")
    yield from (f"{difference:+.{DIGITS}f}{spread}", str(len(row.pairs)))
