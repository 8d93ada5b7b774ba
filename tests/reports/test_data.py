"""The table and the warnings about the data: what was found, by category, whatever is missing or odd in it."""

import pandas as pd
import pytest

from reports.tables.data import data_sheets, data_warnings
from store.data_facts import DataFacts
from tests.reports.made import cells

PART = {
    **{
        "category": "part",
        "group": "",
        "train": 17,
        "validation": 0,
        "good": 4,
        "masks": 5,
        "size": "640x480",
    },
    **{"kinds": {"scratch": 3, "dent": 2}, "other_sizes": 1, "modes": {"RGB": 26}, "mask_values": [0, 255]},
    **{"median_share": 0.0123, "largest_share": 0.4, "warnings": ["17 images are few."]},
}
CELLS = cells(("rd", "part", 0.5), ("rd", "plate", 0.6), dataset="screws")


def test_what_was_found_stands_in_a_row_per_category() -> None:
    (sheet,) = data_sheets([DataFacts("screws", [PART, {"category": "plate", "train": 3}])], CELLS)
    assert sheet.section == "data"
    assert "dataset screws" in sheet.caption
    assert sheet.shown.loc["part"].to_dict() == {
        **{"train": "17", "good": "4", "anomalous": "5 (scratch 3, dent 2)", "masks": "5", "mode": "RGB"},
        **{"size": "640x480 and 1 other", "mask values": "0, 255", "area": "1.2 % (largest 40.0 %)"},
    }
    assert sheet.shown.loc["plate", "train"] == "3"
    assert set(sheet.shown.loc["plate"].drop("train")) == {"–"}


def test_the_caption_explains_the_columns_that_are_there() -> None:
    plain = {name: value for name, value in PART.items() if not name.endswith("_share")}
    captions = [data_sheets([DataFacts("screws", [facts])], CELLS)[0].caption for facts in (PART, plain)]
    assert captions[0].endswith("; area: the share of anomalous pixels of these masks.")
    assert captions[1].endswith("; masks: anomalous images with ground truth.")


def test_only_the_categories_of_the_cells_are_shown_and_each_once() -> None:
    jobs = [DataFacts("screws", [PART, {"category": "other", "train": 1}])] * 3
    (sheet,) = data_sheets(jobs, CELLS)
    assert [*sheet.shown.index] == ["part"]


def test_categories_of_several_datasets_are_told_apart() -> None:
    both = pd.concat([CELLS, cells(("rd", "part", 0.5), dataset="b/plates")])
    (sheet,) = data_sheets([DataFacts("screws", [PART]), DataFacts("plates", [PART])], both)
    assert [*sheet.shown.index] == ["screws part", "plates part"]


def test_warnings_name_the_categories_that_they_concern() -> None:
    found = [DataFacts("screws", [PART, {**PART, "category": "plate"}])]
    assert data_warnings(found, CELLS) == ["Data of part, plate: 17 images are few."]


@pytest.mark.parametrize("odd", [None, 3, "text", [], {}, [None], {"a": None}, float("nan")])
def test_odd_values_are_no_failure(odd: object) -> None:
    facts = {name: odd for name in PART if name != "category"} | {"category": "part"}
    (sheet,) = [*data_sheets([DataFacts("screws", [facts])], CELLS)]
    assert [*sheet.shown.index] == ["part"]
    data_warnings([DataFacts("screws", [facts])], CELLS)


def test_without_anything_found_there_is_no_table() -> None:
    assert data_sheets([], CELLS) == []
    assert data_warnings([], CELLS) == []
