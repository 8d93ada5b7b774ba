"""The progress of a sweep: all states, from runs in a store."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from reports.status import read_status, show
from store.errors import StoreError
from store.folders import locked
from store.liveness import LOCKS
from store.plan import Member, Plan
from store.progress import TrainingProgress, progress_path, write_progress
from store.table import read_cells
from tests.store.made import open_tracker

CATEGORIES = ("bottle", "cable")
PLANS = [
    Plan("rd", ("method=rd", "sweep=first"), CATEGORIES, "rd-key"),
    Plan("ast", ("method=ast", "method.layers=[layer1]", "sweep=first"), CATEGORIES, "ast-key"),
]


class Store:
    """A store with one sweep of three jobs, of which two have started."""

    def __init__(self, folder: Path) -> None:
        self.uri = open_tracker(folder).uri
        self.client = MlflowClient(self.uri)
        self.experiment = self.client.create_experiment("sweeps", (folder / "artifacts").as_uri())
        tags = {"kind": "sweep", "sweep": "first", "jobs": "3"}
        parent = self.client.create_run(self.experiment, tags=tags, start_time=0)
        for number, plan in enumerate(PLANS):
            self.client.log_text(parent.info.run_id, plan.to_json(), f"jobs/{number}.json")

    def add(self, job: int, category: str, status: str, seconds: int = 60, key: str = "") -> str:
        member = Member(job, CATEGORIES.index(category), key or PLANS[job].key)
        tags = {
            "kind": "cell",
            "format": "2",
            "sweep": "first",
            "method": PLANS[job].title,
            "category": category,
            "identity": f"{job} {category}",
            "sweep.first": str(member),
        }
        started = self.client.create_run(self.experiment, tags=tags, start_time=len(self.runs()) + 1)
        if status != "RUNNING":
            end = started.info.start_time + 1000 * seconds
            self.client.set_terminated(started.info.run_id, status, end)
        return str(started.info.run_id)

    def runs(self) -> list:
        return list(self.client.search_runs([self.experiment]))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_every_cell_of_the_jobs_that_have_started_has_a_state(store: Store) -> None:
    for category, status in (("bottle", "FINISHED"), ("cable", "FAILED")):
        store.add(0, category, status)
    store.add(1, "bottle", "RUNNING")
    name, status_ = read_status(store.uri)
    assert name == "first"
    assert [cells for _, cells in status_.jobs] == [
        {"bottle": "finished", "cable": "failed"},
        {"bottle": "running", "cable": "missing"},
    ]
    assert status_.unknown == 1
    assert status_.counts == {"finished": 1, "running": 1, "failed": 1, "missing": 1}


def test_a_killed_cell_is_missing_and_one_that_ran_again_counts_by_its_last_run(store: Store) -> None:
    store.add(0, "bottle", "KILLED")
    store.add(0, "cable", "FAILED")
    store.add(0, "cable", "FINISHED")
    assert read_status(store.uri)[1].jobs[0][1] == {"bottle": "missing", "cable": "finished"}


@pytest.mark.parametrize("status", ["KILLED", "FAILED", "RUNNING"])
def test_a_finished_cell_stays_finished_when_it_is_forced_and_interrupted(store: Store, status: str) -> None:
    finished = store.add(0, "bottle", "FINISHED")
    store.add(0, "bottle", status)
    assert read_status(store.uri)[1].jobs[0][1]["bottle"] == "finished"
    assert set(read_cells(store.uri, ["first"])["run_id"]) == {finished}


def test_a_cell_of_another_job_with_other_options_is_not_the_planned_one(store: Store) -> None:
    store.add(0, "bottle", "FINISHED")
    store.add(1, "bottle", "FINISHED", key="other options")
    assert [cells["bottle"] for _, cells in read_status(store.uri)[1].jobs] == ["finished", "missing"]


def test_the_time_left_is_that_of_the_cells_to_run_over_those_that_run_at_once(store: Store) -> None:
    assert read_status(store.uri)[1].seconds_left is None
    store.add(0, "bottle", "FINISHED", seconds=100)
    assert read_status(store.uri)[1].seconds_left == 300  # three cells, one after the other
    store.add(0, "cable", "RUNNING")
    store.add(1, "bottle", "FINISHED", seconds=10)
    assert read_status(store.uri)[1].seconds_left == 110
    store.add(1, "cable", "RUNNING")
    assert read_status(store.uri)[1].seconds_left == 55


def test_it_is_shown_in_a_table_and_a_sentence(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.add(0, "bottle", "FINISHED", seconds=7200)
    store.add(0, "cable", "FAILED")
    show(*read_status(store.uri), Console(width=120))
    shown = capsys.readouterr().out
    assert "1 (cable)" in shown
    assert "ast method.layers=[layer1]" in shown
    assert "1 finished, 0 running, 1 failed, 2 missing; 1 job has not started" in shown
    assert "about 4 h 0 min left" in shown


def test_the_epoch_and_time_left_of_running_cells_are_shown(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They come from the process that holds the cell's lock; what a killed one has left is not shown."""
    identities = ("0 bottle", "1 cable")
    for identity, seconds in zip(identities, (250.0, None), strict=True):
        job, category = identity.split()
        store.client.set_tag(store.add(int(job), category, "RUNNING"), "results_dir", ".")
        (tmp_path / LOCKS).mkdir(exist_ok=True)
        title = f"{PLANS[int(job)].title} {category} student"
        write_progress(progress_path(tmp_path / LOCKS, identity), TrainingProgress(title, 34, 100, seconds))
    with locked(tmp_path / LOCKS / identities[0]):
        show(*read_status(store.uri), Console(width=120))
        assert "rd bottle student: epoch 34/100, about 4 min left of this stage" in (
            shown := capsys.readouterr().out
        )
        assert "ast cable" not in shown
        with locked(tmp_path / LOCKS / identities[1]):
            show(*read_status(store.uri), Console(width=120))
    assert "ast cable student: epoch 34/100\n" in capsys.readouterr().out


def test_an_unknown_sweep_is_answered_with_the_known_ones(store: Store) -> None:
    with pytest.raises(StoreError, match=r"no sweep 'second'.*known: first"):
        read_status(store.uri, "second")
