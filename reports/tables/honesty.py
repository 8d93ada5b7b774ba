"""Published numbers, what their sources chose on test images, and what was measured here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from metrics import MEASURES
from reports.model import DASH, Sheet
from reports.naming import slug
from reports.tables.captions import facts, title_of
from reports.tables.formatting import DIGITS
from reports.tables.groups import changes, column_order
from reports.tables.literature import (
    AND,
    AT_THRESHOLD,
    AVERAGE,
    NONE,
    OTHER_THRESHOLD,
    base_method,
    other_settings,
    read_published,
    settings_of,
)
from reports.tables.seeds import seeds_of, values_by_seed
from store.table import labels
from store.tags import DATASET_CHOICE, THRESHOLD_POLICY
from store.text import counted

NOT_STATED = "not stated"
COLUMNS = ["measure", "source", "chosen there", "over", "published", "measured", "chosen here", "difference"]


@dataclass(frozen=True)
class _Row:
    """One published number and the mean of what was measured, over the same categories."""

    label: str
    metric: str
    source: str
    freedom: str
    over: str
    published: float
    measured: "pd.Series[float]"
    own_freedom: str


def honesty_sheets(cells: pd.DataFrame) -> list[Sheet]:
    """Return a sheet for each dataset and method with published numbers of the settings that were measured.

    A row has a source's number for one measure, what the source is documented to have chosen on test images, the
    value measured here over the same categories, and published minus measured. Numbers of other settings have no row:
    see `reports.tables.published`.

    Raises
    ------
    ReportError
        If the table of published numbers is missing.
    """
    literature, sheets = read_published(), []
    for dataset, part in cells.groupby("dataset", sort=False):
        # a folder of the user's own may have the name of a published dataset
        choices = pd.unique(part[DATASET_CHOICE])
        listed_here = literature[literature["dataset"] == (choices[0] if len(choices) == 1 else "")]
        for method, own in part.groupby("method", sort=False):
            same = listed_here[listed_here["method"].map(base_method) == method]
            found = [*_rows_of(same, own, set(listed_here["category"]) - {AVERAGE})]
            if found:
                sheets.append(_sheet(found, str(dataset), str(method), own))
    return sheets


def _rows_of(published: pd.DataFrame, own: pd.DataFrame, categories: set[str]) -> Iterator[_Row]:
    """Yield the rows of a method; `categories` are those that its dataset has in the literature."""
    recorded = [name for name in MEASURES if name in set(published["metric"]) & set(own["metric"])]
    for metric in recorded:
        values = values_by_seed(own, metric)
        printed = published[published["metric"] == metric].groupby(
            ["source", "method", "variant"], sort=False
        )
        for label in column_order(own) if not values.empty else ():
            part = own[(labels(own) == label) & (own["metric"] == metric)]
            measured = pd.DataFrame(values[label]).dropna(how="all")
            for _, column in printed if not measured.empty else ():
                if not _agrees(column, part, metric):
                    continue
                pair = _pair(column.set_index("category")["value"], measured, categories)
                if pair is not None:
                    freedom = AND.join(pd.unique(column["freedom"])) or NOT_STATED
                    source = str(column["source"].iloc[0])
                    yield _Row(label, metric, source, freedom, *pair, _own_freedom(metric, part))


def _agrees(column: pd.DataFrame, part: pd.DataFrame, metric: str) -> bool:
    """Return whether the settings of a published column are those of measured cells, whatever the thresholds."""
    first, mode = column.iloc[0], part["mode"].iloc[0] or "rgb"
    if settings_of(first["method"], first["variant"]).get("method.mode", mode) != mode:
        return False
    return set(other_settings(column, part, metric)) <= {OTHER_THRESHOLD}


def _pair(
    published: "pd.Series[float]", measured: pd.DataFrame, categories: set[str]
) -> tuple[str, float, "pd.Series[float]"] | None:
    """Return the categories over which both can be averaged, the published mean, and the measured one of each seed.

    The printed average counts where the source prints no number of some category and all were measured.
    """
    common = [name for name in measured.index if name in published.index]
    if len(common) < len(measured) and AVERAGE in published.index and set(measured.index) == categories:
        return f"{len(categories)} categories, as printed", published[AVERAGE], measured.mean(skipna=False)
    if not common:
        return None
    return counted(len(common), "category"), published[common].mean(), measured.loc[common].mean(skipna=False)


def _own_freedom(metric: str, part: pd.DataFrame) -> str:
    """Return what the measured cells chose on test images."""
    policies = [policy for policy in pd.unique(part[THRESHOLD_POLICY]) if policy]
    oracle = any(MEASURES[metric].is_oracle(policy) for policy in policies)
    return AT_THRESHOLD if oracle else NONE


def _sheet(found: Sequence[_Row], dataset: str, method: str, own: pd.DataFrame) -> Sheet:
    index = pd.Index([row.label for row in found], name="method")
    values, shown = (
        pd.DataFrame([[*line(row)] for row in found], index, COLUMNS) for line in (_values, _texts)
    )
    metrics = list(dict.fromkeys(row.metric for row in found))
    parts = [
        f"{method}: published numbers and what was measured, over the same categories",
        f"chosen there: what a source is documented to have chosen on test images; {NOT_STATED}: it does not say",
        "chosen here: what the measured cells chose on them",
        "difference: published minus measured; a difference may have other causes, such as seeds",
        *facts(own, metrics, seeds_of(own), ""),
    ]
    return Sheet(
        name=slug("honesty", dataset, method),
        title=f"{method}: published, and measured here",
        caption="; ".join(parts),
        values=values,
        shown=shown,
        rules=changes([*index]),
        section="published",
        method=found[0].label if len(set(index)) == 1 else "",
    )


def _values(row: _Row) -> Iterator[str | float]:
    measured = row.measured.mean()
    yield from (row.metric, row.source, row.freedom, row.over, row.published, measured, row.own_freedom)
    yield row.published - measured


def _texts(row: _Row) -> Iterator[str]:
    measured, deviation = row.measured.mean(), row.measured.std()
    spread = "" if pd.isna(deviation) else f" ± {deviation:.{DIGITS}f}"
    yield from (title_of(row.metric), row.source, row.freedom, row.over, f"{row.published:.{DIGITS}f}")
    if pd.isna(measured):
        yield from (DASH, row.own_freedom, DASH)
    else:
        yield from (
            f"{measured:.{DIGITS}f}{spread}",
            row.own_freedom,
            f"{row.published - measured:+.{DIGITS}f}",
        )
