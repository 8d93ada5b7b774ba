"""A store with made-up cells, written as a sweep writes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from store.plan import MEMBER, Member
from store.tracker import Run, Tracker

PARAMS = {
    "method._target_": "methods.stfpm.STFPM",
    "method.layers": ["layer1", "layer2"],
    "method.training.image_size": 256,
    "method.training.epochs": 100,
    "backbone.name": "resnet18.tv_in1k",
    "backbone.weights": "imagenet",
    "evaluation.fpr_limit": 0.3,
    "evaluation.tables": ["pro"],
    "runtime.device": "auto",
    "runtime.precision": "fp32",
    "dataset.root": "/data/mvtec_ad",
    "seed": 0,
}

FIRST = Member(0, 0, "key")


def open_tracker(folder: Path, uri: str | None = None) -> Tracker:
    """Open a store, by default a local one in the folder."""
    return Tracker(uri or f"sqlite:///{folder / 'mlflow.db'}", "test", folder)


def add_cell(
    tracker: Tracker,
    params: Mapping[str, Any] | None = None,
    *,
    sweep: str = "a",
    member: Member = FIRST,
    metrics: Mapping[str, float] | None = None,
    status: str = "FINISHED",
    **tags: str,
) -> Run:
    """Write a cell; parameters are those of `PARAMS` and the given ones, None: none at all."""
    shown = {
        "method": "stfpm",
        "dataset": "mvtec_ad",
        "category": "bottle",
        "seed": "0",
        "protocol": "paper",
        "sweep": sweep,
        f"{MEMBER}{sweep}": str(member),
        **tags,
    }
    run = tracker.start_cell(tracker.sweep(sweep), f"{shown['method']} {shown['category']}", shown)
    if params is not None:
        run.log_params({**PARAMS, **params})
    run.log_metrics({"pro": 0.5} if metrics is None else metrics)
    run.end(status)
    return run


def earlier_cell(
    tracker: Tracker,
    params: Mapping[str, Any],
    *,
    member: str = '{"place": [0, 0], "overrides": ["method=stfpm"]}',
    metrics: Mapping[str, float] | None = None,
    **tags: str,
) -> Run:
    """Write a cell as the first format had it."""
    run = tracker.start_cell(tracker.sweep("a"), "stfpm bottle", {})
    tracker.client.delete_tag(run.run_id, "format")
    shown = {
        "method": "stfpm",
        "dataset": "mvtec_ad",
        "category": "bottle",
        "seed": "0",
        "protocol": "paper",
        "sweep": "a",
        "dataset_fingerprint": "bottle-0123",
        "sweep.a": member,
        **tags,
    }
    for name, value in shown.items():
        tracker.client.set_tag(run.run_id, name, value)
    run.log_params(params)
    run.log_metrics(metrics or {"pro": 0.25})
    run.end("FINISHED")
    return run
