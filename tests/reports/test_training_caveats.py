"""Warnings about trainings: each appears where it must, with the methods and the number of cells, and only then."""

import pandas as pd
import pytest

from reports.training_caveats import training_caveats
from store.doubts import MIN_IMAGES, MIN_STEPS
from tests.reports.made import NAN, cells

PAIRS = [(method, category) for method in ("rd", "stfpm") for category in ("bottle", "cable", "screw")]


def table(metric: str, **values: float) -> pd.DataFrame:
    """Make the table of a metric, 300 where no value is given for <method>_<category>."""
    rows = [(method, category, values.get(f"{method}_{category}", 300.0)) for method, category in PAIRS]
    return cells(*rows, metric=metric)


def aurocs(value: float, limit: float = 0.62, **columns: str) -> pd.DataFrame:
    """Make the table of one image AUROC of rd's three cells, and of .9 in those of stfpm."""
    rows = [(method, category, value if method == "rd" else 0.9) for method, category in PAIRS]
    limits = [(*pair, limit) for pair in PAIRS]
    both = [cells(*rows, metric="image_auroc"), cells(*limits, metric="chance_auroc")]
    return pd.concat(both, ignore_index=True).assign(**columns)


def test_trainings_that_took_their_time_have_no_warning() -> None:
    ended = table("student/still_improving").assign(value=0.0)
    assert training_caveats(pd.concat([table("student/steps"), ended, aurocs(0.95)])) == []


def test_no_cells_and_cells_of_earlier_versions_have_no_warning() -> None:
    assert training_caveats(cells(*[(*pair, 0.4) for pair in PAIRS], metric="image_auroc")) == []
    assert training_caveats(table("pro").iloc[:0]) == []


def test_cells_with_few_steps_are_counted_by_method() -> None:
    (sentence,) = training_caveats(table("student/steps", stfpm_cable=15, stfpm_screw=MIN_STEPS - 1))
    assert sentence.startswith(f"Trained for fewer than {MIN_STEPS} optimiser steps")
    assert sentence.endswith(": stfpm (2 of 3 cells).")


def test_a_cell_with_several_short_stages_counts_once() -> None:
    both = pd.concat([table("flow/steps", rd_cable=3), table("student/steps", rd_cable=3)])
    assert training_caveats(both)[0].endswith(": rd (1 of 3 cells).")


def test_cells_with_few_train_images_are_counted_by_method() -> None:
    (sentence,) = training_caveats(table("train_images", stfpm_cable=17, stfpm_screw=MIN_IMAGES - 1))
    assert sentence.startswith(
        f"There are fewer train images than in any category of MVTec AD ({MIN_IMAGES})"
    )
    assert sentence.endswith(": stfpm (2 of 3 cells).")


def test_curves_that_still_fell_are_counted_by_method() -> None:
    ended = table("student/still_improving", rd_bottle=1, stfpm_screw=1).assign(
        value=lambda t: t["value"].where(t["value"] == 1, 0)
    )
    (sentence,) = training_caveats(ended)
    assert sentence.startswith("The held-out value or training loss was still falling")
    assert sentence.endswith(": rd (1 of 3 cells), stfpm (1 of 3 cells).")


@pytest.mark.parametrize(
    ("auroc", "verdict"),
    [(0.3, "worse than chance"), (0.5, "no better than chance"), (0.62, "no better than chance")],
)
def test_results_of_chance_are_named_and_those_below_it_are_called_worse(auroc: float, verdict: str) -> None:
    assert training_caveats(aurocs(auroc)) == [f"Image AUROC is {verdict}: rd (3 of 3 cells)."]


@pytest.mark.parametrize("auroc", [0.621, 1.0, NAN])
def test_results_beyond_chance_and_undefined_ones_have_no_warning(auroc: float) -> None:
    assert training_caveats(aurocs(auroc)) == []


def test_the_limit_is_that_of_each_cell() -> None:
    few = aurocs(0.8, limit=0.85)
    (sentence,) = training_caveats(pd.concat([few.assign(seed="1"), aurocs(0.8)], ignore_index=True))
    assert sentence == "Image AUROC is no better than chance: rd (3 of 6 cells)."


def test_variants_of_a_method_are_counted_apart() -> None:
    other = table("student/steps", rd_cable=3).assign(variant="epochs=1")
    (sentence,) = training_caveats(pd.concat([table("student/steps"), other], ignore_index=True))
    assert sentence.endswith(": rd (epochs=1) (1 of 3 cells).")


@pytest.mark.parametrize(("auroc", "level"), [(0.3, "worse than chance"), (0.549, "close to chance")])
def test_maps_of_chance_are_named(auroc: float, level: str) -> None:
    rows = [(method, category, auroc if method == "rd" else 0.9) for method, category in PAIRS]
    assert training_caveats(cells(*rows, metric="pixel_auroc")) == [
        f"Pixel AUROC is {level}, so the maps do not show where anomalies are: rd (3 of 3 cells)."
    ]
