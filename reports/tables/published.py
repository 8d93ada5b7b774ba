"""Comparison of measured with published numbers: each source's number, the difference, and a verdict."""

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

import pandas as pd

from reports.model import DASH, Sheet
from reports.naming import slug
from reports.tables.captions import facts, title_of, words
from reports.tables.comparison import Entries, entries_of
from reports.tables.formatting import DIGITS
from reports.tables.groups import column_order, row_order
from reports.tables.literature import (
    AVERAGE,
    PROTOCOLS,
    base_method,
    mismatches,
    published_options,
    read_published,
    settings_of,
    source_group,
)
from reports.tables.seeds import MEAN, Seeds, seeds_of
from store.options import changed_options, describe
from store.table import labels
from store.tags import DATASET_CHOICE
from store.text import counted

WITHIN, BELOW, ABOVE, ONE_SOURCE = "within", "below", "above", "one source"
_LEGEND = (
    "difference: measured minus the closest comparable value",
    "verdict: whether measured lies between the smallest and the largest comparable value, as printed; a single "
    "source gives none, and a paper's tables and copies of them are one source",
    f"{AVERAGE}: as each source printed it; {DASH} under a source: it prints no number",
)


@dataclass(frozen=True)
class _Column:
    """The numbers of one source by category, and why they are not comparable, if so."""

    title: str
    source: str
    values: "pd.Series[float]"
    notes: str
    mismatches: Sequence[str]


def published_sheets(cells: pd.DataFrame, metric: str) -> list[Sheet]:
    """Return a sheet for each dataset and method of the comparison that has published numbers.

    Each shows what was measured, every published number under its source, the difference to the closest
    comparable one, and whether the measured value lies `within`, `below` or `above` the comparable ones. Numbers
    of another teacher, image size, ablation or PRO, and of runs that chose their epoch on test images or
    diverged, are shown but not compared. Averages are compared where every published category was measured.

    Parameters
    ----------
    cells
        The tidy table.
    metric
        Name of the measure. `pro` shows published PROs of all variants, each under its name; the others show
        their own.

    Raises
    ------
    ReportError
        If the table of published numbers is missing.
    """
    literature = read_published()
    sheets = []
    for _, part in cells.groupby("dataset", sort=False):
        # a folder of the user's own may have the name of a published dataset
        choices = pd.unique(part[DATASET_CHOICE])
        listed = literature[literature["dataset"] == (choices[0] if len(choices) == 1 else "")]
        entries = None if listed.empty else entries_of(part, metric)
        if entries is None:
            continue
        for label in column_order(part):
            own = part[labels(part) == label]
            measured = _measured(entries, label, set(listed["category"]) - {AVERAGE}, part)
            comparable = measured.index[measured["whole"] | (measured.index != AVERAGE)]
            printed = [
                column
                for column in _columns(listed, own, metric)
                if column.values.reindex(comparable).notna().any()
            ]
            if printed and measured["value"].notna().any():
                seeds = {label: seeds_of(own)[label]}
                sheets.append(_sheet(measured, printed, own, metric, label, seeds))
    return sheets


def _columns(listed: pd.DataFrame, own: pd.DataFrame, metric: str) -> list[_Column]:
    """Return the columns of all sources on one method, the comparable ones first."""
    same = listed[listed["method"].map(base_method) == own["method"].iloc[0]]
    shown = same["metric"].str.startswith("pro") if metric == "pro" else same["metric"] == metric
    mode, measured = own["mode"].iloc[0] or "rgb", own[own["metric"] == metric]
    columns = []
    keys = ["source", "method", "variant", "metric"]
    for (source, method, variant, name), part in same[shown].groupby(keys, sort=False):
        settings = settings_of(method, variant)
        if settings.get("method.mode", mode) != mode:
            continue  # other modes have a column and a sheet of their own
        parts = [source, method if method != base_method(method) else "", variant, _pro(name)]
        columns.append(
            _Column(
                title=", ".join(filter(None, parts)),
                source=source_group(source),
                values=part.set_index("category")["value"],
                notes="; ".join(filter(None, pd.unique(part["note"]))),
                mismatches=mismatches(part, measured, metric),
            )
        )
    return sorted(columns, key=lambda column: bool(column.mismatches))


def _pro(metric: str) -> str:
    """Return the name of a source's variant of PRO; "" for other measures."""
    if metric == "pro":
        return "PRO (variant not stated)"
    return title_of(metric) if metric.startswith("pro") else ""


