"""Warnings about the data of cells: images without ground truth, and cells with different images or settings."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from metrics import FROM_HELD_OUT
from reports.measured import pixel_values
from reports.sentences import METHODS, are, by, listed_parts, one_each
from store.doubts import false_alarm_odds
from store.options import data_options, describe
from store.tags import HELD_OUT_IMAGES, QUANTILE, TEST_IMAGES, THRESHOLD_POLICY, WITHOUT_TRUTH
from store.text import counted, listed


def _without_truth(done: pd.DataFrame) -> list[str]:
    """Warn of anomalous images that pixel measures leave out, where there are such measures."""
    lacking = done[(done["metric"] == WITHOUT_TRUTH) & (done["value"] > 0)]
    lacking = lacking[lacking["row"].isin(pixel_values(done)["row"])]
    if lacking.empty:
        return []
    numbers = {row: int(part["value"].max()) for row, part in by(lacking, "row")}
    total = counted(sum(numbers.values()), "anomalous test image")
    return [
        f"{total} {are(sum(numbers.values()))} without ground truth, which pixel measures leave out: "
        f"{listed([f'{row} ({number})' for row, number in numbers.items()], METHODS)}."
    ]


def _few_held_out(done: pd.DataFrame) -> list[str]:
    """Warn of thresholds by a quantile that the held-out images are too few for."""
    held_out = done[(done["metric"] == HELD_OUT_IMAGES) & (done[THRESHOLD_POLICY] == FROM_HELD_OUT)]
    odds = [
        false_alarm_odds(int(value), float(params.get(QUANTILE, 1)))
        for value, params in zip(held_out["value"], held_out["params"], strict=True)
    ]
    few = held_out.assign(odds=odds)[[number > 0 for number in odds]]
    if few.empty:
        return []
    named = [
        f"{row} (1 of {part['odds'].min()}, as {part['odds'].min() - 1} are held out)"
        for row, part in by(few, "row")
    ]
    return [
        "Thresholds come from so few held-out images that the quantile lies between their two largest scores; expect "
        f"false alarms in this share of normal images: {listed(named, METHODS)}."
    ]


def _other_images(done: pd.DataFrame) -> list[str]:
    """Warn of categories whose cells have been measured on different test images."""
    known = done[done[TEST_IMAGES] != ""].groupby("row", sort=False)[TEST_IMAGES].nunique()
    several = [str(row) for row in known.index[known > 1]]
    if not several:
        return []
    return [
        f"The test images of {listed(several, METHODS)} were changed between cells, so values of one row are of "
        "different images."
    ]


def _other_settings(done: pd.DataFrame) -> list[str]:
    """Warn of settings of the data that differ between cells."""
    cells = one_each(done)
    settings: Sequence[Mapping[str, str]] = [data_options(params) for params in cells["params"]]
    sentences = []
    for name in dict.fromkeys(name for own in settings for name in own):
        knowing = [name in own for own in settings]
        values = [own[name] for own in settings if name in own]
        # another dataset may have options of its own, and other values of them
        of_choice = cells[knowing].assign(value=[describe({name: value}) for value in values])
        for _, part in of_choice.groupby("dataset_choice", sort=False):
            if part["value"].nunique() > 1:
                named = [
                    f"{value} for {listed(pd.unique(own['row']), METHODS)}"
                    for value, own in by(part, "value")
                ]
                sentences.append(f"The data were read with different settings: {listed_parts(named)}.")
    return sentences


DATA_RULES: Sequence[Callable[[pd.DataFrame], list[str]]] = (
    _without_truth,
    _few_held_out,
    _other_images,
    _other_settings,
)
