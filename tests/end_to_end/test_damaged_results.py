"""Damaged files of a finished results folder: each command names them, and no number is wrong without a word."""

import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.detector import load_detector
from benchmark.errors import BenchmarkError
from reports.__main__ import main as report
from reports.status import main as status
from store.errors import StoreError
from store.sync import main as sync
from store.tracker import Tracker
from tests.end_to_end.command import QUICK, Outcome, numbers, run_here

ROUNDS, FILES = 60, 5
SWEEP = ("-m", "method=stfpm,simple_student", "dataset.categories=[granite,washer]", "sweep=damaged", *QUICK)
KEPT = ("tracking.figure=true", "tracking.detector=true", "tracking.maps=true", "tracking.report=true")
DATABASE = "mlflow.db"


def truncated(path: Path, moments: random.Random) -> None:
    os.truncate(path, moments.randrange(path.stat().st_size or 1))


def emptied(path: Path, moments: random.Random) -> None:
    os.truncate(path, 0)


def flipped(path: Path, moments: random.Random) -> None:
    content = bytearray(path.read_bytes() or b"\0")
    for _ in range(20):
        content[moments.randrange(len(content))] ^= 1 << moments.randrange(8)
    path.write_bytes(content)


def replaced(path: Path, moments: random.Random) -> None:
    path.unlink()
    path.mkdir()


def unreadable(path: Path, moments: random.Random) -> None:
    path.unlink()
    path.symlink_to(path)  # for root, too


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    truncated,
    emptied,
    flipped,
    replaced,
    unreadable,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a results folder with a finished sweep, its report, and a record that waits for the store."""
    return tmp_path_factory.mktemp("finished") / "results"


def fill(results: Path, capfd: pytest.CaptureFixture[str]) -> Outcome:
    """Run the sweep, once for all tests of a module."""
    outcome = run_here(results, capfd, *SWEEP, *KEPT)
    assert outcome.code == 0, outcome.stderr
    if not (results / "pending" / "made-up").exists():
        tracker = Tracker(outcome.uri, "student-teacher-anomaly-benchmark", results)
        parent = tracker.sweep("damaged")
        tags = {"method": "made up", "category": "made up", "seed": "0", "identity": "made-up"}
        run = tracker.start_cell(parent, "made up", tags)
        pending = tracker.new_pending(run, parent, "made up", "made-up", tags)
        pending.add_metrics({"pro": 0.5})
        (pending.files / "note.txt").write_text("hello")
        pending.save()
    return outcome


def call(
    main: Callable[[], int],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
) -> tuple[int, str]:
    """Run one of the commands within this process, and return its code and output."""
    capfd.readouterr()
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    code = main()
    return code, "".join(capfd.readouterr())


def check_commands(
    results: Path,
    before: Outcome,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    codes: tuple[int, ...] = (0,),
) -> None:
    """Run every command on a damaged folder; `codes`: the exit codes of the readers."""
    uri = f"sqlite:///{results / DATABASE}"
    code, shown = call(
        report,
        capfd,
        monkeypatch,
        "--uri",
        uri,
        "--sweep",
        "damaged",
        "--out",
        str(results.parent / "report"),
    )
    assert code in codes, shown
    assert "Traceback" not in shown
    if code == 0:
        new, old = results.parent / "report" / "tables", before.results / "reports" / "damaged" / "tables"
        for name in ("image_auroc.csv", "pro.csv", "dice.csv"):
            assert (new / name).read_text() == (old / name).read_text()
    code, shown = call(status, capfd, monkeypatch, "--uri", uri, "--sweep", "damaged")
    assert code in codes, shown
    assert "Traceback" not in shown
    for cell in before.runs("cell"):
        try:
            load_detector(cell.info.run_id, tracking_uri=uri)
        except (StoreError, BenchmarkError) as error:
            print(error)
    code, shown = call(sync, capfd, monkeypatch, "--results", str(results), "--uri", uri)
    assert code in (0, 2)
    assert "Traceback" not in shown
    resumed = run_here(results, capfd, *SWEEP, *KEPT, "tracking.report=false")
    assert resumed.code in (0, 1, 2), resumed.stdout + resumed.stderr
    assert "Traceback" not in resumed.stdout + resumed.stderr
    if (
        resumed.code == 1
    ):  # a lock of a cell, or a file of the sweep's own, is no file any more: both are named
        named = (f"failed: {results}", "part of the summary is missing")
        assert any(part in resumed.stdout + resumed.stderr for part in named)
    if resumed.code < 2:
        found, expected = numbers(resumed), numbers(before)
        assert {cell: found[cell] for cell in expected} == expected


@pytest.fixture
def copy(finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> tuple[Outcome, Path]:
    """Return the finished sweep, and a copy of its results folder to be damaged."""
    before = fill(finished, capfd)
    return before, Path(shutil.copytree(finished, tmp_path / "results"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_damaged_files_are_named_and_no_number_is_wrong(
    number: int,
    copy: tuple[Outcome, Path],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, results = copy
    moments = random.Random(number)
    files = sorted(path for path in results.rglob("*") if path.is_file() and path.name != DATABASE)
    for path in moments.sample(files, FILES):
        damage = moments.choice(DAMAGES)
        print(f"{damage.__name__}: {path.relative_to(results)}")
        damage(path, moments)
    check_commands(results, before, capfd, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("number", range(3))
def test_a_damaged_database_is_one_line(
    number: int,
    damage: Callable[[Path, random.Random], None],
    copy: tuple[Outcome, Path],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, results = copy
    damage(results / DATABASE, random.Random(number))
    check_commands(results, before, capfd, monkeypatch, codes=(0, 2))
