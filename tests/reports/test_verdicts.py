"""The table of verdicts: misses and false alarms by method and policy, and dashes for cells that lack them."""

import pandas as pd
import pytest

from metrics import Confusion
from reports.caveats import caveats
from reports.tables.rendering import to_html
from reports.tables.verdicts import ahead, chosen_verdicts, verdict_sheets
from tests.reports.made import NAN, cells

NUMBERS = {
    "misses/train_quantile": 12.0,
    "false_alarms/train_quantile": 1.0,
    "misses/f1_image": 0.0,
    "false_alarms/f1_image": 2.0,
    "anomalous_images": 17.0,
    "normal_images": 6.0,
}


def cell(method: str, category: str = "nut", **columns: str) -> pd.DataFrame:
    """Make a cell with these verdicts."""
    own = {"run_id": f"{method} {category}", "threshold_policy": "train_quantile", **columns}
    rows = [cells((method, category, value), metric=name, **own) for name, value in NUMBERS.items()]
    return pd.concat([cells((method, category, 0.9), metric="image_auroc", **own), *rows], ignore_index=True)


EARLIER = cells(("rd", "nut", 0.8), metric="image_auroc", run_id="old", threshold_policy="train_quantile")


def test_it_has_a_row_per_method_and_policy_those_of_the_runs_first() -> None:
    (sheet,) = verdict_sheets(cell("stfpm"))
    assert sheet.shown.reset_index().to_numpy().tolist() == [
        ["stfpm", "train_quantile", "12 of 17", "1 of 6", "0.833", "0.294", "0.435"],
        ["stfpm", "f1_image (oracle)", "0 of 17", "2 of 6", "0.895", "1.000", "0.944"],
    ]
    expected = Confusion(hits=5, misses=12, false_alarms=1, correct_rejections=5)
    ratios = [expected.precision, expected.recall, expected.f1]
    assert sheet.values.iloc[0].tolist() == ["train_quantile", 12, 1, *ratios]
    assert "oracle: chosen on the test images" in sheet.caption


def test_categories_are_added_up_and_have_tables_of_their_own() -> None:
    every, *own = verdict_sheets(pd.concat([cell("stfpm"), cell("stfpm", "washer")], ignore_index=True))
    assert every.shown["misses"].tolist() == ["24 of 34", "0 of 34"]
    assert "images of 2 categories together" in every.caption
    assert [(sheet.category, sheet.shown["misses"].iloc[0]) for sheet in own] == [
        ("nut", "12 of 17"),
        ("washer", "12 of 17"),
    ]


def test_a_cell_of_an_earlier_version_has_dashes() -> None:
    both = pd.concat([cell("stfpm"), EARLIER], ignore_index=True)
    (sheet,) = verdict_sheets(both)
    assert set(sheet.shown.loc["rd"].drop(columns="threshold").to_numpy().ravel()) == {"–"}
    assert "–: not recorded or no threshold" in sheet.caption
    assert "12 of 17" in to_html(sheet)


def test_a_method_that_only_some_cells_of_have_verdicts_says_how_many() -> None:
    both = pd.concat([cell("rd", "washer"), EARLIER], ignore_index=True)
    every, *_ = verdict_sheets(both)
    assert every.shown["misses"].iloc[0] == "12 of 17 [1 of 2]"


def test_cells_without_any_verdict_have_no_table() -> None:
    failed = cells(("rd", "nut", NAN), status="FAILED", metric="", run_id="failed")
    assert verdict_sheets(EARLIER) == verdict_sheets(failed) == []
    assert chosen_verdicts(EARLIER) is None


@pytest.mark.parametrize(("policy", "is_first"), [("train_quantile", True), ("f1_image", False)])
def test_verdicts_come_first_and_to_the_console_where_the_runs_threshold_is_no_oracle(
    policy: str, is_first: bool
) -> None:
    table = cell("stfpm", threshold_policy=policy)
    printed = chosen_verdicts(table)
    assert (printed is not None) == is_first
    if printed is not None:
        assert printed.shown.to_numpy().tolist() == [["12 of 17", "1 of 6", "0.833", "0.294", "0.435"]]
        assert "thresholds of the runs: train_quantile" in printed.caption
    (sheet,) = verdict_sheets(table)
    measures = verdict_sheets(cell("rd"))
    assert (ahead(measures, [sheet], table)[0] is sheet) == is_first


@pytest.mark.parametrize(
    ("held_out", "policy", "warns"),
    [(6.0, "train_quantile", True), (300.0, "train_quantile", False), (6.0, "f1_image", False)],
)
def test_a_threshold_from_few_held_out_images_is_reported_once(
    held_out: float, policy: str, warns: bool
) -> None:
    own = {"threshold_policy": policy, "run_id": "a", "params": {"evaluation.quantile": "0.995"}}
    table = cells(("rd", "nut", held_out), metric="held_out_images", **own)
    found = [sentence for sentence in caveats(table) if "held-out images" in sentence]
    assert len(found) == warns
    if warns:
        assert found[0].endswith("normal images: nut (1 of 7, as 6 are held out).")
