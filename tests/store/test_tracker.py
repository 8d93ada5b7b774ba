"""The store of results: parents, cells and their ends, results that wait, and stores that cannot be used."""

import errno
import json
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, TEMPORARILY_UNAVAILABLE
from sqlalchemy.exc import DatabaseError, DataError, OperationalError

from store.errors import StoreError
from store.failures import writing_errors
from store.names_in_mlflow import originals
from store.pending import Pending
from store.plan import MEMBER, Member, Plan
from store.sync import main as sync
from store.table import cells_of
from store.tracker import Run, StoreUnavailable, Tracker
from tests.store.made import add_cell, earlier_cell, open_tracker


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    return open_tracker(tmp_path_factory.mktemp("results"))


def start(tracker: Tracker, identity: str = "none") -> Run:
    return tracker.start_cell(tracker.sweep("a"), "stfpm bottle", {"identity": identity})


def new_pending(tracker: Tracker, run: Run, identity: str) -> Pending:
    parent = tracker.sweep("a")
    return tracker.new_pending(run, parent, "stfpm bottle", identity, {"identity": identity})


def finish(tracker: Tracker, identity: str, value: float = 0.5) -> str:
    run = start(tracker, identity)
    pending = new_pending(tracker, run, identity)
    pending.add_metrics({"pro": value, "dice": math.nan})
    pending.metrics["loss"] = {1: 2.0, 2: 1.0}
    (pending.files / "note.txt").write_text("hello")
    pending.save()
    tracker.send(pending)
    return run.run_id


def away(*arguments: object, **named: object) -> None:
    raise MlflowException("the server is away")


def test_a_sweep_has_one_parent_however_often_it_is_opened(tracker: Tracker) -> None:
    again = Tracker(tracker.uri, tracker.experiment, tracker.results_dir)
    assert tracker.sweep("a").run_id == again.sweep("a").run_id != tracker.sweep("b").run_id


def test_a_cell_lies_under_its_parent_and_keeps_what_is_logged(tracker: Tracker) -> None:
    parent = tracker.sweep("a")
    run = tracker.start_cell(parent, "stfpm bottle", {"category": "bottle"})
    run.log_metrics({"pro": 0.5, "dice": math.nan})
    run.log_history({"loss": {step: 1 / step for step in range(1, 1501)}})
    run.log_params({f"p{i}": i for i in range(150)})
    run.set_tags({f"t{i}": i for i in range(150)})
    run.log_text("hello", "notes/note.txt")
    run.end("FINISHED")
    stored = tracker.client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["mlflow.parentRunId"] == parent.run_id
    assert stored.data.tags["format"] == "2"
    assert stored.data.metrics == {"pro": 0.5, "loss": 1 / 1500}
    assert len(tracker.client.get_metric_history(run.run_id, "loss")) == 1500
    assert stored.data.params["p149"] == stored.data.tags["t149"] == "149"
    assert Path(tracker.client.download_artifacts(run.run_id, "notes/note.txt")).read_text() == "hello"


def test_values_that_are_too_long_are_cut_visibly(tracker: Tracker) -> None:
    run = start(tracker)
    run.log_params({"long": "x" * 7000, "list": ["layer"] * 2000})
    run.set_tags({"long": "x" * 9000, "odd": "\udcff"})
    data = tracker.client.get_run(run.run_id).data
    assert data.params["long"] == "x" * 5997 + "..."
    assert len(data.params["list"]) == 6000
    assert data.tags["long"] == "x" * 4997 + "..."
    assert data.tags["odd"] == "\\udcff"


ODD_NAMES = ("layer1+layer2", "a:b", "größe", "a//b", "../up", "/root", ".", "tab\t", "\udcff", "x" * 300)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_of_options_and_metrics_are_stored_whatever_they_hold(tracker: Tracker, name: str) -> None:
    run = start(tracker)
    run.log_params({name: 1})
    run.log_metrics({name: 0.5, f"{name}/loss": 2})
    data = tracker.client.get_run(run.run_id).data
    for stored in (data.params, data.metrics):
        (first, *_) = originals(stored)
        assert first == name or (len(name) > 250 and len(first) <= 250)
    assert len(data.metrics) == 2


@pytest.mark.parametrize(
    "write",
    [
        lambda run: run.set_tags({"a+b": 1}),
        lambda run: run.log_history({"pro": {2**70: 1.0}}),
        lambda run: run.log_params({"a": 1}) or run.log_params({"a": 2}),
        lambda run: run.log_text("x", "n" * 300),
        lambda run: run.delete() or run.set_tags({"a": 1}),
        lambda run: replace(run, run_id="0" * 32).end("FINISHED"),
    ],
    ids=["tag", "step", "parameter", "long file", "deleted run", "unknown run"],
)
def test_what_the_store_refuses_is_the_cells_own_error(
    tracker: Tracker, write: Callable[[Run], None]
) -> None:
    with pytest.raises(StoreError, match="the store refuses a record: ") as caught:
        write(start(tracker))
    assert not isinstance(caught.value, StoreUnavailable)


