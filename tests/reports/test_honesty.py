"""Published numbers with what their sources chose on test images, next to what was measured here."""

from typing import Any

import pandas as pd
import pytest

from reports.model import Sheet
from reports.tables import honesty
from reports.tables.honesty import honesty_sheets
from tests.reports.made import cells, over_seeds
from tests.reports.test_published import CATEGORIES, REAL, measured, only, params_of

EPOCH, THRESHOLD = "epoch", "threshold"


def sheet_of(method: str, metric: str, values: dict[str, float] | None = None, **columns: Any) -> Sheet:
    """Return the sheet of a method that measured the same everywhere, or some values."""
    chosen = values or dict.fromkeys(CATEGORIES, 0.9)
    return only(honesty_sheets(measured(method, *chosen.items(), metric=metric, **columns)))


def row(sheet: Sheet, source: str) -> "pd.Series[Any]":
    (found,) = [row for _, row in sheet.shown.iterrows() if row["source"].startswith(source)]
    return found


def test_a_number_with_an_epoch_chosen_on_test_images_stands_next_to_one_that_was_measured_blind() -> None:
    sheet = sheet_of("rd", "image_auroc")
    library = row(sheet, "open-edge-platform/anomalib")
    assert (library["chosen there"], library["chosen here"]) == (EPOCH, "none")
    assert (library["published"], library["measured"], library["difference"]) == ("0.985", "0.900", "+0.085")
    assert row(sheet, "re-run of the official code")["chosen there"] == "none"
    assert (sheet.section, sheet.name) == ("published", "honesty-mvtec_ad-rd")


def test_both_are_means_over_the_same_categories() -> None:
    sheet = sheet_of("stfpm", "image_auroc", {"bottle": 1.0, "zipper": 0.6, "of my own": 0.1})
    library = row(sheet, "open-edge-platform/anomalib")
    assert library["over"] == "2 categories"
    assert library["published"] == f"{(0.979 + 0.645) / 2:.3f}"
    assert library["measured"] == "0.800"


def test_a_printed_average_needs_all_its_categories() -> None:
    assert row(sheet_of("rd", "image_auroc"), "paper (reverse")["over"] == "15 categories, as printed"
    part = sheet_of("rd", "image_auroc", {"bottle": 1.0})
    assert not any(source.startswith("paper (reverse") for source in part.shown["source"])


def test_a_threshold_chosen_on_test_images_is_named_there_and_here() -> None:
    small: dict[str, Any] = {"changed": {"method.training.image_size": 224}}
    oracle = row(sheet_of("stfpm", "dice", **small), "thesis")
    assert (oracle["chosen there"], oracle["chosen here"]) == (THRESHOLD, THRESHOLD)
    blind = row(sheet_of("stfpm", "dice", threshold_policy="train_quantile", **small), "thesis")
    assert (blind["chosen there"], blind["chosen here"]) == (THRESHOLD, "none")
    assert blind["over"] == "14 categories"


def test_only_numbers_of_the_measured_settings_have_rows() -> None:
    sheet = sheet_of("stfpm", "image_auroc", changed={"method.training.image_size": 224})
    assert set(sheet.shown["source"]) == {"thesis (Polidori 2022)"}
    assert (
        honesty_sheets(measured("stfpm", ("bottle", 0.9), changed={"method.training.image_size": 64})) == []
    )
    assert honesty_sheets(cells(("stfpm", "bottle", 0.9), dataset="folder")) == []


def test_seeds_stand_as_mean_and_deviation() -> None:
    seeds = over_seeds(
        {("stfpm", "bottle"): [0.92, 0.96]}, metric="image_auroc", params=params_of("stfpm", {})
    )
    assert row(only(honesty_sheets(seeds)), "official README")["measured"] == "0.940 ± 0.028"


def test_each_variant_of_a_method_has_the_numbers_of_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(honesty, "read_published", lambda: REAL)
    names = [str(name) for name in pd.unique(REAL.loc[REAL["dataset"] == "mvtec_3d", "category"])]
    values = [(name, 0.9) for name in names if name != "average"]
    parts = [
        measured(
            "ast",
            *values,
            changed={"method.mode": "rgbd", "method.student_blocks": blocks},
            **{"dataset": "mvtec_3d", "mode": "rgbd", "variant": f"student_blocks={blocks}"},
        )
        for blocks in (1, 8)
    ]
    shown = only(honesty_sheets(pd.concat(parts))).shown
    published = {label: set(own["published"]) for label, own in shown.groupby(level=0)}
    assert published == {"ast (student_blocks=1)": {"0.928"}, "ast (student_blocks=8)": {"0.937"}}