def _measured(entries: Entries, label: str, published: Set[str], part: pd.DataFrame) -> pd.DataFrame:
    """Return the measured values, a row per category and the average.

    Returns
    -------
    The columns `value`, `shown` and `whole`: whether the value is compared, which an average over other
    categories than the published ones is not.
    """
    order = row_order(part)
    table = pd.DataFrame({"value": entries.values[label], "shown": entries.shown[label]}).loc[[*order, MEAN]]
    table["whole"] = table["value"].notna()
    covered = published & set(table.index[table["whole"]])
    if covered != published or set(order) != published:
        table.loc[MEAN, "whole"] = False
        if covered:
            entry = str(table.loc[MEAN, "shown"]).partition(" [")[0]
            table.loc[MEAN, "shown"] = f"{entry} [{len(covered)} of {counted(len(published), 'category')}]"
    return table.rename(index={MEAN: AVERAGE}).rename_axis(index="category")


def _sheet(
    measured: pd.DataFrame,
    columns: Sequence[_Column],
    own: pd.DataFrame,
    metric: str,
    label: str,
    seeds: Seeds,
) -> Sheet:
    comparable = [column for column in columns if not column.mismatches]
    numbers = [column.values.reindex(measured.index) for column in columns]
    compared = [
        _compare(float(value), [(column.source, column.values.get(row)) for column in comparable if whole])
        for row, value, whole in measured[["value", "whole"]].itertuples()
    ]
    difference = pd.Series([difference for difference, _ in compared], index=measured.index, dtype=float)
    verdict = pd.Series([verdict for _, verdict in compared], index=measured.index)
    values = [measured["value"], *numbers, difference, verdict]
    shown = [
        measured["shown"],
        *(column.map(lambda value: _formatted(value, "")) for column in numbers),
        difference.map(lambda value: _formatted(value, "+")),
        verdict,
    ]
    keys = [f"[{number}]" for number in range(1, len(columns) + 1)]
    spans = (
        ("", 1),
        ("comparable", len(comparable)),
        ("not comparable", len(columns) - len(comparable)),
        ("", 2),
    )
    ends = ("difference", "verdict")
    return Sheet(
        name=slug("published", own["dataset"].iloc[0], metric, label),
        title=f"{label}: {title_of(metric)}, measured and published",
        caption=_caption(columns, keys, own, metric, seeds, measured["shown"]),
        values=pd.concat(values, axis=1, keys=["measured", *(column.title for column in columns), *ends]),
        shown=pd.concat(shown, axis=1, keys=["measured", *keys, *ends]),
        rules=(len(measured) - 1,),
        means=(len(measured) - 1,),
        spans=tuple(span for span in spans if span[1]),
        section="published",
        method=label,
    )


def _compare(measured: float, published: Sequence[tuple[str, float | None]]) -> tuple[float, str]:
    """Return the difference to the closest published value, and the verdict, of values as printed."""
    known = [(source, round(value, DIGITS)) for source, value in published if value is not None]
    if not known:
        return math.nan, DASH
    printed, values = round(measured, DIGITS), [value for _, value in known]
    difference = printed - min(values, key=lambda value: abs(printed - value))
    if len({source for source, _ in known}) == 1:
        return difference, ONE_SOURCE
    verdict = BELOW if printed < min(values) else ABOVE if printed > max(values) else WITHIN
    return difference, verdict


def _formatted(value: float, sign: str) -> str:
    return DASH if pd.isna(value) else f"{value:{sign}.{DIGITS}f}"


def _caption(
    columns: Sequence[_Column],
    keys: Sequence[str],
    own: pd.DataFrame,
    metric: str,
    seeds: Seeds,
    shown: "pd.Series[str]",
) -> str:
    sources = []
    for key, column in zip(keys, columns, strict=True):
        note = f" ({column.notes})" if column.notes else ""
        reasons = f", not comparable: {' and '.join(column.mismatches)}" if column.mismatches else ""
        sources.append(f"{key} {column.title}{note}{reasons}")
    parts = [
        _departures(own[own["status"] == "FINISHED"], own["method"].iloc[0]),
        *sources,
        *_LEGEND,
        *facts(own, [metric], seeds, AVERAGE),
        words(shown.to_frame(), seeds),
    ]
    return "; ".join(filter(None, parts))


def _departures(finished: pd.DataFrame, method: str) -> str:
    """Return in which settings a method's cells differ from every published variant; "" where in none.

    It is the same for all measures, whichever of the variants printed a number.
    """
    departures = [f"protocol {name}" for name in pd.unique(finished["protocol"]) if name not in PROTOCOLS]
    cells = [*{id(params): params for params in finished["params"]}.values()]  # a cell's rows share one
    as_published = published_options(method, cells)
    changed = [item for params in cells for item in changed_options(params).items()]
    departures += [
        describe({option: value}) for option, value in dict.fromkeys(changed) if option not in as_published
    ]
    return f"measured settings are NOT the published ones: {', '.join(departures)}" if departures else ""
