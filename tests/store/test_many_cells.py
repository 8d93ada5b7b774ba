"""A sweep of a thousand categories with long names: status, resume and table within seconds, nothing cut."""

import time

import pytest

from reports.status import read_status
from store.plan import Member, Plan
from store.table import read_cells, search
from store.tracker import Tracker
from tests.store.made import PARAMS, open_tracker

CATEGORIES = tuple(f"{i:04}-{'x' * 35}" for i in range(1000))
PLAN = Plan("stfpm", (f"dataset.categories=[{','.join(CATEGORIES)}]",), CATEGORIES, "0" * 16)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    tracker = open_tracker(tmp_path_factory.mktemp("results"))
    parent = tracker.sweep("a")
    parent.set_tags({"jobs": 1})
    tracker.announce_job(parent, 0, PLAN)
    for place, category in enumerate(CATEGORIES[:-1]):
        tags = {
            "method": "stfpm",
            "dataset": "own",
            "category": category,
            "seed": "0",
            "identity": f"{place:064}",
            "sweep.a": str(Member(0, place, PLAN.key)),
        }
        run = tracker.start_cell(parent, f"stfpm {category}", tags)
        run.log_params({**PARAMS, "dataset.categories": CATEGORIES})
        run.log_metrics({"pro": place / 1000, "dice": 0.5})
        run.end("FINISHED")
    return tracker


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_cells_are_read_within_seconds(tracker: Tracker) -> None:
    start = time.process_time()
    _, status = read_status(tracker.uri)
    assert status.counts == {"finished": 999, "running": 0, "failed": 0, "missing": 1}
    assert status.jobs[0][0] == PLAN
    cells = read_cells(tracker.uri, ["a"])
    assert cells[cells["metric"] == "pro"]["value"].tolist() == [i / 1000 for i in range(999)]
    for place in range(20):
        found = tracker.finished(f"{place:064}")
        assert found is not None
    seconds = time.process_time() - start
    print(f"status, table and 20 searches: {seconds:.1f} s")
    assert seconds < 15


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_tag_is_longer_than_every_store_takes_and_no_list_is_cut_unnoticed(tracker: Tracker) -> None:
    for run in search(tracker.uri, "tags.kind LIKE '%'"):
        assert max(map(len, run.data.tags.values())) <= 5000
        assert not [tag for tag in run.data.tags.values() if tag.endswith("...")]
        assert all(len(value) < 6000 or value.endswith("...") for value in run.data.params.values())
