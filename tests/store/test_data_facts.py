"""What was found in the data is kept by job; what is damaged is left out."""

from pathlib import Path

import pytest

from store.data_facts import DataFacts, data_facts_file, data_facts_of, data_facts_to_json, parse_data_facts
from store.table import find_sweep
from tests.store.made import open_tracker

FACTS = DataFacts("screws", [{"category": "part", "train": 7, "kinds": {"two\nlines": 2}}])


def test_what_was_found_is_read_as_it_was_written() -> None:
    assert parse_data_facts(data_facts_to_json(FACTS)) == FACTS
    assert parse_data_facts('[{"category": "part"}]') == DataFacts("", [{"category": "part"}])


@pytest.mark.parametrize("text", ["", "{", "null", "3", '{"dataset": "a"}', '{"categories": 3}'])
def test_damaged_files_are_nothing(text: str) -> None:
    assert parse_data_facts(text) is None


def test_jobs_are_read_in_their_order_and_damaged_ones_left_out(tmp_path: Path) -> None:
    tracker = open_tracker(tmp_path)
    parent = tracker.sweep("a")
    assert data_facts_of(tracker.uri, find_sweep(tracker.uri)) == []
    for number in (10, 2):
        parent.log_text(data_facts_to_json(DataFacts(str(number), [])), data_facts_file(number))
    parent.log_text("damaged", data_facts_file(3))
    found = data_facts_of(tracker.uri, find_sweep(tracker.uri))
    assert [facts.dataset for facts in found] == ["2", "10"]
