"""The store of results: parents, cells, what ends them, and stores that cannot be used."""

import math
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from benchmark.errors import BenchmarkError
from benchmark.send import main as send
from benchmark.settings import Tracking
from benchmark.tracking import StoreError, Tracker


def open_tracker(folder: Path, uri: str | None = None) -> Tracker:
    uri = uri or f"sqlite:///{folder / 'mlflow.db'}"
    return Tracker(Tracking(uri, "test"), folder)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    return open_tracker(tmp_path_factory.mktemp("results"))


def test_a_sweep_has_one_parent_however_often_it_is_opened(tracker: Tracker) -> None:
    again = Tracker(tracker.settings, tracker.results_dir)
    assert tracker.sweep("a").run_id == again.sweep("a").run_id != tracker.sweep("b").run_id


def test_a_cell_lies_under_its_parent_and_keeps_what_is_logged(tracker: Tracker) -> None:
    parent = tracker.sweep("a")
    with tracker.cell(parent, "stfpm bottle", {"category": "bottle"}) as run:
        run.log_metrics({"pro": 0.5, "dice": math.nan})
        run.log_history({"loss": {step: 1 / step for step in range(1, 1501)}})
        run.log_params({f"p{i}": i for i in range(150)})
        run.log_text("hello", "note.txt")
        run.end("FINISHED")
    stored = tracker.client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["mlflow.parentRunId"] == parent.run_id
    assert stored.data.metrics == {"pro": 0.5, "loss": 1 / 1500}
    assert len(tracker.client.get_metric_history(run.run_id, "loss")) == 1500
    assert stored.data.params["p149"] == "149"
    assert Path(tracker.client.download_artifacts(run.run_id, "note.txt")).read_text() == "hello"


def test_a_failed_cell_is_recorded_with_its_reason_and_the_sweep_goes_on(tracker: Tracker) -> None:
    with tracker.cell(tracker.sweep("a"), "stfpm bottle", {}) as run:
        raise BenchmarkError("the loss became nan")
    stored = tracker.client.get_run(run.run_id)
    assert stored.info.status == "FAILED"
    assert stored.data.tags["reason"] == "BenchmarkError: the loss became nan"
    assert "Traceback" in Path(tracker.client.download_artifacts(run.run_id, "traceback.txt")).read_text()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_cell_is_killed_and_the_interruption_goes_through(
    tracker: Tracker, interruption: type[BaseException]
) -> None:
    with pytest.raises(interruption), tracker.cell(tracker.sweep("a"), "stfpm bottle", {}) as run:
        raise interruption
    assert tracker.client.get_run(run.run_id).info.status == "KILLED"


def test_results_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchmarkError, match=r"results_dir=.*file/results: cannot be written"):
        open_tracker(tmp_path / "file" / "results")


@pytest.mark.parametrize("uri", ["nonsense://x", "sqlite:////proc/none/x.db"])
def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path, uri: str) -> None:
    with pytest.raises(BenchmarkError, match=r"tracking\.uri=") as caught:
        open_tracker(tmp_path, uri)
    assert uri in str(caught.value)


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to be taken for one " * 40)
    with pytest.raises(BenchmarkError, match=r"tracking.uri=.*mlflow\.db"):
        open_tracker(tmp_path)


def finish(tracker: Tracker, identity: str, value: float = 0.5) -> str:
    parent = tracker.sweep("a")
    with tracker.cell(parent, "stfpm bottle", {"identity": identity}) as run:
        draft = tracker.draft(run, parent, "stfpm bottle", identity, {"identity": identity})
        draft.add_metrics({"pro": value, "dice": math.nan})
        draft.metrics["loss"] = {1: 2.0, 2: 1.0}
        (draft.files / "note.txt").write_text("hello")
        draft.save()
        tracker.send(draft)
    return run.run_id


