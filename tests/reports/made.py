"""Cells as the store would give them, made up."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

NAN = math.nan


def cells(*rows: tuple[str, str, float], **columns: str) -> pd.DataFrame:
    """Make the tidy table of (method, category, pro)."""
    shared = {
        "status": "FINISHED",
        "variant": "",
        "changes": "",
        "dataset": "mvtec_ad",
        "seed": "0",
        "protocol": "paper",
        "weights": "imagenet",
        "pretext": "",
        "threshold_policy": "f1_image",
        "fpr_limit": "0.3",
        "pixel_measures": "",
        "git_commit": "0123456789abcdef",
        "git_dirty": "false",
        "metric": "pro",
        **columns,
    }
    return pd.DataFrame([{**shared, "method": m, "category": c, "value": v} for m, c, v in rows])


def over_seeds(values: Mapping[tuple[str, str], Sequence[float | None]]) -> pd.DataFrame:
    """Make the tidy table of {(method, category): values of seeds 0, 1, ...}; None is a cell that failed."""
    failed = {"status": "FAILED", "metric": ""}
    return pd.concat(
        [
            cells((*names, NAN), seed=str(seed), **failed)
            if value is None
            else cells((*names, value), seed=str(seed))
            for names, sequence in values.items()
            for seed, value in enumerate(sequence)
        ],
        ignore_index=True,
    )
