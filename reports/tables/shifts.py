"""What shifts of the test images cost each method: means over their five levels, and the loss."""

from collections.abc import Mapping

import pandas as pd

from reports.measured import finished
from reports.model import DASH, Sheet
from reports.naming import slug
from reports.shifted import COUNTS, MEASURES, left_alone, means, shifted, shifts_of, strengths
from reports.tables.captions import brief, facts, marking, policies, title_of, words
from reports.tables.comparison import Entries, entries_of
from reports.tables.formatting import DIGITS, number, ranked
from reports.tables.groups import column_order
from reports.tables.seeds import MEAN, seeds_of
from store.artifacts import Artifacts
from store.shifts import SHIFTS, UNSHIFTED
from store.table import labels
from store.tags import SHIFTED

METRIC = "image_auroc"
ALL_SHIFTS = "mean of shifts"


def shift_sheets(cells: pd.DataFrame, artifacts: Artifacts, digits: int = DIGITS) -> list[Sheet]:
    """Return the tables of shifts: of image AUROC, and of all measures; none without shifted test images."""
    found = shift_sheet(cells, digits), shifted_measures_sheet(cells, artifacts)
    return [sheet for sheet in found if sheet is not None]


def shift_sheet(cells: pd.DataFrame, digits: int = DIGITS) -> Sheet | None:
    """Return the table of shifts; None if no cell was measured on shifted test images.

    A row per method, a column per shift: the image AUROC, mean over its five levels and over the categories, and in
    brackets the difference from the images as they are.
    """
    done = finished(cells)
    part = cells[cells["run_id"].isin(done.loc[done["metric"].str.startswith(SHIFTED), "run_id"])]
    names = [name for name in SHIFTS if SHIFTED + name in set(part["metric"])]
    unshifted = entries_of(part, METRIC, digits) if names else None
    if unshifted is None:
        return None
    entries = {name: entries_of(part, SHIFTED + name, digits) for name in names}
    found = {name: own for name, own in entries.items() if own is not None}
    order = column_order(part)
    values = pd.DataFrame(
        {UNSHIFTED: unshifted.values.loc[MEAN], **{name: own.values.loc[MEAN] for name, own in found.items()}}
    ).loc[order]
    values[ALL_SHIFTS] = values[[*found]].mean(axis=1, skipna=False)
    shown, percent = (_texts(values, unshifted, found, digits, in_percent) for in_percent in (False, True))
    best, second = (marked.T for marked in ranked(values.T, {}, digits=digits))
    text = [
        f"{title_of(METRIC)} of shifted test images, mean over five levels; in brackets: the difference from the "
        f"images as they are ({UNSHIFTED})",
        "the detectors are those of the other tables",
        left_alone(part.assign(label=labels)),
        *facts(part, [METRIC], seeds_of(part), mean=""),
        marking(bool(best.to_numpy().any()), 0, "column"),
        words(shown, seeds_of(part)),
    ]
    return Sheet(
        name="shifts",
        title="Shifts of the test images",
        caption="; ".join(filter(None, text)),
        values=values.rename_axis(index="method"),
        shown=shown.rename_axis(index="method"),
        best=best,
        second=second,
        percent=percent.rename_axis(index="method"),
        brief=brief(part),
    )


def shifted_measures_sheet(cells: pd.DataFrame, artifacts: Artifacts) -> Sheet | None:
    """Return the table of all measures of shifted images; None if no cell was measured on any.

    A row per method and shift, first the images as they are. Means over the five levels, over seeds and categories;
    wrong verdicts are those of all seeds and categories together, at the thresholds of the runs.
    """
    table = shifted(cells, artifacts)
    if table.empty:
        return None
    averages, order = means(table), [label for label in column_order(cells) if label in set(table["label"])]
    totals = _totals(table)
    entries = []
    for label in order:
        own = averages.loc[label]
        first = own.xs(0, level="level").iloc[0]
        entries.append((label, UNSHIFTED, first, first * float("nan")))
        for name in own.index.unique("shift"):
            mean = own.loc[name].drop(index=0).mean()
            entries.append((label, name, mean, mean - first))
    index = pd.Index([label for label, *_ in entries], name="method")
    columns = [*MEASURES, *COUNTS]
    values = pd.DataFrame([mean[columns] for *_, mean, _ in entries]).set_axis(index)
    shown = pd.DataFrame(
        [
            {name: _text(mean[name], change[name], totals.get((label, name))) for name in columns}
            for label, _, mean, change in entries
        ],
        index,
    )
    for frame in (values, shown):
        frame.columns = pd.Index([title_of(name).replace("_", " ") for name in columns])
        frame.insert(0, "shift", [name for _, name, *_ in entries])
    text = [
        "Measures of shifted test images, mean over five levels; in brackets: the difference from the images as they "
        f"are ({UNSHIFTED})",
        "misses: anomalous images judged normal, false alarms: normal images judged anomalous; mean numbers over the "
        "levels, of the images of all categories and seeds together",
        "F1, misses and false alarms at the image threshold of the images as they are",
        strengths(table, shifts_of(table)),
        left_alone(table),
        f"threshold {policies(cells)}",
        *facts(cells, ["pro"], seeds_of(cells), mean=""),
    ]
    return Sheet(
        name=slug("shifts", "measures"),
        title="Shifts of the test images, all measures",
        caption="; ".join(filter(None, text)),
        values=values,
        shown=shown,
        rules=tuple(i for i in range(1, len(entries)) if entries[i][1] == UNSHIFTED),
    )


def _totals(table: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Return the numbers of images that could get a wrong verdict at one level, by label and name of the count."""
    first = table[table["level"] == 0].drop_duplicates(["label", "category", "seed"])
    return {
        (str(label), count): int(own[of].sum())
        for label, own in first.groupby("label")
        for count, of in COUNTS.items()
    }


def _text(mean: float, change: float, total: int | None) -> str:
    """Return an entry: a measure with its change, or a number of images of a total."""
    if pd.isna(mean):
        return DASH
    if total is not None:
        return f"{mean * total:.1f} of {total}"
    return number(mean) + ("" if pd.isna(change) else f" ({_signed(change, DIGITS)})")


def _signed(change: float, decimals: int) -> str:
    """Return a change as text; one that is rounded to 0 is no loss."""
    return f"{round(change, decimals) + 0.0:+.{decimals}f}"


def _texts(
    values: pd.DataFrame, unshifted: Entries, found: Mapping[str, Entries], digits: int, in_percent: bool
) -> pd.DataFrame:
    """Return the entries of the table of shifts as text: each mean, and in brackets the difference it makes."""
    scale, decimals = (100, digits - 2) if in_percent else (1, digits)
    own = {UNSHIFTED: unshifted, **found}

    def means_in(column: str) -> "pd.Series[str]":
        if column not in own:
            return values[column].map(lambda value: number(value, digits, in_percent), na_action="ignore")
        entries = own[column]
        return (entries.percent if in_percent else entries.shown).T[MEAN].reindex(values.index)

    def changes_in(column: str) -> "pd.Series[str]":
        changes = values[column] - values[UNSHIFTED]
        return changes.map(
            lambda change: "" if pd.isna(change) else f" ({_signed(scale * change, decimals)})"
        )

    columns = {UNSHIFTED: means_in(UNSHIFTED)}
    columns |= {str(name): means_in(name) + changes_in(name) for name in values.columns[1:]}
    return pd.DataFrame(columns).fillna(DASH)
