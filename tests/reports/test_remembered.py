"""Results of functions of a table are remembered within a block, for the table as an object."""

import pandas as pd
import pytest

from reports.remembered import remembered, remembering

calls: list[tuple[int, str]] = []


@remembered
def count(table: pd.DataFrame, column: str) -> int:
    calls.append((len(table), column))
    return int(table[column].sum())


@pytest.fixture
def table() -> pd.DataFrame:
    calls.clear()
    return pd.DataFrame({"a": [1, 2], "b": [3, 4]})


def test_a_result_is_computed_once_per_table_and_arguments(table: pd.DataFrame) -> None:
    with remembering():
        assert [count(table, "a"), count(table, "b"), count(table, "a")] == [3, 7, 3]
        assert count(table.iloc[:1], "a") == 1
    assert calls == [(2, "a"), (2, "b"), (1, "a")]


def test_nothing_is_remembered_after_the_block_or_without_one(table: pd.DataFrame) -> None:
    with remembering():
        count(table, "a")
    table["a"] = [5, 6]
    assert count(table, "a") == 11
    with remembering():
        assert count(table, "a") == 11


def test_a_table_in_the_place_of_one_that_is_gone_is_another(table: pd.DataFrame) -> None:
    with remembering():
        found = [
            count(table.assign(a=[0, i]), "a") for i in range(20)
        ]  # each is gone before the next is made
    assert found == [*range(20)]
