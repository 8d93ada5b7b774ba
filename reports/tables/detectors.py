"""The detectors of cells that were trained, not measured: their thresholds, and how they are used."""

import shlex
from collections.abc import Mapping

import pandas as pd

from metrics import FROM_HELD_OUT
from reports.measured import trained_only
from reports.model import DASH, Sheet
from store import tags
from store.doubts import false_alarm_odds
from store.passwords import without_password
from store.table import labels, rows
from store.text import listed

COLUMNS: Mapping[str, tuple[str, str]] = {
    tags.TRAIN_IMAGES: ("train images", ".0f"),
    tags.TRAIN_SECONDS: ("training (s)", ".1f"),
    tags.HELD_OUT_IMAGES: ("held-out images", ".0f"),
    tags.IMAGE_THRESHOLD: ("image threshold", ".4g"),
    tags.THRESHOLD: ("pixel threshold", ".4g"),
}
"""Metrics, their headings, and how they are printed."""
FRACTION = "method.training.validation_fraction=0.2"
RUN = "run"
"""Heading of the runs, by which detectors are used."""


def detector_sheets(cells: pd.DataFrame, uri: str) -> list[Sheet]:
    """Return a table of the finished cells without test images, a row per cell; none if all were measured.

    Parameters
    ----------
    cells
        The tidy table.
    uri
        Tracking URI, for the command that uses them.
    """
    chosen = trained_only(cells)
    if chosen.empty:
        return []
    metrics = chosen.pivot_table(index="run_id", columns="metric", values="value", sort=False)
    metrics = metrics.reindex(index=pd.unique(chosen["run_id"]), columns=list(COLUMNS))
    values = metrics.rename(columns={name: title for name, (title, _) in COLUMNS.items()})
    shown = pd.DataFrame(
        {
            title: [DASH if pd.isna(value) else format(value, form) for value in metrics[name]]
            for name, (title, form) in COLUMNS.items()
        },
        index=metrics.index,
    )
    names = pd.Index(_names(chosen), name="detector")
    runs = {RUN: list(metrics.index)}
    about = ["Trained, not measured", "there are no test images", *_thresholds(chosen, metrics), _use(uri)]
    return [
        Sheet(
            name="detectors",
            title="Trained, not measured",
            caption="; ".join(about),
            values=values.assign(**runs).set_axis(names),
            shown=shown.assign(**runs).set_axis(names),
        )
    ]


def _names(chosen: pd.DataFrame) -> list[str]:
    """Return method and category of each run; with the seed, where it tells runs apart."""
    runs = chosen.drop_duplicates("run_id")
    names = labels(runs) + " " + rows(runs)
    return list(names + " seed " + runs["seed"] if names.duplicated().any() else names)


def _use(uri: str) -> str:
    """Return how the detectors of a store are used."""
    elsewhere = "" if uri == tags.STORE else f" --store {shlex.quote(without_password(uri))}"
    return f"to score images: python -m benchmark.predict RUN IMAGES --out DIR{elsewhere}"


def _thresholds(chosen: pd.DataFrame, metrics: pd.DataFrame) -> list[str]:
    """Return the parts of the caption about thresholds."""
    counts = metrics[tags.HELD_OUT_IMAGES]
    quantiles = {str(params.get(tags.QUANTILE, "")) for params in chosen["params"]} - {""}
    parts = []
    policies = set(chosen[tags.THRESHOLD_POLICY])
    held_out = bool((counts > 0).any())
    if held_out and "mean_3std" in policies:
        parts.append(
            "thresholds: three standard deviations above the mean of the held-out normal images' scores, and of the "
            "pixels of their maps (mean_3std)"
        )
    if held_out and FROM_HELD_OUT in policies:
        parts.append(
            f"thresholds: the quantile {listed(sorted(quantiles))} of the held-out normal images' scores, and of the "
            "largest pixels of their maps (train_quantile)"
        )
    if FROM_HELD_OUT in policies and any(
        false_alarm_odds(int(count), float(quantile)) for quantile in quantiles for count in counts.dropna()
    ):
        parts.append(
            "so few images are held out that the quantile lies next to the largest of their scores: other normal "
            "images may well exceed it"
        )
    if (counts == 0).any():
        parts.append(
            f"{DASH}: no image was held out, so the detector gives no verdict; {FRACTION} holds a fifth of them out"
        )
    return parts