@pytest.mark.parametrize(
    ("error", "ends_the_job"),
    [
        (MlflowException("the server is away"), True),
        (MlflowException("busy", TEMPORARILY_UNAVAILABLE), True),
        (OSError(errno.ENOSPC, "no space left"), True),
        (OSError(errno.EROFS, "read-only"), True),
        (OSError(errno.ENAMETOOLONG, "name too long"), False),
        (RestException({"error_code": "BAD_REQUEST", "message": "a value is too long"}), False),
        (DataError("INSERT", {}, ValueError("too long")), False),
        (OperationalError("INSERT", {}, ValueError("disk is full")), True),
        (DatabaseError("SELECT", {}, ValueError("malformed")), True),
    ],
    ids=repr,
)
def test_only_a_store_that_is_away_ends_a_job(error: Exception, ends_the_job: bool) -> None:
    for raised in (error, MlflowException("wrapped", BAD_REQUEST)):
        if raised is not error:
            raised.__cause__ = error
        with pytest.raises(StoreError) as caught, writing_errors("sqlite:///x.db"):
            raise raised
        assert isinstance(caught.value, StoreUnavailable) == ends_the_job


def test_a_name_of_any_length_is_stored(tracker: Tracker) -> None:
    run = tracker.start_cell(tracker.sweep("a"), "category " * 100, {"category": "category " * 100})
    stored = tracker.client.get_run(run.run_id)
    assert len(stored.info.run_name) == 250  # the width of the column in a PostgreSQL store
    assert stored.data.tags["category"] == "category " * 100


def test_a_run_shows_how_it_was_made_on_mlflows_pages(tracker: Tracker) -> None:
    run = start(tracker)
    run.describe("python run_benchmark.py method=stfpm", {"method": "stfpm", "seed": "0"}, "1f" * 20)
    run.log_dataset("mvtec_ad bottle", "2e" * 32, "/data/mvtec_ad")
    stored = tracker.client.get_run(run.run_id)
    tags = stored.data.tags
    assert tags["command"] == "python run_benchmark.py method=stfpm"
    assert tags["mlflow.source.name"] == "run_benchmark.py"
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags["mlflow.source.git.commit"] == "1f" * 20
    assert tags["mlflow.user"] == stored.info.user_id != ""
    assert "- seed: 0" in tags["mlflow.note.content"]
    assert "python run_benchmark.py method=stfpm" in tags["mlflow.note.content"]
    (used,) = stored.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("mvtec_ad bottle", "2e" * 18)
    assert json.loads(used.dataset.source) == {"uri": "/data/mvtec_ad"}


def test_a_command_that_is_too_long_for_a_tag_is_a_file(tracker: Tracker) -> None:
    run, command = start(tracker), "python run_benchmark.py " + "x" * 6000
    run.describe(command, {}, "")
    tags = tracker.client.get_run(run.run_id).data.tags
    assert tags["command"] == "see the file command.txt"
    assert Path(tracker.client.download_artifacts(run.run_id, "command.txt")).read_text() == command + "\n"


def test_a_failed_cell_is_recorded_with_its_reason(tracker: Tracker) -> None:
    run = start(tracker)
    run.fail(ValueError("the loss became nan"), "Traceback\n\udcff")
    stored = tracker.client.get_run(run.run_id)
    assert stored.info.status == "FAILED"
    assert stored.data.tags["reason"] == "ValueError: the loss became nan"
    assert "Traceback" in Path(tracker.client.download_artifacts(run.run_id, "traceback.txt")).read_text()


def test_a_cell_that_was_interrupted_is_killed(tracker: Tracker) -> None:
    run = start(tracker)
    run.kill()
    assert tracker.client.get_run(run.run_id).info.status == "KILLED"


def test_a_cell_that_has_finished_is_not_killed(tracker: Tracker) -> None:
    run_id = finish(tracker, "zero")
    Run(tracker.client, run_id, tracker.uri).kill()
    assert tracker.client.get_run(run_id).info.status == "FINISHED"


def test_trouble_with_the_store_does_not_replace_an_interruption(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = start(tracker)
    monkeypatch.setattr(tracker.client, "get_run", away)
    run.kill()
    assert "the server is away" in caplog.text


def test_results_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"results_dir=.*file/results: cannot be written"):
        open_tracker(tmp_path / "file" / "results")


