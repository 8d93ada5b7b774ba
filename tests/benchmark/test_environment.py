"""The record of machine and software."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmark.environment import CODE, code_state, environment
from tests.conftest import PROJECT_ROOT

PEAK = """
import torch
from benchmark.environment import peak_memory, restart_peak_memory

large = torch.ones(200_000_000)  # 0.8 GB, the peak before the restart
del large
restart_peak_memory()
before = peak_memory()
array = torch.ones(100_000_000)  # 0.4 GB
print(peak_memory() - before)
"""


def test_the_peak_of_memory_is_that_of_the_largest_array_since_the_restart() -> None:
    """In a new process, as one that keeps freed memory takes the array from what it has."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(0.4, abs=0.1)


def test_the_environment_names_versions_hardware_and_code() -> None:
    record = environment()
    assert record["torch"] == torch.__version__
    assert record["git_dirty"] in ("true", "false", "unknown")
    assert {"python", "cpu", "cpu_threads", "git_commit", "timm", "mlflow"} <= set(record)


def git(root: Path, *arguments: str) -> str:
    """Run git as somebody, without the settings of this machine."""
    who = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *who, *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def write(root: Path, name: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write("a line\n")


COMMITTED = (
    "run_benchmark.py",
    "methods/rd.py",
    "methods/README.md",
    "reports/page/page.css",
    "conf/method/rd.yaml",
    "tests/test_rd.py",
    "README.md",
    "results/published.csv",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a small project in a repository of its own."""
    root = tmp_path / "project"
    for name in (*COMMITTED, ".gitignore"):
        write(root, name)
    (root / ".gitignore").write_text("__pycache__/\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "all")
    return root


def test_a_clean_checkout_has_its_commit(checkout: Path) -> None:
    assert code_state(checkout) == (git(checkout, "rev-parse", "HEAD"), "false")


@pytest.mark.parametrize(
    "name",
    [
        *("my_methods/mine.py", "my_methods/mine.yaml", "paper/table.tex", "results/mlflow.db", ".venv/a.py"),
        *("notes.txt", "new.py", "tests/test_new.py", "docs/new.md", "tests/test_rd.py", "README.md"),
        *("methods/README.md", "methods/notes.txt", "methods/.rd.py.swp", "results/published.csv"),
        *("methods/__pycache__/rd.py", "datasets/old/picture.png"),
    ],
)
def test_what_changes_no_result_is_no_change(checkout: Path, name: str) -> None:
    """What following the README leaves: a report elsewhere, own methods, the environment, results."""
    write(checkout, name)
    assert code_state(checkout)[1] == "false"


@pytest.mark.parametrize(
    "name",
    [
        *("run_benchmark.py", "methods/rd.py", "conf/method/rd.yaml", "reports/page/page.css"),
        *("methods/new.py", "conf/method/new.yaml", "conf/new/new.yml", "datasets/größe.py", "store/a b.py"),
    ],
)
@pytest.mark.parametrize("staged", [False, True])
def test_what_can_change_results_is_a_change(checkout: Path, name: str, staged: bool) -> None:
    write(checkout, name)
    if staged:
        git(checkout, "add", ".")
    assert code_state(checkout)[1] == "true"


def test_a_file_that_is_missing_or_renamed_is_a_change(checkout: Path) -> None:
    (checkout / "methods/rd.py").unlink()
    assert code_state(checkout)[1] == "true"
    git(checkout, "reset", "--quiet", "--hard")
    git(checkout, "mv", "methods/rd.py", "methods/README2.md")
    assert code_state(checkout)[1] == "true"


def test_the_repository_of_something_else_says_nothing(checkout: Path, tmp_path: Path) -> None:
    """A copy without history in a repository of one's own."""
    copy = checkout / "external" / "benchmark"
    shutil.copytree(checkout / "methods", copy / "methods")
    assert code_state(copy) == ("unknown", "unknown")
    assert code_state(tmp_path) == ("unknown", "unknown")


def test_git_that_refuses_says_nothing(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a folder of somebody else."""
    (checkout / ".git" / "HEAD").write_text("damaged")
    assert code_state(checkout) == ("unknown", "unknown")
    monkeypatch.setenv("PATH", "")
    assert code_state(checkout) == ("unknown", "unknown")


def test_a_damaged_index_leaves_the_commit_and_no_verdict(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    (checkout / ".git" / "index").write_bytes(b"damaged")
    assert code_state(checkout) == (commit, "unknown")


def test_the_repository_of_a_hook_is_not_that_of_the_code(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = code_state(checkout)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert code_state(checkout) == expected


def test_the_code_folders_are_those_of_the_project() -> None:
    """A new folder of code must be named."""
    found = {path.parent.name for path in PROJECT_ROOT.glob("*/*.py")}
    found -= {path.name for path in PROJECT_ROOT.glob(".*")} | {"tests", "build", "results"}
    assert found <= set(CODE)
    assert all((PROJECT_ROOT / name).exists() for name in CODE)


def test_the_state_of_the_code_takes_a_moment() -> None:
    start = time.monotonic()
    code_state(PROJECT_ROOT)
    assert time.monotonic() - start < 5
