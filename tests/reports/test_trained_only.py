"""Categories without test images: dashes and a note in tables, no part in means, and one clear statement."""

from pathlib import Path

import pandas as pd
import pytest

from reports.__main__ import main as reports
from reports.caveats import caveats
from reports.errors import ReportError
from reports.report import write_report
from reports.summary import SweepSummary, summarize
from reports.tables.captions import policies
from reports.tables.comparison import category_sheets, comparison, comparison_sheet
from reports.tables.detectors import detector_sheets
from store.table import read_cells
from tests.reports.conftest import Call
from tests.reports.made import NAN, cells
from tests.store.made import add_cell, open_tracker

WIDE = "wide_resnet50_2.tv_in1k"
NUMBERS = {
    **{"train_images": 30.0, "train_seconds": 12.5, "held_out_images": 6.0},
    **{"image_threshold": 3.25, "threshold": 4.5},
}
TRAINED = {
    **{"unmeasured": "no test images", "threshold_policy": "train_quantile"},
    **{"params": {"evaluation.quantile": "0.995"}, "backbone": WIDE},
}


def trained(*names: tuple[str, str], **changes: float) -> pd.DataFrame:
    """Make cells of (method, category) without test images."""
    numbers = {**NUMBERS, **changes}
    parts = [
        cells((*pair, value), metric=metric, run_id=" ".join(pair), **TRAINED)
        for pair in names
        for metric, value in numbers.items()
    ]
    return pd.concat(parts, ignore_index=True)


MEASURED = cells(("rd", "bottle", 0.9), ("stfpm", "bottle", 0.8), backbone=WIDE, run_id="measured")
MIXED = pd.concat([MEASURED, trained(("rd", "slab"), ("stfpm", "slab"))], ignore_index=True)


def test_their_row_has_dashes_and_a_note_and_no_part_in_the_mean() -> None:
    sheet = comparison_sheet(MIXED, "pro")
    assert sheet is not None
    assert [*sheet.shown.loc["slab"]] == ["–", "–"]
    assert [*sheet.shown.loc["mean"]] == ["0.900", "0.800"]
    assert sheet.best is not None
    assert [*sheet.best.loc["mean"]] == [True, False]
    assert "; trained, not measured for lack of test images: slab; " in sheet.caption
    assert [*comparison(MIXED, "pro").loc["mean"]] == [0.9, 0.8]
    assert [sheet.category for sheet in category_sheets(MIXED, ["pro"])] == ["bottle"]


def test_a_cell_of_such_a_category_that_failed_is_still_named_as_failed() -> None:
    failed = cells(("rd", "slab", NAN), status="FAILED", metric="", backbone=WIDE)
    sheet = comparison_sheet(pd.concat([MEASURED, failed, trained(("stfpm", "slab"))]), "pro")
    assert sheet is not None
    assert [*sheet.shown.loc["slab"]] == ["failed", "–"]
    assert [*sheet.shown.loc["mean"]] == ["0.900", "0.800"]


def test_a_category_that_another_method_was_measured_on_counts_in_the_mean() -> None:
    later = cells(("rd", "slab", 0.7), backbone=WIDE, run_id="later")
    sheet = comparison_sheet(pd.concat([MEASURED, later, trained(("stfpm", "slab"))]), "pro")
    assert sheet is not None
    assert [*sheet.shown.loc["mean"]] == ["0.800", "0.800 [1 of 2]"]


def test_the_threshold_of_measures_is_that_of_measured_cells() -> None:
    assert policies(MIXED) == "f1_image (oracle: chosen on the test images)"


def test_some_are_named_and_not_reported_as_undefined() -> None:
    sentence = "2 of 4 finished cells were trained, not measured, as there are no test images: rd (slab seed 0); stfpm"
    assert sentence in caveats(MIXED)[0]
    assert not any("undefined" in each for each in caveats(MIXED))


def test_where_nothing_was_measured_one_statement_says_so() -> None:
    (only,) = caveats(trained(("rd", "slab"), train_images=80.0))
    assert only.startswith("Nothing was measured, as there are no test images. The detectors are trained")


def test_measured_cells_without_any_defined_measure_are_reported() -> None:
    costs = cells(("rd", "slab", 9.0), metric="train_seconds", backbone=WIDE)
    assert caveats(costs)[0].startswith(
        "No measure is defined on these test images: they need normal and anomalous"
    )
    assert not any("No measure" in sentence for sentence in caveats(MIXED))


def test_the_detectors_are_listed_with_their_thresholds_and_how_to_use_them() -> None:
    (sheet,) = detector_sheets(MIXED, "sqlite:////data/mlflow.db")
    assert sheet.shown.loc["rd slab"].to_dict() == {
        **{"train images": "30", "training (s)": "12.5", "held-out images": "6"},
        **{"image threshold": "3.25", "pixel threshold": "4.5", "run": "rd slab"},
    }
    assert "the quantile 0.995 of the held-out normal images' scores" in sheet.caption
    assert "so few images are held out" in sheet.caption
    assert (
        "python -m benchmark.predict RUN IMAGES --out DIR --store sqlite:////data/mlflow.db" in sheet.caption
    )
    assert detector_sheets(MEASURED, "") == []


def test_a_detector_without_thresholds_has_dashes() -> None:
    numbers = {"held_out_images": 0.0, "image_threshold": NAN, "threshold": NAN}
    (sheet,) = detector_sheets(trained(("rd", "slab"), **numbers), "")
    assert [*sheet.shown.loc["rd slab", ["image threshold", "pixel threshold"]]] == ["–", "–"]
    assert "–: no image was held out" in sheet.caption
    assert "thresholds:" not in sheet.caption


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a store whose only cell was trained, not measured."""
    tracker = open_tracker(tmp_path_factory.mktemp("store"))
    add_cell(
        tracker,
        {"evaluation.quantile": 0.995},
        metrics=NUMBERS,
        dataset_choice="folder",
        unmeasured="no test images",
        threshold_policy="train_quantile",
    )
    return tracker.uri


def test_a_sweep_without_any_measure_has_a_page_and_a_table_of_detectors(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], call: Call
) -> None:
    assert summarize(uri, "a", ["pro", "dice"]) == SweepSummary(
        1,
        0,
        {},
        {"method": "stfpm", "dataset": "mvtec_ad", "protocol": "paper", "backbone": "", "weights": ""},
    )
    printed = capsys.readouterr().out
    assert printed.split("\n")[1] == "Trained, not measured"
    assert "run of stfpm bottle: " in printed
    assert call(reports, "--uri", uri, "--sweep", "a", "--out", str(tmp_path / "report")).returncode == 0
    page = (tmp_path / "report/report.html").read_text()
    assert "Nothing was measured, as there are no test images" in page
    for part in ("Statistics", "Gallery", "PRO", "Figures"):
        assert f">{part}</" not in page
    names = {path.name for path in (tmp_path / "report/tables").iterdir()}
    assert names == {
        f"{name}.{end}" for name in ("cost", "detectors") for end in ("csv", "html", "md", "tex")
    } | {
        "cells.csv",
        "cells_wide.csv",
        "cells.parquet",
        "provenance.txt",
    }


def test_a_measure_that_is_asked_for_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(
        ReportError, match=r"^--metric: no cell has pro; expected no --metric, as no measure is defined$"
    ):
        write_report(uri, read_cells(uri, ["a"]), "a", tmp_path, ["pro"])