@pytest.mark.parametrize("uri", ["nonsense://x", "sqlite:////proc/none/x.db"])
def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path, uri: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"tracking\.uri=") as caught:
        open_tracker(tmp_path, uri)
    assert uri in str(caught.value)


def test_a_store_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"nonsense://me@host/db") as caught:
        open_tracker(tmp_path, "nonsense://me:secret@host/db")
    assert "secret" not in str(caught.value)


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to be taken for one " * 40)
    with pytest.raises(StoreUnavailable, match=r"tracking.uri=.*mlflow\.db"):
        open_tracker(tmp_path)


def test_results_become_a_finished_run_and_their_record_vanishes(tracker: Tracker) -> None:
    run_id = finish(tracker, "one")
    stored = tracker.client.get_run(run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.metrics == {"pro": 0.5, "loss": 1.0}
    assert Path(tracker.client.download_artifacts(run_id, "note.txt")).read_text() == "hello"
    digests = json.loads(Path(tracker.client.download_artifacts(run_id, "digests.json")).read_text())
    assert [*digests] == ["note.txt"]
    assert not (tracker.results_dir / "pending" / "one").exists()


def test_a_finished_cell_is_found_by_its_identity(tracker: Tracker) -> None:
    first, second = finish(tracker, "two"), finish(tracker, "two")
    found = tracker.finished("two")
    assert found is not None
    assert found.run_id in (first, second)
    assert tracker.finished("three") is None


def test_cells_that_failed_or_run_do_not_count_as_finished(tracker: Tracker) -> None:
    start(tracker, "four").fail(ValueError("failed"), "")
    running = start(tracker, "four")
    assert tracker.finished("four") is None
    running.kill()


def test_a_run_whose_process_was_killed_is_marked_when_its_cell_is_locked(tracker: Tracker) -> None:
    killed = start(tracker, "five")  # a process that is killed here leaves the run as it is
    assert tracker.client.get_run(killed.run_id).info.status == "RUNNING"
    with tracker.lock_cell("five", "stfpm bottle"):
        assert tracker.client.get_run(killed.run_id).info.status == "KILLED"


def test_runs_of_another_results_folder_are_left_alone(tracker: Tracker, tmp_path: Path) -> None:
    running = start(open_tracker(tmp_path / "elsewhere", tracker.uri), "six")
    with tracker.lock_cell("six", "stfpm bottle"):
        assert tracker.client.get_run(running.run_id).info.status == "RUNNING"


def test_results_that_wait_are_sent_before_their_cell_is_looked_up(tracker: Tracker) -> None:
    run = start(tracker, "seven")
    pending = new_pending(tracker, run, "seven")
    pending.add_metrics({"pro": 0.25})
    pending.save()  # a process that is killed here has computed everything
    found = tracker.finished("seven")
    assert found is not None
    assert found.run_id == run.run_id
    assert tracker.client.get_run(run.run_id).data.metrics == {"pro": 0.25}


def test_results_that_are_incomplete_count_for_nothing(tracker: Tracker) -> None:
    pending = new_pending(tracker, start(tracker, "eight"), "eight")
    (pending.files / "note.txt").write_text("half of")
    assert tracker.finished("eight") is None


def test_a_damaged_record_is_named_and_is_the_cells_own_error(tmp_path: Path) -> None:
    tracker = open_tracker(tmp_path)
    folder = tmp_path / "pending" / "nine"
    folder.mkdir(parents=True)
    (folder / "cell.json").write_text('{"run": {}')
    with pytest.raises(StoreError, match=r"pending/nine/cell\.json: damaged") as caught:
        tracker.finished("nine")
    assert not isinstance(caught.value, StoreUnavailable)


def test_results_are_sent_to_a_store_that_never_had_their_run(tracker: Tracker, tmp_path: Path) -> None:
    pending = new_pending(tracker, start(tracker, "ten"), "ten")
    pending.add_metrics({"pro": 0.75})
    pending.save()
    other = open_tracker(tmp_path / "other")
    other.send(pending)
    found = other.finished("ten")
    assert found is not None
    assert other.client.get_run(found.run_id).data.metrics == {"pro": 0.75}


def test_results_wait_on_disk_while_the_store_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = open_tracker(tmp_path)
    run = start(tracker, "eleven")
    pending = new_pending(tracker, run, "eleven")
    pending.add_metrics({"pro": 0.125})
    pending.save()
    message = r"the server is away.*kept in .*pending/eleven: send them with `python -m store\.sync`"
    with monkeypatch.context() as patch:
        patch.setattr(tracker.client, "log_batch", away)
        with pytest.raises(StoreUnavailable, match=message):
            tracker.send(pending)
    damaged = tmp_path / "pending" / "damaged"
    damaged.mkdir()
    (damaged / "cell.json").write_text("{}")
    monkeypatch.setattr("sys.argv", ["sync", "--results", str(tmp_path)])
    assert sync() == 2  # a record that cannot be read does not keep the others from being sent
    assert tracker.client.get_run(run.run_id).data.metrics == {"pro": 0.125}
    assert tracker.client.get_run(run.run_id).info.status == "FINISHED"
    printed = capsys.readouterr()
    assert "sent: stfpm bottle" in printed.out
    assert "1 cell is waiting" in printed.out
    assert "damaged/cell.json: damaged" in printed.err


def test_results_that_an_earlier_version_left_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = open_tracker(tmp_path)
    run = start(tracker, "twelve")
    folder = tmp_path / "unsent" / "twelve"
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "note.txt").write_text("hello")
    about = {"id": run.run_id, "name": "stfpm bottle", "uri": tracker.uri, "experiment": "test", "tags": {}}
    metrics = {"pro": {"0": 0.5}, "student/loss": {"1": 2.0, "2": 1.0}}
    (folder / "draft.json").write_text(
        json.dumps({"run": about, "metrics": metrics, "tags": {"teacher": "x"}})
    )
    monkeypatch.setattr("sys.argv", ["sync", "--results", str(tmp_path)])
    assert sync() == 0
    found = tracker.finished("twelve")
    assert found is not None
    assert tracker.client.get_run(found.run_id).data.metrics == {"pro": 0.5, "student/loss": 1.0}
    assert not folder.exists()


