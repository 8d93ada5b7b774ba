"""Made-up cells, as `store.table.read_cells` returns them."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from store.table import TAGS
from store.tags import FORMAT

NAN = math.nan


def cells(*rows: tuple[str, str, float], **columns: object) -> pd.DataFrame:
    """Make the tidy table of (method, category, pro)."""
    shared = {
        **dict.fromkeys(TAGS, ""),
        "status": "FINISHED",
        "variant": "",
        "changes": "",
        "params": {},
        "mode": "rgb",
        "dataset": "mvtec_ad",
        "seed": "0",
        "protocol": "paper",
        "backbone": "resnet18.tv_in1k",
        "weights": "imagenet",
        "threshold_policy": "f1_image",
        "fpr_limit": "0.3",
        "git_commit": "0123456789abcdef",
        "git_dirty": "false",
        "format": FORMAT,
        "metric": "pro",
        **columns,
    }
    shared["dataset_choice"] = shared["dataset_choice"] or shared["dataset"]
    ids = [{"run_id": f"{m}/{c}/{shared['seed']}"} for m, c, _ in rows]
    return pd.DataFrame(
        [
            {**id_, **shared, "method": m, "category": c, "value": v}
            for id_, (m, c, v) in zip(ids, rows, strict=True)
        ]
    )


def over_seeds(values: Mapping[tuple[str, str], Sequence[float | None]], **columns: object) -> pd.DataFrame:
    """Make the tidy table of {(method, category): values of seeds 0, 1, ...}; None is a cell that failed."""
    failed = {**columns, "status": "FAILED", "metric": ""}
    return pd.concat(
        [
            cells((*names, NAN), seed=str(seed), **failed)
            if value is None
            else cells((*names, value), seed=str(seed), **columns)
            for names, sequence in values.items()
            for seed, value in enumerate(sequence)
        ],
        ignore_index=True,
    )
