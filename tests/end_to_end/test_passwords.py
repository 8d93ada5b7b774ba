"""Passwords of the tracking URI, given in every way: none reaches the screen or a file."""

import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from store.passwords import PASSWORD
from tests.cluster.postgres import mlflow_server
from tests.conftest import PROJECT_ROOT
from tests.end_to_end.command import QUICK, Outcome, command, run, run_here

SECRET = "Tr0ub4dor3xQzWvKj7Lm"
"""Long enough for a token, and nothing that stands in any file by chance."""
NOWHERE = "127.0.0.1:1"
SWEEP = ("method=stfpm", "dataset.categories=[washer]", "sweep=secret", *QUICK)


def shows_nothing(outcome: Outcome, *folders: Path) -> None:
    """Assert that the secret is neither in the output nor in a name or content of a file."""
    assert SECRET not in outcome.stdout + outcome.stderr
    for folder in (outcome.results, *folders):
        for path in folder.rglob("*"):
            assert SECRET not in str(path)
            assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


@pytest.fixture(autouse=True)
def _no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{SECRET}@{NOWHERE}")


@pytest.mark.parametrize(
    "arguments",
    [
        [f"tracking.uri=http://me:{SECRET}@{NOWHERE}"],
        ["-m", f"tracking.uri=http://me:{SECRET}@{NOWHERE}"],
        [f"++tracking.uri='http://me:{SECRET}@{NOWHERE}'"],
        [f'tracking.uri="http://{SECRET}@{NOWHERE}"'],
        [f"tracking.uri=http://me:{quote(SECRET[:9] + '@' + SECRET)}@{NOWHERE}"],
        [f"tracking.uri=http://me:{SECRET}:{SECRET}@{NOWHERE}"],
        ["-m", f"tracking.uri=http://me:{SECRET}@{NOWHERE},http://me:{SECRET}@{NOWHERE}/2"],
        [f"++tracking={{uri: 'http://me:{SECRET}@{NOWHERE}', experiment: a}}"],
        [f"tracking.uri=postgresql://me:{SECRET}@{NOWHERE}/db"],
        [f"tracking.uri=postgresql://{NOWHERE}/db?user=me&password={SECRET}"],
        ["-m", f"tracking.uri='postgresql://{NOWHERE}/db?user=me&password={SECRET}&sslmode=require'"],
        [f"tracking.uri=postgresql://{NOWHERE}/db?user=me&password={SECRET}&"],
        [f"tracking.uri=nothing://me:{SECRET}@{NOWHERE}"],
        [f"tracking.uri=http://me:{SECRET}@{NOWHERE}:not_a_port"],
        [f"tracking.uri=http://me:a/{SECRET}@{NOWHERE}"],
        ["tracking.uri=${oc.env:MLFLOW_TRACKING_URI}"],
        ["-m", "tracking.uri=${oc.env:MLFLOW_TRACKING_URI}"],
        [f"tracking.url=http://me:{SECRET}@{NOWHERE}"],
        [f"tracking.uri:http://me:{SECRET}@{NOWHERE}"],
        [f"--tracking.uri=http://me:{SECRET}@{NOWHERE}"],
        [f"tracking.uri='postgresql://me:{SECRET}@{NOWHERE}/db?sslpassword={SECRET}'"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(SECRET, "SECRET"),
)
def test_a_mistyped_or_unreachable_store_shows_no_password(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    outcome = run_here(tmp_path / "results", capfd, *SWEEP, *arguments)
    assert outcome.code == 2, outcome.stderr
    assert "Traceback" not in outcome.stderr
    shows_nothing(outcome)


@pytest.mark.parametrize("multirun", [[], ["-m"]], ids=["one job", "sweep"])
@pytest.mark.parametrize("folder", ["experiment", "tracking"])
def test_a_password_in_a_file_is_refused_before_anything_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], folder: str, multirun: list[str]
) -> None:
    """The file may be shared; the message names the variable that takes the password."""
    (tmp_path / "own" / folder).mkdir(parents=True)
    uri = f"http://me:{SECRET}@{NOWHERE}"
    content = {
        "experiment": f"# @package _global_\ntracking:\n  uri: {uri}\n",
        "tracking": f"defaults:\n  - mlflow\n  - _self_\nuri: {uri}\n",
    }
    (tmp_path / "own" / folder / "mine.yaml").write_text(content[folder])
    outcome = run_here(
        tmp_path / "results", capfd, *multirun, *SWEEP, f"--config-dir={tmp_path / 'own'}", f"{folder}=mine"
    )
    assert outcome.code == 2
    assert "tracking.uri holds a password, which would be written to files; expected" in outcome.stderr
    assert PASSWORD in outcome.stderr
    shows_nothing(outcome)


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_a_store_with_a_password_shows_it_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweep, report, status and what the server keeps. This server lets everybody in."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    kept = tmp_path / "server"
    kept.mkdir()
    with mlflow_server(f"sqlite:///{kept / 'mlflow.db'}", kept / "artifacts", workers=1) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
        uri = address.replace("://", f"://me:{SECRET}@")
        for code, *arguments in (
            (2, "-m", "method=stfpm,mistyped"),
            (1, "-m", "seed=0,1", "jobs.cell_seconds=0.001"),
            (0, "-m", "seed=0,1"),
        ):
            where = ("tracking.report=true", f"tracking.uri={uri}")
            outcome = run(tmp_path / "results", *SWEEP, *arguments, *where)
            assert outcome.code == code, outcome.stderr
            shows_nothing(outcome, kept)
        assert (tmp_path / "results" / "reports" / "secret").exists()
        for module in ("reports", "reports.status"):
            again = subprocess.run(
                [sys.executable, "-m", module, "--uri", uri],
                cwd=PROJECT_ROOT,
                capture_output=True,
                text=True,
            )
            assert again.returncode == 0, again.stderr
            shows_nothing(Outcome(0, again.stdout, again.stderr, tmp_path / "results"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are read from /proc")
def test_the_list_of_processes_shows_no_password_once_the_command_has_started(tmp_path: Path) -> None:
    words = command(tmp_path / "results", *SWEEP, f"tracking.uri=http://me:{SECRET}@{NOWHERE}")
    lines = []
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            lines.append(Path(f"/proc/{process.pid}/cmdline").read_text())
    lines = [line for line in lines if line]  # that of a process that has just ended is empty
    assert "tracking.uri=http://me@" in lines[-1], "the command ended before it was looked at"
    assert sum(SECRET in line for line in lines) < len(lines) / 2
