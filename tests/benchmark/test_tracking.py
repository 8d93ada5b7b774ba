"""The store of results: parents, cells, what ends them, and stores that cannot be used."""

import math
from pathlib import Path

import pytest

from benchmark.errors import BenchmarkError
from benchmark.settings import Tracking
from benchmark.tracking import Tracker


def open_tracker(folder: Path, uri: str | None = None) -> Tracker:
    uri = uri or f"sqlite:///{folder / 'mlflow.db'}"
    return Tracker(Tracking(uri, "test", maps=True, student=True, figure=True), folder)


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
