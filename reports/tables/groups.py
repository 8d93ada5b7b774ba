"""The order of categories and methods in a table, and how they are grouped."""

from collections.abc import Sequence

import pandas as pd

from reports.measured import finished, trained_only
from reports.naming import slug
from reports.remembered import remembered
from reports.tables.seeds import MEAN
from store.table import labels, rows

MODES = {"rgb": "RGB", "depth": "3D", "rgbd": "RGB+3D"}
"""The modes of a method, in the order and under the names of MVTec 3D-AD's tables."""


@remembered
def row_order(cells: pd.DataFrame) -> list[str]:
    """Return the rows of a table: by dataset, then by group in order of appearance, then as the sweep asked."""
    return [row for groups in _groups(cells).values() for members in groups.values() for row in members]


@remembered
def mean_rows(cells: pd.DataFrame) -> dict[str, list[str]]:
    """Return the rows of means, {name: categories covered}, in their order.

    A mean of each dataset where there are several, else of each group where the dataset has several; then the
    mean over all categories. Categories without test images do not count.
    """
    tested = with_test_images(cells)
    datasets = {
        dataset: {
            name: kept for name, members in groups.items() if (kept := [m for m in members if m in tested])
        }
        for dataset, groups in _groups(cells).items()
    }
    means = {
        name: [row for members in groups.values() for row in members] for name, groups in datasets.items()
    }
    if len(datasets) == 1:
        (groups,) = datasets.values()
        means = {name: members for name, members in groups.items() if name}
    several = {name: members for name, members in means.items() if members} if len(means) > 1 else {}
    every = [row for row in row_order(cells) if row in tested]
    return {f"{MEAN} {name}": members for name, members in several.items()} | {MEAN: every}


@remembered
def with_test_images(cells: pd.DataFrame) -> set[str]:
    """Return the rows of a table without those in which every finished cell was trained only."""
    only = set(rows(trained_only(cells))) - set(rows(finished(cells)))
    return set(rows(cells)) - only


@remembered
def _groups(cells: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
    """Return {dataset: {group: rows}}; categories without a group, "", come last."""
    named = cells.assign(row=rows).sort_values("group", key=lambda group: group == "", kind="stable")
    datasets: dict[str, dict[str, list[str]]] = {str(name): {} for name in pd.unique(cells["dataset"])}
    for dataset, group, row in named.drop_duplicates("row")[["dataset", "group", "row"]].itertuples(
        index=False
    ):
        datasets[dataset].setdefault(group, []).append(row)
    return datasets


def by_dataset(cells: pd.DataFrame, name: str) -> list[tuple[str, pd.DataFrame]]:
    """Return the cells of each dataset, with a sheet's name: `name`, and the dataset if there are several."""
    if cells["dataset"].nunique() == 1:
        return [(slug(name), cells)]  # the table itself, of which results are remembered
    return [(slug(name, str(dataset)), part) for dataset, part in cells.groupby("dataset", sort=False)]


def rules(order: Sequence[str], cells: pd.DataFrame) -> tuple[int, ...]:
    """Return the positions of the rows at which a group, or the rows of means, begin."""
    means = mean_rows(cells)
    firsts = {means[name][0] for name in means if name != MEAN} | {next(iter(means))}
    return tuple(position for position, row in enumerate(order) if position and row in firsts)


def changes(names: Sequence[str]) -> tuple[int, ...]:
    """Return the positions at which a name differs from the one before.

    Examples
    --------
    >>> changes(["rd", "rd", "stfpm"])
    (2,)
    """
    return tuple(i for i in range(1, len(names)) if names[i] != names[i - 1])


def column_order(cells: pd.DataFrame) -> list[str]:
    """Return the columns of a table: by mode, then as the sweep asked."""
    modes = _modes(cells)
    return sorted(modes, key=lambda label: [*MODES].index(modes[label]))


def spans(cells: pd.DataFrame) -> tuple[tuple[str, int], ...]:
    """Return the headings over the columns, (text, number of columns); none where every mode is RGB."""
    modes = [*_modes(cells).values()]
    if set(modes) == {"rgb"}:
        return ()
    return tuple((heading, modes.count(mode)) for mode, heading in MODES.items() if mode in modes)


@remembered
def _modes(cells: pd.DataFrame) -> dict[str, str]:
    """Return the mode of each column; RGB where a cell does not say."""
    named = cells.assign(label=labels).drop_duplicates("label").set_index("label")
    return {str(label): mode if mode in MODES else "rgb" for label, mode in named["mode"].items()}
