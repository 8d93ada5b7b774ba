"""The table of published numbers: what it holds is what its sources print."""

import pandas as pd
import pytest

from reports.tables.literature import AND, AVERAGE, FREEDOMS, read_published
from reports.tables.published import published_sheets
from tests.reports.test_published import OPTIONS, measured

TABLE = read_published()
COLUMN = ["source", "method", "variant", "dataset", "metric"]


def of(source: str, **wanted: str) -> pd.DataFrame:
    chosen = TABLE[TABLE["source"].str.startswith(source)]
    for name, value in wanted.items():
        chosen = chosen[chosen[name] == value]
    return chosen


def test_a_source_prints_one_number_of_a_category() -> None:
    assert not TABLE.duplicated([*COLUMN, "category"]).any()
    assert TABLE["value"].between(0, 1).all()


def test_averages_are_those_of_their_rows_or_a_note_says_that_they_are_not() -> None:
    for names, column in TABLE.groupby(COLUMN):
        printed, rows = column[column["category"] == AVERAGE], column[column["category"] != AVERAGE]
        explained = printed["note"].str.contains("average").any()
        if len(printed) and len(rows) >= 10 and not explained:
            assert rows["value"].mean() == pytest.approx(printed["value"].iloc[0], abs=0.001), names


def test_averages_that_no_source_prints_are_not_in_the_table() -> None:
    assert AVERAGE not in set(of("crimama/AST")["category"])
    assert AVERAGE not in set(of("thesis")["category"])
    assert of("paper (AST), as copied", category=AVERAGE).empty
    assert of("paper (AST), its text", category=AVERAGE)["value"].tolist() == [0.992]


def test_a_copy_that_does_not_add_up_says_so() -> None:
    carrot = of("paper (AST), as copied in CPMF", category="carrot").iloc[0]
    assert carrot["value"] == 0.956
    assert "possibly swapped" in str(carrot["note"])


def test_what_a_source_chose_on_test_images_is_in_a_column_of_its_own() -> None:
    assert {part for text in TABLE["freedom"] for part in text.split(AND) if part} == set(FREEDOMS)
    library = of("open-edge-platform/anomalib")
    assert set(library["freedom"]) == {"epoch", "epoch and threshold"}
    assert set(of("thesis", metric="dice")["freedom"]) == {"threshold"}
    assert set(of("re-run of the official code")["freedom"]) == {"none"}
    assert set(of("paper (AST)")["freedom"]) == {""}


@pytest.mark.parametrize("category", ["grid", "bottle", "potato", "of my own"])
def test_no_published_table_has_a_column_without_a_number(category: str) -> None:
    dataset = "mvtec_3d" if category == "potato" else "mvtec_ad"
    for method in OPTIONS:
        for metric in ("image_auroc", "dice"):
            cells = measured(method, (category, 0.9), metric=metric, dataset=dataset)
            for sheet in published_sheets(cells, metric):
                assert sheet.values.drop(columns=["difference", "verdict"]).notna().any().all()
