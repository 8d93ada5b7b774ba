"""Measures of shifted test images, from the files of cells, and their means."""

from collections.abc import Sequence

import pandas as pd

from reports.measured import finished
from store.artifacts import Artifacts
from store.shifts import SHIFTS, UNSHIFTED
from store.table import labels, rows

MEASURES = ["image_auroc", "pixel_auroc", "pro", "image_f1"]
COUNTS = {"misses": "anomalous", "false_alarms": "normal"}
"""Numbers of wrong verdicts, and the number of images that could have got one."""


def shifted(cells: pd.DataFrame, artifacts: Artifacts) -> pd.DataFrame:
    """Return the measures of all cells that were measured on shifted images; empty if none was.

    Returns
    -------
    The columns `store.shifts.SHIFT_COLUMNS`, and `category`, `label`, `seed` and `mode`. The images as they are have
    level 0 of each shift of their cell.
    """
    runs = finished(cells).drop_duplicates("run_id").assign(row=rows, label=labels)
    tables = []
    for run_id, row, label, seed, mode in runs[["run_id", "row", "label", "seed", "mode"]].itertuples(
        index=False
    ):
        table = artifacts.shifts(run_id)
        if table is None:
            continue
        is_shifted = table["shift"] != UNSHIFTED
        names = pd.DataFrame({"shift": pd.unique(table["shift"][is_shifted])})
        unshifted = table[~is_shifted].drop(columns="shift").merge(names, how="cross")
        own = pd.concat([table[is_shifted], unshifted], ignore_index=True)
        tables.append(own.assign(category=row, label=label, seed=seed, mode=mode))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Average measures over seeds, then over categories; wrong verdicts are those of all of them together.

    Parameters
    ----------
    table
        See `shifted`.

    Returns
    -------
    A row per label, shift and level, in the order of `SHIFTS`, with the columns `MEASURES`, and `misses` and
    `false_alarms` as parts of the anomalous and of the normal images; NaN where no cell has a value.
    """
    keys = ["label", "shift", "level"]
    averages = table.groupby([*keys, "category"])[MEASURES].mean().groupby(keys).mean()
    for count, of in COUNTS.items():
        judged = table.dropna(subset=count)
        sums = judged.groupby(keys)[[count, of]].sum()
        averages[count] = sums[count] / sums[of]
    return averages.reindex(shifts_of(table), level="shift")


def shifts_of(table: pd.DataFrame) -> list[str]:
    """Return the shifts in a table of `shifted`, in the order of `SHIFTS`."""
    found = set(table["shift"])
    return [*(name for name in SHIFTS if name in found), *sorted(found - {*SHIFTS})]


def strengths(table: pd.DataFrame, names: Sequence[str]) -> str:
    """Return the numbers of the levels of some shifts, for a caption."""
    parts = []
    for name in names:
        levels = table.loc[(table["shift"] == name) & (table["level"] > 0), ["level", "strength"]]
        numbers = ", ".join(f"{value:g}" for value in levels.sort_values("level")["strength"].unique())
        meaning = f" ({SHIFTS[name].parameter})" if name in SHIFTS else ""
        parts.append(f"{name} {numbers}{meaning}")
    return "; ".join(parts)


def left_alone(table: pd.DataFrame) -> str:
    """Return which methods have depth, which is not shifted; "" for none."""
    with_depth = pd.unique(table.loc[table["mode"] == "rgbd", "label"])
    return f"depth of {', '.join(with_depth)} is left as it is" if len(with_depth) else ""
