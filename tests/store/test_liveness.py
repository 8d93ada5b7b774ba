"""Which cells are running: asking for it disturbs nobody and writes nothing."""

import fcntl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from reports.status import read_status
from store.folders import lock_path
from store.liveness import is_held
from store.plan import Plan
from store.table import read_cells, search
from store.tracker import Run, Tracker
from tests.conftest import PROJECT_ROOT
from tests.store.made import FIRST, open_tracker

TAGS = {"method": "stfpm", "category": "bottle", "identity": "one", "sweep.a": str(FIRST)}


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return open_tracker(tmp_path)


def start(tracker: Tracker, **tags: str) -> Run:
    parent = tracker.sweep("a")
    parent.set_tags({"jobs": 1})
    tracker.announce_job(parent, 0, Plan("stfpm", (), ("bottle",), FIRST.key))
    return tracker.start_cell(parent, "stfpm bottle", {**TAGS, **tags})


def states(uri: str) -> tuple[str, str]:
    """Return the state of the cell in the status, and in the tidy table."""
    return read_status(uri)[1].jobs[0][1]["bottle"], read_cells(uri, ["a"])["status"].item()


def test_a_lock_is_held_while_a_process_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert is_held(path) is False
    assert not path.exists()
    with FileLock(path):
        assert is_held(path) is True
    assert is_held(path) is False


def test_what_is_no_lock_cannot_be_asked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert is_held(tmp_path / "file" / "lock") is None


def test_asking_does_not_take_the_lock_from_others(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    with path.open() as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)  # another reader, at this very moment
        assert is_held(path) is False
    end = threading.Event()

    def ask() -> None:
        while not end.is_set():
            is_held(path)

    readers = [threading.Thread(target=ask) for _ in range(2)]
    for thread in readers:
        thread.start()
    try:
        for _ in range(50):
            with FileLock(path, timeout=20):  # fails if it waits for longer
                assert is_held(path) is True
                with pytest.raises(Timeout), FileLock(path, blocking=False, is_singleton=False):
                    pass
    finally:
        end.set()
        for thread in readers:
            thread.join()


def test_a_cell_runs_while_its_lock_is_held_and_is_missing_after_a_kill(tracker: Tracker) -> None:
    with tracker.lock_cell("one", "stfpm bottle"):
        start(tracker)
        assert states(tracker.uri) == ("running", "RUNNING")
    assert states(tracker.uri) == ("missing", "KILLED")  # the process ended without a word


def test_a_killed_cell_is_seen_in_a_moved_folder(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    tracker = open_tracker(tmp_path / "old")
    with tracker.lock_cell("one", "stfpm bottle"):
        start(tracker)
    (tmp_path / "old").rename(tmp_path / "new")
    assert states(f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}") == ("missing", "KILLED")


def test_a_cell_of_another_results_folder_is_asked_for_there(tmp_path: Path, tracker: Tracker) -> None:
    other = open_tracker(tmp_path / "elsewhere", tracker.uri)
    with other.lock_cell("one", "stfpm bottle"):
        start(other)
        with tracker.lock_cell("one", "stfpm bottle"):
            assert states(tracker.uri) == ("running", "RUNNING")
    assert states(tracker.uri) == ("missing", "KILLED")


@pytest.mark.parametrize("tags", [{"results_dir": ""}, {"identity": "none"}], ids=["no folder", "no lock"])
def test_a_run_whose_lock_is_not_known_stays_as_recorded(tracker: Tracker, tags: dict[str, str]) -> None:
    run = start(tracker, **tags)
    if "results_dir" in tags:
        tracker.client.delete_tag(run.run_id, "results_dir")
        assert states(tracker.uri) == ("running", "RUNNING")
    else:
        assert states(tracker.uri) == ("missing", "KILLED")


def test_a_cell_that_finished_while_its_lock_was_asked_for_has_finished(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(tracker)

    def ends(path: Path) -> bool:
        assert path == lock_path(tracker.results_dir / "locks" / "one")
        run.end("FINISHED")
        return False

    monkeypatch.setattr("store.liveness.is_held", ends)
    assert states(tracker.uri) == ("finished", "FINISHED")


def test_many_cells_are_asked_for_within_seconds(tracker: Tracker) -> None:
    for _ in range(20):
        start(tracker)
    before = time.monotonic()
    states(tracker.uri)
    assert time.monotonic() - before < 20


SWEEPING = """
import sys, time
from pathlib import Path
from tests.store.made import open_tracker

tracker = open_tracker(Path(sys.argv[1]))
tracker.sweep("killed")
print("open", flush=True)
time.sleep(600)
"""


def test_a_sweep_whose_process_was_killed_is_marked_by_the_next_one_and_not_while_it_runs(
    tmp_path: Path,
) -> None:
    words = [sys.executable, "-c", SWEEPING, str(tmp_path)]
    with subprocess.Popen(words, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        tracker = open_tracker(tmp_path)
        tracker.sweep("second")
        assert statuses(tracker) == {"killed": "RUNNING", "second": "RUNNING"}
        process.kill()
    tracker.sweep("third")
    assert statuses(tracker) == {"killed": "KILLED", "second": "RUNNING", "third": "RUNNING"}


def statuses(tracker: Tracker) -> dict[str, str]:
    return {run.data.tags["sweep"]: run.info.status for run in search(tracker.uri, "tags.kind = 'sweep'")}
