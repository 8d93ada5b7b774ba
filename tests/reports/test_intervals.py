"""Intervals over test images in tables and sentences: averaged, paired, and left out where they would not be honest."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from metrics import interval, interval_of_difference
from reports.intervals import Intervals
from reports.look import Look
from reports.model import Leaderboard
from reports.parts import Parts
from reports.tables.comparison import category_sheets, comparison_sheet, intervals_of, method_sheets
from reports.tables.files import write_tables
from reports.tables.latex import to_latex
from reports.tables.leaderboard import leaderboards
from reports.tables.paper import mean_sheets
from reports.tables.rendering import to_html, to_markdown
from store.artifacts import Artifacts
from store.replicates import StoredReplicates
from tests.reports.made import NAN, cells, over_seeds

RESAMPLES, IMAGES = 200, 20


class Kept:
    """Stands for the files of cells: the resamples of each run."""

    def __init__(self, values: Mapping[str, NDArray[np.float64]]) -> None:
        self.values = values

    def replicates(self, run_id: str) -> StoredReplicates | None:
        own = self.values.get(run_id)
        return None if own is None else StoredReplicates({"pro": own.astype(np.float32)}, IMAGES)


def shared_noise(category: str) -> NDArray[np.float64]:
    return np.random.default_rng([*category.encode()]).normal(0, 0.02, RESAMPLES)


def resampled(table: pd.DataFrame, **others: NDArray[np.float64] | None) -> Intervals:
    """Return the intervals of a table whose cells vary with the images of their category, and a little by themselves.

    `others` are the resamples of runs, by their ids with `_` for `/`; None: it has none.
    """
    rows = table[["run_id", "category", "value"]].itertuples(index=False)
    values = {
        run: value
        + shared_noise(category)
        + np.random.default_rng([*run.encode()]).normal(0, 0.002, RESAMPLES)
        for run, category, value in rows
    }
    for name, own in others.items():
        del values[name.replace("_", "/")]
        values |= {} if own is None else {name.replace("_", "/"): own}
    return Intervals(cast(Artifacts, Kept(values)))


TWO = cells(("rd", "a", 0.9), ("rd", "b", 0.8), ("stfpm", "a", 0.88), ("stfpm", "b", 0.79))


def board(table: pd.DataFrame, intervals: Intervals | None) -> Leaderboard:
    (only,) = leaderboards(table, ["pro"], intervals=intervals)
    return only


def ends(table: pd.DataFrame, intervals: Intervals) -> dict[tuple[str, str], tuple[float, float]]:
    """Return {(category, method): interval}, NaN where there is none."""
    rows = intervals_of(table, "pro", intervals).itertuples(index=False)
    return {(category, method): (low, high) for category, method, _, low, high in rows}


def test_a_mean_varies_as_the_mean_of_its_categories_on_each_resample() -> None:
    found = ends(TWO, resampled(TWO))
    kept = resampled(TWO)._artifacts
    a, b = (cast(StoredReplicates, kept.replicates(f"rd/{c}/0")).values["pro"] for c in "ab")
    expected = interval(0.85, (a.astype(float) + b) / 2, 2 * IMAGES, categories=2)
    assert found["mean", "rd"] == pytest.approx(expected)
    # independent images of two categories: shorter than that of either by about the root of two
    own, mean = (high - low for low, high in (found["a", "rd"], found["mean", "rd"]))
    assert 1.2 < own / mean < 1.8


def test_seeds_are_averaged_on_each_resample() -> None:
    table = over_seeds({("rd", "a"): [0.9, 0.8]})
    noise = shared_noise("a")
    found = ends(table, resampled(table, rd_a_0=0.9 + noise, rd_a_1=0.8 - noise / 2))["a", "rd"]
    assert found == pytest.approx(interval(0.85, 0.85 + noise / 4, IMAGES), abs=1e-4)


def test_differences_are_paired_by_images() -> None:
    made = board(TWO, resampled(TWO))
    text = made.sheet.shown["against the best"]["stfpm"]
    first, second = text.split("\n")
    assert first == "cannot be tested"
    difference, low, high = (
        float(part.replace("−", "-")) for part in second.replace("[", "").rstrip("]").replace(",", "").split()
    )
    assert difference == -0.015
    # what both share does not count: unpaired, the interval would be some 0.07 long
    assert 0.005 < high - low < 0.02
    assert low < difference < high
    assert made.sheet.shown["against the best"]["rd"] == "best"
    assert made.sheet.values["against the best"]["stfpm"] == text.replace("\n", "; ")


def test_the_answer_says_whether_other_test_images_could_reverse_the_order() -> None:
    clear = board(TWO, resampled(TWO)).sentences[2]
    assert clear.startswith(
        "Other test images like these would hardly reverse the lead over STFPM: its 95 % interval is 0.0"
    )
    noise = np.random.default_rng(0).normal(0.88, 0.1, RESAMPLES)
    unsure = board(TWO, resampled(TWO, stfpm_a_0=noise)).sentences[2]
    assert unsure.startswith(
        "Other test images like these could reverse the lead over STFPM: its 95 % interval, −0.0"
    )
    assert unsure.endswith(", includes 0.")


def test_without_resamples_nothing_is_shown_and_the_report_says_why() -> None:
    without = Intervals(cast(Artifacts, Kept({})))
    assert board(TWO, without).sheet.shown.equals(board(TWO, None).sheet.shown)
    assert board(TWO, without).sentences == board(TWO, None).sentences
    (sentence,) = without.missing(TWO)
    assert sentence.startswith("4 of 4 measured cells have no 95 % intervals")
    assert resampled(TWO).missing(TWO) == []
    assert resampled(TWO, rd_a_0=None).missing(TWO)[0].startswith("1 of 4")


@pytest.mark.parametrize(
    ("made", "lacking"),
    [
        (resampled(TWO, rd_a_0=None), {"a", "mean"}),
        (resampled(TWO, rd_a_0=np.full(RESAMPLES, 0.9)), {"a"}),
        (resampled(TWO, rd_a_0=np.linspace(0.8, 0.9, 7)), {"mean"}),
    ],
    ids=["none", "all alike", "another number"],
)
def test_an_entry_has_an_interval_only_where_all_its_cells_have_resamples_that_differ(
    made: Intervals, lacking: set[str]
) -> None:
    found = ends(TWO, made)
    assert {row for row, method in found if method == "rd" and math.isnan(found[row, method][0])} == lacking


def test_a_mean_that_lacks_a_category_or_seed_has_none() -> None:
    failed = cells(("stfpm", "b", NAN), status="FAILED", metric="")
    table = pd.concat([TWO[:3], failed], ignore_index=True)
    found = ends(table, resampled(TWO))
    assert math.isnan(found["mean", "stfpm"][0])
    assert not math.isnan(found["a", "stfpm"][0])
    seeds = over_seeds({("rd", "a"): [0.9, None]})
    assert math.isnan(ends(seeds, resampled(seeds[:1]))["a", "rd"][0])


def test_methods_with_other_test_images_are_not_paired() -> None:
    other = TWO.assign(test_images=np.where(TWO["run_id"] == "stfpm/b/0", "other", "same"))
    made = board(other, resampled(other))
    assert made.sheet.shown["PRO (exact)"]["stfpm"].endswith("]")
    assert made.sheet.shown["against the best"]["stfpm"] == "cannot be tested"
    assert len(made.sentences) == 2


def test_other_tables_have_them_where_they_are_asked_for() -> None:
    made = resampled(TWO)
    sheets = [
        *(comparison_sheet(TWO, "pro", intervals=given) for given in (None, made)),
        *(method_sheets(TWO, ["pro"], intervals=given)[0] for given in (None, made)),
        *(category_sheets(TWO, ["pro"], intervals=given)[0] for given in (None, made)),
        *(mean_sheets(TWO, ["pro"], intervals=given)[0] for given in (None, made)),
    ]
    for place, sheet in enumerate(sheets):
        assert sheet is not None
        has_them = place % 2 == 1
        assert (sheet.shown.map(lambda text: "\n[" in text).to_numpy().all()) == has_them
        assert ("95 % intervals over test images" in sheet.caption) == has_them


def test_marks_are_for_the_value_alone_in_every_format() -> None:
    sheet = comparison_sheet(TWO, "pro", intervals=resampled(TWO))
    assert sheet is not None
    low, high = str(sheet.shown.loc["a", "rd"]).split("\n[")[1].rstrip("]").split(", ")
    assert f"**0.900** [{low}, {high}]" in to_markdown(sheet)
    assert f"0.900\n[{low}, {high}]</td>" in to_html(sheet)
    latex = to_latex(sheet, Look(percent=False))
    assert (
        rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}\textbf{{0.900}}\\{{}}[{low}, {high}]\end{{tabular}}" in latex
    )
    assert f"[{100 * float(low):.1f}, {100 * float(high):.1f}]" in to_latex(sheet)


def test_they_are_written_for_every_measure(tmp_path: Path) -> None:
    parts = Parts()
    write_tables(TWO, ["pro", "dice"], [], tmp_path, parts, intervals=resampled(TWO))
    assert parts.failures == []
    assert not (tmp_path / "dice_intervals.csv").exists()
    written = pd.read_csv(tmp_path / "pro_intervals.csv")
    assert written.columns.tolist() == ["category", "method", "mean", "low", "high"]
    assert written["category"].unique().tolist() == ["a", "b", "mean"]
    assert ((written["low"] < written["mean"]) & (written["mean"] < written["high"])).all()


def test_the_interval_of_a_lead_is_that_of_the_differences() -> None:
    made = resampled(TWO)
    found = made.of_difference(TWO, "pro", ("rd", "stfpm"), ["a"], 0.02)
    kept = [
        cast(StoredReplicates, made._artifacts.replicates(f"{m}/a/0")).values["pro"] for m in ("rd", "stfpm")
    ]
    assert found == pytest.approx(interval_of_difference(0.02, kept[0].astype(float) - kept[1], IMAGES))
