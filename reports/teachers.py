"""Teachers in words: which network, and where its weights come from."""

from pathlib import Path

import pandas as pd

from store.table import labels

UNTRAINED = "random"
"""The weights of an untrained network."""
_SOURCES = {
    "imagenet": "timm's ImageNet weights",
    "package": "ImageNet weights from an installed package",
    UNTRAINED: "untrained",
}


def describe_teacher(backbone: str, weights: str) -> str:
    """Return network and source of the weights; a file is named without its folder.

    Examples
    --------
    >>> describe_teacher("resnet18.tv_in1k", "imagenet")
    "resnet18.tv_in1k (timm's ImageNet weights)"
    >>> describe_teacher("resnet18.tv_in1k", "/home/me/resnet18.pth")
    'resnet18.tv_in1k (weights resnet18.pth)'
    """
    return f"{backbone} ({_SOURCES.get(weights) or f'weights {Path(weights).name}'})"


def teachers(cells: pd.DataFrame) -> "pd.Series[str]":
    """Return for each row of a tidy table its teacher in words."""
    pairs = zip(cells["backbone"], cells["weights"], strict=True)
    return pd.Series([describe_teacher(*pair) for pair in pairs], index=cells.index, dtype=str)


def name_teachers(cells: pd.DataFrame) -> list[str]:
    """Return a phrase for each teacher, `teacher ...`; where there are several, `teacher of <methods>: ...`."""
    parts = list(cells.groupby(teachers(cells), sort=False))
    if len(parts) == 1:
        return [f"teacher {teacher}" for teacher, _ in parts]
    return [f"teacher of {', '.join(pd.unique(labels(part)))}: {teacher}" for teacher, part in parts]