def test_a_plan_is_kept_as_a_file_whatever_its_length(tmp_path: Path) -> None:
    tracker = open_tracker(tmp_path)
    categories = tuple(f"{i:03}-" + "x" * 296 for i in range(500))
    plan = Plan(
        "stfpm", ("method=stfpm", f"dataset.categories=[{','.join(categories)}]"), categories, "0" * 16
    )
    parent = tracker.sweep("a")
    tracker.announce_job(parent, 3, plan)
    tags = {f"{MEMBER}a": Member(3, 499, plan.key), "category": categories[499]}
    cell = tracker.start_cell(parent, f"stfpm {categories[499]}", tags)
    for run in (parent, cell):
        stored = tracker.client.get_run(run.run_id).data.tags
        assert max(map(len, stored.values())) <= 5000
    assert tracker.client.get_run(cell.run_id).data.tags[f"{MEMBER}a"] == f"3.499.{plan.key}"
    path = Path(tracker.client.download_artifacts(parent.run_id, "jobs/3.json"))
    assert tuple(json.loads(path.read_text())["categories"]) == categories


def test_cells_of_the_first_format_are_counted(tmp_path: Path) -> None:
    tracker = open_tracker(tmp_path)
    add_cell(tracker, {})
    assert tracker.earlier_cells() == 0
    for _ in range(2):
        earlier_cell(tracker, {})
    assert tracker.earlier_cells() == 2


@pytest.mark.parametrize("changed", ["metrics", "latest_metrics", "tags"])
def test_numbers_that_change_in_the_database_are_noticed(
    tmp_path: Path, changed: str, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = open_tracker(tmp_path)
    run_id = finish(tracker, "one")
    Run(tracker.client, run_id, tracker.uri).log_metrics({"logged by others": 1})
    Run(tracker.client, run_id, tracker.uri).set_tags({f"{MEMBER}a": Member(0, 0, "key"), "note": "x"})
    assert tracker.finished("one") is not None
    assert len(cells_of(tracker.uri, "a")) == 1
    column, old, new = ("value", "'one'", "'two'") if changed == "tags" else ("value", "0.5", "0.625")
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as connection:
        where = "key = 'pro'" if changed != "tags" else "key = 'identity'"
        connection.execute(f"UPDATE {changed} SET {column} = {new} WHERE {where} AND {column} = {old}")
    noticed = changed != "metrics"  # the first value of a curve; tables take the last
    assert (tracker.finished("two" if changed == "tags" else "one") is None) == noticed
    assert (cells_of(tracker.uri, "a") == []) == noticed
    assert (f"the numbers of run {run_id} are damaged" in caplog.text) == noticed


def test_infinite_numbers_have_a_checksum(tracker: Tracker) -> None:
    pending = new_pending(tracker, start(tracker, "infinite"), "infinite")
    pending.add_metrics({"threshold": math.inf, "lowest": -math.inf, "tiny": 5e-324, "third": 1 / 3})
    pending.save()
    tracker.send(pending)
    assert tracker.finished("infinite") is not None
