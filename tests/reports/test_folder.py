"""A report's folder holds a whole report, old or new, whoever writes at the same time or is killed meanwhile."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reports.errors import ReportError
from reports.folder import PAGE, written_aside
from tests.conftest import PROJECT_ROOT

CONTENT = ("tables/pro.csv", "figures/heat.png", PAGE)


def write(folder: Path, text: str) -> None:
    with written_aside(folder) as temporary:
        for name in CONTENT:
            path = temporary / "made" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def texts(folder: Path) -> set[str]:
    return {(folder / name).read_text() for name in CONTENT}


def leftovers(parent: Path) -> list[str]:
    return [path.name for path in parent.iterdir() if path.name.startswith(".report-")]


def test_a_report_replaces_the_earlier_one_whole(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    (tmp_path / "out" / "tables" / "dice.csv").write_text("old")
    write(tmp_path / "out", "new")
    assert texts(tmp_path / "out") == {"new"}
    assert not (tmp_path / "out" / "tables" / "dice.csv").exists()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("linked", [False, True])
def test_an_empty_folder_is_filled(tmp_path: Path, linked: bool) -> None:
    (tmp_path / "empty").mkdir()
    if linked:
        (tmp_path / "link").symlink_to("empty")
    write(tmp_path / ("link" if linked else "empty"), "new")
    assert texts(tmp_path / "empty") == {"new"}


def test_a_report_that_fails_leaves_the_earlier_one(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    with pytest.raises(FileNotFoundError), written_aside(tmp_path / "out") as temporary:
        (temporary / "made" / "too" / "deep").mkdir()
    assert texts(tmp_path / "out") == {"old"}
    assert leftovers(tmp_path) == []


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    with pytest.raises(ReportError, match="parts of a report without its page"):
        write(tmp_path, "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="found a file"):
        write(tmp_path / "file", "new")
    with pytest.raises(ReportError, match="found file; expected a folder"):
        write(tmp_path, "new")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="file/out: cannot be written"):
        write(tmp_path / "file" / "out", "new")


def test_many_reports_at_once_leave_one_of_them_whole(tmp_path: Path) -> None:
    threads = [threading.Thread(target=write, args=(tmp_path / "out", str(i))) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (text,) = texts(tmp_path / "out")
    assert text in map(str, range(12))
    assert leftovers(tmp_path) == []


def test_what_a_killed_report_leaves_is_removed_by_the_next_and_a_living_one_is_left_alone(
    tmp_path: Path,
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from reports.folder import written_aside\n"
        "with written_aside(Path(sys.argv[1])): print('ready', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        (living,) = leftovers(tmp_path)
        write(tmp_path / "other", "new")
        assert leftovers(tmp_path) == [living]
        process.kill()
    assert leftovers(tmp_path) == [living]
    write(tmp_path / "other", "newer")
    assert leftovers(tmp_path) == []
