"""The local store: made whole or not at all, opened by readers without a trace, found wherever its folder is moved."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from reports.status import read_status
from store.artifacts import Artifacts
from store.client import open_store
from store.errors import StoreError
from store.failures import StoreUnavailable
from store.folders import digest_of
from store.local import database_of, uri_of
from store.plan import Member, Plan
from store.sync import main as sync
from store.table import find_sweep, plans_of, read_cells
from store.tracker import Tracker
from tests.conftest import PROJECT_ROOT
from tests.store.made import add_cell, open_tracker


def tracker_in(folder: Path) -> Tracker:
    """Open the store of a results folder, as it is there."""
    return Tracker(f"sqlite:///{folder / 'mlflow.db'}", "test", folder)


def tree(folder: Path) -> dict[str, tuple[str, int]]:
    """Return the digest and the time of each file in a folder, and the folders in it."""
    return {
        str(path.relative_to(folder)): (digest_of(path) if path.is_file() else "", path.stat().st_mtime_ns)
        for path in sorted([folder, *folder.rglob("*")])
    }


def fill(folder: Path) -> str:
    """Make a results folder with a sweep of one cell, and return the id of its run."""
    folder.mkdir(parents=True, exist_ok=True)
    tracker = open_tracker(folder)
    parent = tracker.sweep("a")
    parent.set_tags({"jobs": 1})
    tracker.announce_job(parent, 0, Plan("stfpm", (), ("bottle",), "key"))
    run = add_cell(tracker, {})
    run.log_text("image,kind,label,score\na,good,0,0.5\n", "scores.csv")
    return run.run_id


def execute(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


# creation


@pytest.mark.usefixtures("created_by_mlflow")
def test_a_store_gets_its_name_when_it_has_all_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("store.local.sync", killed)
        with pytest.raises(SystemExit):
            tracker_in(tmp_path)
    assert not (tmp_path / "mlflow.db").exists()
    (tmp_path / "mlflow.db-journal").write_text("of a database that was deleted")
    tracker_in(tmp_path).sweep("a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locks", "mlflow.db", "store.lock"]


@pytest.mark.usefixtures("created_by_mlflow")
@pytest.mark.parametrize(
    "tables", [(), ("alembic_version", "experiments"), ("experiments", "runs")], ids=["empty", "few", "runs"]
)
def test_a_store_that_was_not_completed_is_made_again_as_it_holds_nothing(
    tmp_path: Path, tables: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    database = tmp_path / "mlflow.db"
    execute(database, *(f"CREATE TABLE {name} (x)" for name in tables))
    database.touch()
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=r"mlflow\.db: the store is incomplete.*creates it again"):
        open_store(f"sqlite:///{database}")
    assert tree(tmp_path) == before
    tracker_in(tmp_path).sweep("a")
    assert "incomplete" in caplog.text
    assert find_sweep(f"sqlite:///{database}").data.tags["sweep"] == "a"


def test_an_incomplete_store_that_holds_runs_is_kept_and_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    execute(tmp_path / "mlflow.db", "DROP TABLE logged_model_tags")
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=r"mlflow\.db: found 2 runs, and not all tables.*mlflow db upgrade"):
        tracker_in(tmp_path)
    with pytest.raises(StoreError, match=r"another version of MLflow.*mlflow db upgrade"):
        open_store(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert tree(tmp_path)["mlflow.db"] == before["mlflow.db"]


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    execute(tmp_path / "mlflow.db", "CREATE TABLE customers (name)")
    with pytest.raises(StoreError, match=r"mlflow\.db: found a database of another program"):
        tracker_in(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_while_a_store_is_created(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from tests.store.test_local import tracker_in; "
    code += (
        "print('opens', flush=True); tracker_in(Path(sys.argv[1])).sweep('a'); print('opened', flush=True)"
    )
    seconds = 0.0
    for number in range(21):
        folder = tmp_path / str(number // 5)  # several kills in each
        with subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=PROJECT_ROOT,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "opens\n"
            start = time.monotonic()
            if number == 0:
                assert process.stdout.readline() == "opened\n"
                seconds = time.monotonic() - start
            else:
                time.sleep(seconds * number / 21)
                process.send_signal(signal.SIGKILL)
        if (folder / "mlflow.db").exists():
            open_store(f"sqlite:///{folder / 'mlflow.db'}")
    for folder in tmp_path.iterdir():
        tracker_in(folder).sweep("a")
        assert find_sweep(f"sqlite:///{folder / 'mlflow.db'}").data.tags["sweep"] == "a"
        assert {path.name for path in folder.iterdir()} <= {"locks", "mlflow.db", "store.lock"}


# readers


def test_readers_leave_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run = fill(results)
    execute(results / "mlflow.db", f"UPDATE runs SET status = 'RUNNING' WHERE run_uuid = '{run}'")
    before = tree(results)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr("sys.argv", ["sync", "--results", str(results)])
    uri = f"sqlite:///{results / 'mlflow.db'}"
    assert len(read_cells(uri, ["a"])) == 1
    assert read_status(uri)[0] == "a"
    assert Artifacts(uri, elsewhere).scores(run) is not None
    assert sync() == 0
    assert tree(results) == before
    assert not list(elsewhere.iterdir())


def test_readers_create_nothing_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store yet"):
        open_store(f"sqlite:///{tmp_path / 'none' / 'mlflow.db'}")
    assert not list(tmp_path.iterdir())


def test_a_change_that_a_killed_process_left_is_undone_before_a_store_is_read(tmp_path: Path) -> None:
    fill(tmp_path)
    database = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE tags SET value = value || printf('%10000s', '')")
        copy = tmp_path / "copy"
        copy.mkdir()
        for path in tmp_path.glob("mlflow.db*"):
            shutil.copy(path, copy)
        connection.execute("ROLLBACK")
    assert (copy / "mlflow.db-journal").exists()
    assert find_sweep(f"sqlite:///{copy / 'mlflow.db'}").data.tags["sweep"] == "a"


@pytest.mark.parametrize("size", [0.1, 0.5, 0.9, 1])
def test_a_damaged_database_is_one_line(
    tmp_path: Path, size: float, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    database = tmp_path / "mlflow.db"
    content = bytearray(database.read_bytes())
    del content[int(len(content) * size) :]
    content[8192:16384] = b"\x07" * 8192
    database.write_bytes(content)
    with pytest.raises(StoreError, match=r"mlflow\.db: the store cannot be read \(") as caught:
        find_sweep(f"sqlite:///{database}")
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreUnavailable, match=r"mlflow\.db: the store cannot be used \(") as refused:
        tracker_in(tmp_path)
    assert "\n" not in str(refused.value)
    assert "Traceback" not in capfd.readouterr().err


# names of folders


@pytest.mark.parametrize(
    "name", ["a b", "a%20b", "a?b", "a#b", "größe", "a&b=c", "a%b", "a:b@c", "[x]", "50%", "-m"]
)
def test_a_results_folder_may_have_any_name(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    run = fill(tmp_path / name)
    uri = f"sqlite:///{tmp_path / name / 'mlflow.db'}"
    assert plans_of(uri, find_sweep(uri))[0].categories == ("bottle",)
    assert Artifacts(uri, tmp_path).scores(run) is not None
    assert (tmp_path / name / "artifacts" / run / "artifacts" / "scores.csv").exists()
    assert {path.name for path in tmp_path.iterdir()} == {name, "cwd"}
    assert not list((tmp_path / "cwd").iterdir())


@pytest.mark.parametrize(
    "uri",
    ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:////x/mlflow.db?timeout=5", "sqlite:x.db"],
)
def test_a_uri_that_names_no_file_is_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(StoreError, match=r"expected sqlite:///<path of a file>"):
        Tracker(uri, "test", tmp_path)
    with pytest.raises(StoreError, match=r"expected sqlite:///<path of a file>"):
        open_store(uri)


def test_a_results_folder_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"results_dir=.*expected a path in UTF-8"):
        tracker_in(tmp_path / "\udcff")


def test_other_stores_are_no_databases_of_files() -> None:
    assert database_of("http://localhost:5000") is None
    assert database_of("postgresql://host/db") is None


# moved folders


def test_a_moved_results_folder_is_read_and_written_where_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    run = fill(old)
    old.rename(new)
    uri = f"sqlite:///{new / 'mlflow.db'}"
    assert plans_of(uri, find_sweep(uri))[0].categories == ("bottle",)
    assert Artifacts(uri, tmp_path).scores(run) is not None
    assert Path(open_store(uri).download_artifacts(run, "scores.csv")).is_relative_to(new)
    with caplog.at_level("INFO"):
        tracker = tracker_in(new)
    assert caplog.text.count("the store was moved: 3 recorded paths now lead to") == 1
    later = add_cell(tracker, {}, category="cable", member=Member(0, 1, "key"))
    later.log_text("hello", "note.txt")
    assert not old.exists()
    for run_id, name in (
        (run, "scores.csv"),
        (later.run_id, "note.txt"),
    ):  # MLflow's pages read recorded paths
        folder = MlflowClient(uri_of(new / "mlflow.db")).get_run(run_id).info.artifact_uri
        assert folder == f"{new.as_uri()}/artifacts/{run_id}/artifacts"
        assert (new / "artifacts" / run_id / "artifacts" / name).exists()
    caplog.clear()
    with caplog.at_level("INFO"):
        tracker_in(new)
    assert not caplog.text


def test_hosts_that_mount_a_folder_at_different_paths_write_where_they_see_it(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    runs = [fill(first)]
    open_here = tracker_in(first)
    for here, there in ((second, first), (first, second), (second, first)):
        there.rename(here)  # the other path does not exist on this host
        add_cell(tracker_in(here), {}).log_text("hello", "note.txt")
        assert not there.exists()
    second.rename(first)
    # a process that has been running all the time
    open_here.sweep("b").log_text("hello", "note.txt")
    assert not second.exists()
    assert Artifacts(open_here.uri, tmp_path).scores(runs[0]) is not None


def test_a_copy_has_files_of_its_own(tmp_path: Path) -> None:
    run = fill(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b/artifacts" / run / "artifacts/scores.csv").write_text(
        "image,kind,label,score\nb,good,0,0.25\n"
    )
    for name, score in (("a", 0.5), ("b", 0.25)):
        tracker_in(tmp_path / name)
        scores = Artifacts(f"sqlite:///{tmp_path / name / 'mlflow.db'}", tmp_path).scores(run)
        assert scores is not None
        assert scores["score"].tolist() == [score]


def test_files_that_an_earlier_version_kept_elsewhere_are_found_there(tmp_path: Path) -> None:
    run = fill(tmp_path / "a")
    (tmp_path / "a/artifacts").rename(tmp_path / "artifacts")
    for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
        change = f"replace({column}, '{tmp_path}/a/', '{tmp_path}/')"
        execute(tmp_path / "a/mlflow.db", f"UPDATE {table} SET {column} = {change}")
    for _ in range(2):
        assert Artifacts(f"sqlite:///{tmp_path / 'a/mlflow.db'}", tmp_path).scores(run) is not None
        tracker_in(tmp_path / "a")


def test_a_run_that_was_killed_before_its_folder_was_moved_is_marked(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    tracker = open_tracker(tmp_path / "old")
    killed = tracker.start_cell(tracker.sweep("a"), "stfpm bottle", {"identity": "one"})
    earlier = tracker.start_cell(tracker.sweep("a"), "stfpm bottle", {"identity": "one"})
    earlier.set_tags({"results_dir": tmp_path / "old"})  # as earlier versions did
    (tmp_path / "old").rename(tmp_path / "new")
    moved = tracker_in(tmp_path / "new")
    with moved.lock_cell("one", "stfpm bottle"):
        for run in (killed, earlier):
            assert moved.client.get_run(run.run_id).info.status == "KILLED"


def test_a_plan_that_is_no_file_any_more_is_named_and_the_others_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = tracker_in(tmp_path)
    parent = tracker.sweep("a")
    parent.set_tags({"jobs": 2})
    for number in range(2):
        tracker.announce_job(parent, number, Plan("stfpm", (), ("bottle",), str(number)))
    file = tmp_path / "artifacts" / parent.run_id / "artifacts" / "jobs" / "0.json"
    file.unlink()
    file.symlink_to(file)
    assert [*plans_of(tracker.uri, find_sweep(tracker.uri))] == [1]
    assert "jobs/0.json: the file cannot be read" in caplog.text


def test_a_text_file_that_is_a_link_to_itself_is_written_anew(tmp_path: Path) -> None:
    tracker = tracker_in(tmp_path)
    parent = tracker.sweep("a")
    parent.log_text("first", "jobs/0.json")
    file = tmp_path / "artifacts" / parent.run_id / "artifacts" / "jobs" / "0.json"
    file.unlink()
    file.symlink_to(file)
    parent.log_text("second", "jobs/0.json")
    assert not file.is_symlink()
    assert file.read_text() == "second"
