"""Measured beside published numbers: what each source says, the difference, and whether it lies among them."""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import pandas as pd

from reports.cells import labels
from reports.naming import slug
from reports.parts import DASH, Sheet
from reports.tables.captions import facts, title_of, words
from reports.tables.comparison import Entries, entries_of
from reports.tables.entries import DIGITS
from reports.tables.groups import column_order, row_order
from reports.tables.literature import (
    AVERAGE,
    base_method,
    needs,
    obstacles,
    origin,
    overrides_of,
    read_published,
    settings_of,
)
from reports.tables.seeds import MEAN, seeds_of

WITHIN, BELOW, ABOVE, ONE_SOURCE = "within", "below", "above", "one source"
_LEGEND = (
    "difference: measured less the closest comparable value",
    "verdict: whether measured lies among the comparable values, from the smallest to the largest, as printed; one "
    "source alone gives none, and a paper's tables and copies of them are one source",
    f"{AVERAGE}: as each source printed it; {DASH} under a source: it prints no number",
)


@dataclass(frozen=True)
class _Column:
    """What one source says: its name, its numbers by category, and why they cannot be compared, if so."""

    title: str
    source: str
    values: "pd.Series[float]"
    notes: str
    obstacles: Sequence[str]
    needs: Mapping[str, str]


def published_sheets(cells: pd.DataFrame, metric: str) -> list[Sheet]:
    """Return a sheet for each dataset and column of the comparison that there are published numbers of.

    Each holds what was measured, every published number under its source, the difference to the closest of those
    that may be compared, and whether the measured value lies `within`, `below` or `above` them. Numbers of
    another teacher, image size, ablation or PRO, and of runs that chose their epoch on test images or diverged,
    are shown and left out of both. A row of averages is compared where every category was measured.

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
        If the table of published numbers is not there.
    """
    literature = read_published()
    sheets = []
    for dataset, part in cells.groupby("dataset", sort=False):
        listed, found = literature[literature["dataset"] == dataset], entries_of(part, metric)
        if found is None or listed.empty:
            continue
        for label in column_order(part):
            own = part[labels(part) == label]
            columns = _columns(listed, own, metric)
            if columns:
                measured = _measured(found, label, set(listed["category"]) - {AVERAGE}, part)
                sheets.append(_sheet(measured, columns, own, metric, label, seeds_of(cells)))
    return sheets


def _columns(listed: pd.DataFrame, own: pd.DataFrame, metric: str) -> list[_Column]:
    """Return what each source says of the method, those that may be compared first."""
    same = listed[listed["method"].map(base_method) == own["method"].iloc[0]]
    shown = same["metric"].str.startswith("pro") if metric == "pro" else same["metric"] == metric
    columns = []
    mode = settings_of(own)["mode"]
    for (source, method, variant, name), part in same[shown].groupby(
        ["source", "method", "variant", "metric"], sort=False
    ):
        wanted = needs(method, variant)
        if wanted.get("mode", mode) != mode:
            continue  # what looks at something else has a column and a sheet of its own
        notes = "; ".join(filter(None, pd.unique(part["note"])))
        everywhere = "; ".join(same.loc[(same["source"] == source) & (same["method"] == method), "note"])
        what = [source, method if method != base_method(method) else "", variant, _pro(name)]
        columns.append(
            _Column(
                title=", ".join(filter(None, what)),
                source=origin(source),
                values=part.set_index("category")["value"],
                notes=notes,
                obstacles=obstacles(part, everywhere, own, metric),
                needs=wanted,
            )
        )
    return sorted(columns, key=lambda column: bool(column.obstacles))


def _pro(metric: str) -> str:
    """Return how a source's PRO is called; "" for other measures."""
    if metric == "pro":
        return "PRO (variant not stated)"
    return title_of(metric) if metric.startswith("pro") else ""


def _measured(found: Entries, label: str, known: Set[str], part: pd.DataFrame) -> pd.DataFrame:
    """Return what was measured, a row per category and the average.

    Returns
    -------
    The columns `value`, `shown` and `whole`: whether it may be compared, which an average over fewer categories
    than published may not.
    """
    order = row_order(part)
    table = pd.DataFrame({"value": found.values[label], "shown": found.shown[label]}).loc[[*order, MEAN]]
    table["whole"] = table["value"].notna()
    covered = known & set(table.index[table["whole"]])
    if covered != known or set(order) != known:
        table.loc[MEAN, "whole"] = False
        if covered:
            entry = str(table.loc[MEAN, "shown"]).partition(" [")[0]
            table.loc[MEAN, "shown"] = f"{entry} [{len(covered)} of {len(known)} categories]"
    return table.rename(index={MEAN: AVERAGE}).rename_axis(index="category")


def _sheet(
    measured: pd.DataFrame,
    columns: Sequence[_Column],
    own: pd.DataFrame,
    metric: str,
    label: str,
    seeds: list[str],
) -> Sheet:
    comparable = [column for column in columns if not column.obstacles]
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
        *(column.map(lambda value: _printed(value, "")) for column in numbers),
        difference.map(lambda value: _printed(value, "+")),
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
        spans=tuple(span for span in spans if span[1]),
        section="published",
        method=label,
    )


def _compare(measured: float, published: Sequence[tuple[str, float | None]]) -> tuple[float, str]:
    """Return the difference to the closest published value, and the verdict, of values as printed."""
    known = [(source, round(value, DIGITS)) for source, value in published if value is not None]
    if not known:
        return math.nan, DASH
    mine, values = round(measured, DIGITS), [value for _, value in known]
    difference = mine - min(values, key=lambda value: abs(mine - value))
    if len({source for source, _ in known}) == 1:
        return difference, ONE_SOURCE
    verdict = BELOW if mine < min(values) else ABOVE if mine > max(values) else WITHIN
    return difference, verdict


def _printed(value: float, sign: str) -> str:
    return DASH if pd.isna(value) else f"{value:{sign}.{DIGITS}f}"


def _caption(
    columns: Sequence[_Column],
    keys: Sequence[str],
    own: pd.DataFrame,
    metric: str,
    seeds: list[str],
    shown: "pd.Series[str]",
) -> str:
    sources = []
    for key, column in zip(keys, columns, strict=True):
        note = f" ({column.notes})" if column.notes else ""
        reasons = f", not compared: {' and '.join(column.obstacles)}" if column.obstacles else ""
        sources.append(f"{key} {column.title}{note}{reasons}")
    parts = [
        _departures(own, columns),
        *sources,
        *_LEGEND,
        *facts(own, [metric], seeds, AVERAGE),
        words(shown.to_frame(), seeds),
    ]
    return "; ".join(filter(None, parts))


def _departures(own: pd.DataFrame, columns: Sequence[_Column]) -> str:
    """Return in which the measured settings are not the published ones; "" where they are."""
    found = [f"protocol {name}" for name in pd.unique(own["protocol"]) if not str(name).startswith("paper")]
    if "random" in set(own["weights"]):
        found.append("an untrained teacher")
    found += [f"teachers distilled on {text}" for text in pd.unique(own["pretext"]) if "train images" in text]
    settled = {name for column in columns if not column.obstacles for name in column.needs} | {"protocol"}
    found += [f"{name}={value}" for name, value in overrides_of(own).items() if name not in settled]
    return f"measured settings are NOT the published ones: {', '.join(found)}" if found else ""
