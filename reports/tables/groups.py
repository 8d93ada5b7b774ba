"""In which order categories and methods stand in a table, and how they are grouped."""

from collections.abc import Sequence

import pandas as pd

from reports.cells import labels, rows
from reports.tables.seeds import MEAN

TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
OBJECTS = (
    *("bottle", "cable", "capsule", "hazelnut", "metal_nut"),
    *("pill", "screw", "toothbrush", "transistor", "zipper"),
)
"""The groups of MVTec AD (Bergmann et al., 2019, table 2), and the order of their categories."""
MODES = {"rgb": "RGB", "depth": "3D", "rgbd": "RGB+3D"}
"""What a method looks at, in the order and under the names of MVTec 3D-AD's tables."""


def row_order(cells: pd.DataFrame) -> list[str]:
    """Return the rows of a table: MVTec AD's textures, then its objects; others as the sweep asked for them."""
    named = cells.assign(row=rows).drop_duplicates("row")
    known = [*TEXTURES, *OBJECTS]
    order: list[str] = []
    for dataset, part in named.groupby("dataset", sort=False):
        if dataset == "mvtec_ad":
            place = [known.index(name) if name in known else len(known) for name in part["category"]]
            part = part.assign(place=place).sort_values("place", kind="stable")
        order += part["row"].tolist()
    return order


def mean_rows(cells: pd.DataFrame) -> dict[str, list[str]]:
    """Return the rows of means, {name: categories that it covers}, in their order.

    They are those of MVTec AD's textures and objects where there are both, those of each dataset where there are
    several, and that of all.
    """
    order = row_order(cells)
    datasets = pd.unique(cells["dataset"])
    if len(datasets) > 1:
        named = cells.assign(row=rows).groupby("dataset")["row"].agg(set)
        groups = {str(dataset): [row for row in order if row in named[dataset]] for dataset in datasets}
    elif list(datasets) == ["mvtec_ad"]:
        groups = {
            "textures": [row for row in order if row in TEXTURES],
            "objects": [row for row in order if row in OBJECTS],
        }
    else:
        groups = {}
    several = len(groups) > 1 and all(groups.values())
    return {f"{MEAN} {name}": members for name, members in groups.items() if several} | {MEAN: order}


def coverage(cells: pd.DataFrame) -> str:
    """Return what a caption says of means that cover fewer categories than MVTec AD's groups have; mostly ""."""
    means = mean_rows(cells)
    parts = []
    for name, group in (("textures", TEXTURES), ("objects", OBJECTS)):
        members = means.get(f"{MEAN} {name}", group)
        if len(members) < len(group):
            parts.append(f"row {MEAN} {name}: {len(members)} of {len(group)} ({', '.join(members)})")
    return "; ".join(parts)


def rules(order: Sequence[str], cells: pd.DataFrame) -> tuple[int, ...]:
    """Return the positions of rows above which a group, or the rows of means, begin."""
    means = mean_rows(cells)
    firsts = {means[name][0] for name in means if name != MEAN} | {next(iter(means))}
    return tuple(place for place, row in enumerate(order) if place and row in firsts)


def column_order(cells: pd.DataFrame) -> list[str]:
    """Return the columns of a table: by what they look at where a method looks at depth, else as asked."""
    modes = _modes(cells)
    return sorted(modes, key=lambda label: [*MODES].index(modes[label]))


def spans(cells: pd.DataFrame) -> tuple[tuple[str, int], ...]:
    """Return the headings over the columns, (text, number of columns); none where all methods look at RGB."""
    looks = [*_modes(cells).values()]
    if set(looks) == {"rgb"}:
        return ()
    return tuple((heading, looks.count(mode)) for mode, heading in MODES.items() if mode in looks)


def _modes(cells: pd.DataFrame) -> dict[str, str]:
    """Return what each column looks at; what a cell does not say is RGB."""
    named = (
        cells.assign(label=labels, mode=cells.get("mode", "rgb")).drop_duplicates("label").set_index("label")
    )
    return {str(label): mode if mode in MODES else "rgb" for label, mode in named["mode"].items()}
