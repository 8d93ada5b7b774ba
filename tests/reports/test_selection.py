"""The cells that a report is about, and the messages where there are none."""

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from reports.__main__ import main
from reports.errors import ReportError
from reports.selection import Selection
from store.errors import StoreError
from store.plan import MEMBER, Member
from store.table import find_sweep, search
from tests.conftest import PROJECT_ROOT
from tests.reports.conftest import Call
from tests.reports.store import SWEEP, make_store

METHODS, CATEGORIES = ("ast", "stfpm"), ("carpet", "bottle")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a store with a sweep of 2 methods x 2 categories x 2 seeds, and a later one with one of its cells."""
    uri = make_store(tmp_path_factory.mktemp("store"), METHODS, CATEGORIES, seeds=2, images=8, side=32)
    client = MlflowClient(tracking_uri=uri)
    later = client.create_run(find_sweep(uri).info.experiment_id, tags={"kind": "sweep", "sweep": "later"})
    cell = search(uri, "tags.kind = 'cell' and tags.method = 'ast'")[0]
    client.set_tag(cell.info.run_id, f"{MEMBER}later", str(Member(0, 0, "key")))
    client.set_terminated(later.info.run_id)
    return uri


def count(uri: str, *sweeps: str, **only: list[str]) -> int:
    return int(Selection(sweeps, only).read(uri)["run_id"].nunique())


def test_without_a_name_the_latest_sweep_counts(store: str) -> None:
    assert count(store) == 1
    assert count(store, SWEEP) == 8


def test_a_cell_of_several_sweeps_counts_once(store: str) -> None:
    assert count(store, "later", SWEEP) == count(store, "all") == 8


def test_filters_narrow_each_other(store: str) -> None:
    assert count(store, SWEEP, method=["ast"]) == 4
    assert count(store, SWEEP, method=["ast"], category=["bottle"], seed=["0", "1"]) == 2


@pytest.mark.parametrize(
    ("column", "value", "there"),
    [("method", "rd", "ast, stfpm"), ("category", "botle", "carpet, bottle"), ("seed", "7", "0, 1")],
)
def test_a_filter_that_matches_nothing_lists_what_there_is(
    store: str, column: str, value: str, there: str
) -> None:
    with pytest.raises(
        ReportError, match=f"--{column}: no cell of the selection has {value}; expected one of {there}"
    ):
        count(store, SWEEP, **{column: [value]})


def test_an_unknown_sweep_lists_the_known_ones(store: str) -> None:
    with pytest.raises(StoreError, match=f"no sweep 'none' .*; known: {SWEEP}, later"):
        count(store, "none")


def test_the_command_writes_a_report_of_a_selection(store: str, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "report"
    only = ("--sweep", SWEEP, "--method", "ast", "--metric", "pro", "image_auroc")
    arguments = ("--uri", store, "--out", str(out), *only)
    command = [sys.executable, "-m", "reports", *arguments]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out / "report.html")
    assert (out / "tables" / "pro.tex").exists()
    assert not (out / "tables" / "dice.tex").exists()
    again = call(main, *arguments)
    assert again.returncode == 0, "an earlier report is replaced"


def test_a_folder_with_something_else_is_left_alone(store: str, tmp_path: Path, call: Call) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    done = call(main, "--uri", store, "--out", str(tmp_path))
    assert done.returncode == 2
    assert "found thesis.tex; expected a folder, new, empty or with an earlier report" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--metric", "auroc"), "invalid choice: 'auroc'"),
        (
            ("--metric", "pro_rescaled"),
            "no cell has pro_rescaled; expected any of image_auroc, pixel_auroc, pro",
        ),
        (("--sweep", "none"), "there is no sweep 'none'"),
    ],
)
def test_a_wrong_argument_is_reported_in_one_line(
    store: str, tmp_path: Path, call: Call, arguments: tuple[str, ...], message: str
) -> None:
    done = call(main, "--uri", store, "--out", str(tmp_path / "report"), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "report").exists()


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, call: Call) -> None:
    done = call(main, "--uri", f"sqlite:///{tmp_path / 'none.db'}")
    assert done.returncode == 2
    assert "there is no store yet" in done.stderr
    assert not (tmp_path / "none.db").exists()


def test_no_password_is_shown(call: Call) -> None:
    done = call(main, "--uri", "postgresql://user:pass@word@127.0.0.1:1/none")
    assert done.returncode == 2
    assert "pass@word" not in done.stdout + done.stderr
    assert "postgresql://user@127.0.0.1:1/none: the store cannot be read" in done.stderr
