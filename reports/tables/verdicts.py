"""Misses and false alarms of methods on the test images, at the image threshold of each policy."""

from collections.abc import Collection, Iterable, Sequence
from functools import reduce
from operator import add

import pandas as pd

from metrics import THRESHOLD_POLICIES, Confusion, is_oracle
from reports.measured import finished, measured
from reports.model import DASH, Sheet
from reports.naming import slug
from reports.tables.formatting import DIGITS
from reports.tables.groups import column_order, row_order
from reports.tables.seeds import seeds_of
from store.table import labels, rows
from store.tags import ANOMALOUS_IMAGES, FALSE_ALARMS, MISSES, NORMAL_IMAGES, THRESHOLD_POLICY
from store.text import counted, listed

METRICS = ["misses", "false alarms", "precision", "recall", "F1"]


def verdict_sheets(cells: pd.DataFrame, only: Collection[str] | None = None) -> list[Sheet]:
    """Return a table of verdicts by every policy, and one per category (of `only`) where there are several.

    Each has a row per method and policy, first the policies of the runs, then the others. Numbers are sums over the
    categories and seeds. None if no cell has recorded its verdicts, as those of earlier versions.
    """
    every = verdict_sheet(cells)
    if every is None:
        return []
    named, order = rows(cells), row_order(cells)
    categories = [row for row in order if only is None or row in only] if len(order) > 1 else []
    own = [verdict_sheet(cells[named == row], category=row) for row in categories]
    return [every, *(sheet for sheet in own if sheet is not None)]


def chosen_verdicts(cells: pd.DataFrame) -> Sheet | None:
    """Return the table of verdicts by the policies of the runs that could be used in production; None without any."""
    policies = [policy for policy in own_policies(cells) if not is_oracle(policy)]
    return verdict_sheet(cells, policies) if policies else None


def verdict_sheet(
    cells: pd.DataFrame, policies: Sequence[str] | None = None, category: str = ""
) -> Sheet | None:
    """Return the table of verdicts by some policies, or by all; None if no cell has recorded its verdicts by them.

    Parameters
    ----------
    cells
        The tidy table, or the part of it that belongs to one category.
    policies
        Names of the policies; None: all.
    category
        Name of the category.
    """
    done = finished(cells)
    own = own_policies(cells)
    order = [*own, *(policy for policy in THRESHOLD_POLICIES if policy not in own)]
    recorded = set(done["metric"])
    shown = [p for p in order if MISSES + p in recorded and (policies is None or p in policies)]
    if not shown:
        return None
    entries = [
        (label, heading(policy), *summed(confusions(done[labels(done) == label], policy)))
        for label in column_order(cells)
        for policy in shown
    ]
    index = pd.Index([label for label, *_ in entries], name="method")
    values = pd.DataFrame([_values(total) for *_, total, _ in entries], index, METRICS)
    texts = pd.DataFrame([_texts(total, covered) for *_, total, covered in entries], index, METRICS)
    if len(shown) > 1:
        for table in (values, texts):
            table.insert(0, "threshold", [text for _, text, *_ in entries])
    return Sheet(
        name=slug("verdicts", category) if category else "verdicts",
        title="Verdicts",
        caption="; ".join(_caption(cells, own, shown, category)),
        values=values,
        shown=texts,
        rules=tuple(range(len(shown), len(entries), len(shown))) if len(shown) > 1 else (),
        category=category,
    )


def ahead(sheets: Sequence[Sheet], verdicts: Sequence[Sheet], cells: pd.DataFrame) -> list[Sheet]:
    """Return the tables of measures and those of verdicts, these first if the runs' thresholds are no oracles."""
    first, second = (verdicts, sheets) if chosen_verdicts(cells) is not None else (sheets, verdicts)
    return [*first, *second]


def confusions(done: pd.DataFrame, policy: str) -> list[Confusion | None]:
    """Return the verdicts of each cell by a policy; None for a cell that has none.

    Parameters
    ----------
    done
        The measured cells of a tidy table.
    policy
        Name of the threshold policy.
    """
    wanted = [MISSES + policy, FALSE_ALARMS + policy, ANOMALOUS_IMAGES, NORMAL_IMAGES]
    own = done[done["metric"].isin(wanted)]
    numbers = own.pivot_table(index="run_id", columns="metric", values="value", sort=False)
    cells = numbers.reindex(index=pd.unique(done["run_id"]), columns=wanted)
    return [
        None if any(map(pd.isna, counts)) else _confusion(*map(int, counts))
        for counts in cells.itertuples(index=False, name=None)
    ]


def _confusion(misses: int, false_alarms: int, anomalous: int, normal: int) -> Confusion:
    return Confusion(anomalous - misses, misses, false_alarms, normal - false_alarms)


def own_verdicts(done: pd.DataFrame) -> tuple[Confusion | None, str]:
    """Return the sum of some measured cells' verdicts at their own thresholds, and how many have any if not all do."""
    parts = done.groupby(THRESHOLD_POLICY, sort=False)
    return summed(verdict for policy, part in parts for verdict in confusions(part, str(policy)))


def summed(verdicts: Iterable[Confusion | None]) -> tuple[Confusion | None, str]:
    """Return the sum of some cells' verdicts, and how many cells have any if not all do."""
    found = [*verdicts]
    known = [confusion for confusion in found if confusion is not None]
    if not known:
        return None, ""
    return reduce(add, known), "" if len(known) == len(found) else f" [{len(known)} of {len(found)}]"


def _values(total: Confusion | None) -> list[float]:
    if total is None:
        return [float("nan")] * len(METRICS)
    return [float(total.misses), float(total.false_alarms), total.precision, total.recall, total.f1]


def _texts(total: Confusion | None, covered: str) -> list[str]:
    if total is None:
        return [DASH] * len(METRICS)
    ratios = [total.precision, total.recall, total.f1]
    return [
        f"{total.misses} of {total.anomalous}{covered}",
        f"{total.false_alarms} of {total.normal}{covered}",
        *(DASH if pd.isna(value) else f"{value:.{DIGITS}f}" for value in ratios),
    ]


def heading(policy: str) -> str:
    """Return the name of a threshold policy, an oracle named as such."""
    return f"{policy} (oracle)" if is_oracle(policy) else policy


def own_policies(cells: pd.DataFrame) -> list[str]:
    """Return the policies of the measured cells, in order of appearance."""
    return [str(policy) for policy in pd.unique(measured(cells)[THRESHOLD_POLICY]) if policy]


def _caption(cells: pd.DataFrame, own: Sequence[str], shown: Sequence[str], category: str) -> list[str]:
    done = finished(cells)
    categories = rows(done).nunique()
    seeds = max(map(len, seeds_of(cells).values()))
    summed = [counted(categories, "category")] * (categories > 1) + [counted(seeds, "seed")] * (seeds > 1)
    parts = [
        f"Verdicts on {category or 'the test images'}",
        "misses: anomalous images judged normal",
        "false alarms: normal images judged anomalous",
        f"thresholds of the runs: {listed(own)}",
    ]
    if any(is_oracle(policy) for policy in shown):
        parts.append("oracle: chosen on the test images, which are unavailable in production")
    if summed:
        parts.append(f"images of {' and '.join(summed)} together")
    if any(None in confusions(done, policy) for policy in shown):
        parts.append(f"{DASH}: not recorded or no threshold, [n of m]: n of m cells have verdicts")
    return [*parts, f"dataset {listed(pd.unique(cells['dataset']))}"]
