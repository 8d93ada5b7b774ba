"""Warnings about trainings that ended too early or taught nothing: see `store.doubts`."""

from collections.abc import Iterator

import pandas as pd

from store.doubts import MIN_IMAGES, MIN_STEPS, chance_level, few_images, pixel_chance_level, too_few_steps
from store.table import labels, rows
from store.tags import CHANCE_AUROC, STEPS, STILL_IMPROVING, TRAIN_IMAGES
from store.text import counted

CELL = ["label", "row", "seed", "protocol"]
"""Columns that tell cells apart."""


def training_caveats(done: pd.DataFrame) -> list[str]:
    """Return the warnings about the trainings of finished cells, one sentence each; empty if there are none.

    Cells of versions that did not record steps, ends of curves or the limit of chance are not judged.

    Parameters
    ----------
    done
        The finished cells of a tidy table (`store.table.read_cells`).
    """
    return list(_sentences(done.assign(label=labels, row=rows)))


def _sentences(done: pd.DataFrame) -> Iterator[str]:
    steps = done[done["metric"].str.endswith(STEPS)]
    few = steps[[too_few_steps(value) for value in steps["value"]]]
    if len(few):
        yield (
            f"Trained for fewer than {MIN_STEPS} optimiser steps, too few to train a network: {_counted(few, done)}."
        )
    images = done[done["metric"] == TRAIN_IMAGES]
    small = images[[few_images(value) for value in images["value"]]]
    if len(small):
        yield (
            f"There are fewer train images than in any category of MVTec AD ({MIN_IMAGES}), so schedules that count "
            f"epochs took fewer optimiser steps than published: {_counted(small, done)}."
        )
    falling = done[done["metric"].str.endswith(STILL_IMPROVING) & (done["value"] == 1)]
    if len(falling):
        yield (
            "The held-out value or training loss was still falling when the training ended, so a longer one may change "
            f"the numbers: {_counted(falling, done)}."
        )
    auroc = done[done["metric"] == "image_auroc"].set_index(CELL)
    limits = done[done["metric"] == CHANCE_AUROC].set_index(CELL)["value"]
    limits = limits[~limits.index.duplicated()].reindex(auroc.index)
    verdicts = [chance_level(*pair) for pair in zip(auroc["value"], limits, strict=True)]
    judged = auroc.assign(verdict=verdicts).reset_index()[limits.notna().to_numpy()]
    for verdict in ("worse than chance", "no better than chance"):
        part = judged[judged["verdict"] == verdict]
        if len(part):
            yield f"Image AUROC is {verdict}: {_counted(part, done)}."
    yield from _pixels(done)


def _pixels(done: pd.DataFrame) -> Iterator[str]:
    """Warn of maps that hardly tell anomalous pixels from others."""
    pixels = done[done["metric"] == "pixel_auroc"]
    judged = pixels.assign(verdict=[pixel_chance_level(value) for value in pixels["value"]])
    for verdict, part in judged[judged["verdict"] != ""].groupby("verdict", sort=False):
        yield f"Pixel AUROC is {verdict}, so the maps do not show where anomalies are: {_counted(part, done)}."


def _counted(part: pd.DataFrame, done: pd.DataFrame) -> str:
    """Name the methods of some cells, each with their number: `rd (2 of 15 cells)`."""
    totals = done.drop_duplicates(CELL).groupby("label").size().to_dict()
    counts = part.drop_duplicates(CELL).groupby("label", sort=False).size()
    return ", ".join(
        f"{label} ({count} of {counted(totals[label], 'cell')})" for label, count in counts.items()
    )