def test_a_draft_becomes_a_finished_run_and_vanishes(tracker: Tracker) -> None:
    run_id = finish(tracker, "one")
    stored = tracker.client.get_run(run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.metrics == {"pro": 0.5, "loss": 1.0}
    assert Path(tracker.client.download_artifacts(run_id, "note.txt")).read_text() == "hello"
    assert not (tracker.drafts / "one").exists()


def test_a_finished_cell_is_found_by_its_identity(tracker: Tracker) -> None:
    first, second = finish(tracker, "two"), finish(tracker, "two")
    found = tracker.finished("two")
    assert found is not None
    assert found.run_id in (first, second)
    assert tracker.finished("three") is None


def test_cells_that_failed_or_run_do_not_count_as_finished(tracker: Tracker) -> None:
    with tracker.cell(tracker.sweep("a"), "stfpm bottle", {"identity": "four"}):
        raise BenchmarkError("failed")
    with tracker.cell(tracker.sweep("a"), "stfpm bottle", {"identity": "four"}):
        assert tracker.finished("four") is None


def test_a_run_whose_process_was_killed_is_marked_when_its_cell_is_claimed(tracker: Tracker) -> None:
    with tracker.cell(tracker.sweep("a"), "stfpm bottle", {"identity": "five"}) as killed:
        pass  # a process that is killed here leaves the run as it is
    assert tracker.client.get_run(killed.run_id).info.status == "RUNNING"
    with tracker.claim("five", "stfpm bottle"):
        assert tracker.client.get_run(killed.run_id).info.status == "KILLED"


def test_runs_of_another_results_folder_are_left_alone(tracker: Tracker, tmp_path: Path) -> None:
    other = open_tracker(tmp_path / "elsewhere", tracker.settings.uri)
    with other.cell(other.sweep("a"), "stfpm bottle", {"identity": "six"}) as running:
        pass
    with tracker.claim("six", "stfpm bottle"):
        assert tracker.client.get_run(running.run_id).info.status == "RUNNING"


def test_a_draft_that_was_never_sent_is_sent_before_its_cell_is_asked_for(tracker: Tracker) -> None:
    parent = tracker.sweep("a")
    with tracker.cell(parent, "stfpm bottle", {"identity": "seven"}) as run:
        draft = tracker.draft(run, parent, "stfpm bottle", "seven", {"identity": "seven"})
        draft.add_metrics({"pro": 0.25})
        draft.save()  # a process that is killed here has computed everything
    found = tracker.finished("seven")
    assert found is not None
    assert found.run_id == run.run_id
    assert tracker.client.get_run(run.run_id).data.metrics == {"pro": 0.25}


def test_a_draft_that_was_not_finished_counts_for_nothing(tracker: Tracker) -> None:
    parent = tracker.sweep("a")
    with tracker.cell(parent, "stfpm bottle", {"identity": "eight"}) as run:
        draft = tracker.draft(run, parent, "stfpm bottle", "eight", {"identity": "eight"})
        (draft.files / "note.txt").write_text("half of")
    assert tracker.finished("eight") is None


def test_a_damaged_draft_is_named(tracker: Tracker) -> None:
    folder = tracker.drafts / "nine"
    folder.mkdir(parents=True)
    (folder / "draft.json").write_text('{"run": {}')
    with pytest.raises(BenchmarkError, match=r"unsent/nine/draft\.json: damaged"):
        tracker.finished("nine")


def test_a_draft_is_sent_to_a_store_that_never_had_its_run(tracker: Tracker, tmp_path: Path) -> None:
    parent = tracker.sweep("a")
    with tracker.cell(parent, "stfpm bottle", {"identity": "ten"}) as run:
        draft = tracker.draft(run, parent, "stfpm bottle", "ten", {"identity": "ten"})
        draft.add_metrics({"pro": 0.75})
        draft.save()
    other = open_tracker(tmp_path / "other")
    other.send(draft)
    found = other.finished("ten")
    assert found is not None
    assert other.client.get_run(found.run_id).data.metrics == {"pro": 0.75}


def test_numbers_stay_on_disk_where_the_store_cannot_be_used(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: object, **named: object) -> None:
        raise MlflowException("the server is away")

    parent = tracker.sweep("a")
    with tracker.cell(parent, "stfpm bottle", {"identity": "eleven"}) as run:
        draft = tracker.draft(run, parent, "stfpm bottle", "eleven", {"identity": "eleven"})
        draft.add_metrics({"pro": 0.125})
        draft.save()
    message = r"the server is away.*kept in .*unsent/eleven: send them with `python -m benchmark\.send`"
    with monkeypatch.context() as patch:
        patch.setattr(tracker.client, "log_batch", away)
        with pytest.raises(StoreError, match=message):
            tracker.send(draft)
    monkeypatch.setattr("sys.argv", ["send", "--results", str(tracker.results_dir)])
    damaged = len(list(tracker.drafts.glob("nine")))
    assert send() == 2 * damaged  # one that cannot be read does not keep the others from being sent
    assert tracker.client.get_run(run.run_id).data.metrics == {"pro": 0.125}
    assert tracker.client.get_run(run.run_id).info.status == "FINISHED"
