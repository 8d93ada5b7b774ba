"""MLflow's server on the local store: it ends with all that it has started, and says why it cannot start."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from reports.dashboard import arrange, main
from store.local import prepare
from tests.cluster.processes import free_port
from tests.conftest import PROJECT_ROOT
from tests.reports.conftest import Call
from tests.store.made import open_tracker

SERVER = """
import subprocess, sys, signal
from pathlib import Path
worker = subprocess.Popen([sys.executable, "-c", "import signal, time; {worker}; time.sleep(600)"])
Path({file!r}).write_text(str(worker.pid))
worker.wait()
"""
SERVE = "import sys; from reports.dashboard import serve; sys.exit(serve([sys.executable, '-c', {server!r}]))"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


def runs(number: int) -> bool:
    """Return whether a process exists that is no zombie."""
    with suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_until(condition: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are read from /proc")


ENDINGS = [
    signal.SIGINT,
    *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGHUP)),
]
"""Three signals that take the same way; the first is tried every time."""


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize("worker", ["", DEAF], ids=["", "deaf worker"])
def test_a_signal_ends_the_server_and_its_workers(
    tmp_path: Path, number: signal.Signals, worker: str
) -> None:
    file = tmp_path / "worker"
    program = SERVE.format(server=SERVER.format(worker=worker or "pass", file=str(file)))
    dashboard = subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT_ROOT, preexec_fn=_hear)
    wait_until(lambda: file.exists() and file.read_text())
    time.sleep(0.3)
    dashboard.send_signal(number)
    assert dashboard.wait(20) == 128 + number
    assert not runs(int(file.read_text()))


def _hear() -> None:
    """Restore the handler of Ctrl-C, which commands that a shell runs in the background ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_server_that_ends_by_itself_leaves_no_worker(tmp_path: Path) -> None:
    file = tmp_path / "worker"
    server = SERVER.format(worker="pass", file=str(file)).replace("worker.wait()", "sys.exit(3)")
    done = subprocess.run([sys.executable, "-c", SERVE.format(server=server)], cwd=PROJECT_ROOT, timeout=60)
    assert done.returncode == 3
    wait_until(lambda: not runs(int(file.read_text())))


def test_a_missing_store_is_reported_in_one_line_and_not_made(tmp_path: Path, call: Call) -> None:
    done = call(main, "--uri", f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"error: sqlite:///{tmp_path / 'mlflow.db'}: there is no store yet; run `python"
    )
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_reported_in_one_line(tmp_path: Path, call: Call) -> None:
    database = tmp_path / "mlflow.db"
    prepare(database)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = call(main, "--uri", f"sqlite:///{database}", "--port", str(port))
    assert done.returncode == 2
    assert done.stderr == (
        f"error: port {port} of 127.0.0.1 cannot be used (Address already in use); choose another: make dashboard "
        "PORT=...\n"
    )


@pytest.mark.parametrize("port", ["0", "-1", "65536", "http", ""])
def test_a_port_that_is_none_is_refused(port: str, call: Call) -> None:
    done = call(main, f"--port={port}")
    assert done.returncode == 2
    assert f"found {port}; expected a number from 1 to 65535" in done.stderr


def test_a_remote_store_is_refused(call: Call) -> None:
    done = call(main, "--uri", "http://127.0.0.1:5000")
    assert done.returncode == 2
    assert "expected a local store, sqlite:///<path of a file>" in done.stderr


def test_the_latest_sweep_has_a_view_of_its_measures_with_an_address(tmp_path: Path) -> None:
    """One tag of MLflow's own in all, however many sweeps there are."""
    tracker = open_tracker(tmp_path)
    assert arrange(tracker.uri) == ""
    for name in ("first", "second"):
        tracker.sweep(name).end("FINISHED")
        address = arrange(tracker.uri)
        experiment = tracker.client.get_experiment(tracker.experiment_id)
        ((tag, view),) = experiment.tags.items()
        assert f"tags.`sweep.{name}`" in json.loads(view)["searchFilter"]
        assert json.loads(view)["selectedColumns"][0] == "metrics.`image_auroc`"
    page, _, query = address.partition("?")
    assert page == f"#/experiments/{tracker.experiment_id}/runs"
    assert tag == f"mlflow.sharedViewState.{parse_qs(query)['viewStateShareKey'][0]}"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", ENDINGS)
def test_ending_make_ends_mlflow_and_its_workers(tmp_path: Path, number: signal.Signals) -> None:
    """MLflow itself, below make, as `make dashboard` runs it."""
    database, port = tmp_path / "mlflow.db", free_port()
    prepare(database)
    recipe = f"\t@exec {sys.executable} -m reports.dashboard --uri sqlite:///{database} --port {port}\n"
    (tmp_path / "Makefile").write_text(f"dashboard:\n{recipe}")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "DASHBOARD": str(tmp_path)}
    make = subprocess.Popen(
        ["make", "-f", tmp_path / "Makefile"],
        cwd=PROJECT_ROOT,
        env=environment,
        preexec_fn=_hear,
        start_new_session=True,
    )
    wait_until(lambda: answers(port), 240)
    assert len(processes(str(tmp_path))) >= 3
    if number == signal.SIGTERM:
        make.terminate()  # make passes it on
    else:
        os.killpg(make.pid, number)  # as a terminal does
    make.wait(60)
    wait_until(lambda: processes(str(tmp_path)) == [], 15)
    assert not answers(port)


def answers(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
        return bool(reply.status == 200)
    return False


def processes(mark: str) -> list[int]:
    """Return the processes in whose environment a mark stands."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"DASHBOARD={mark}".encode() in (folder / "environ").read_bytes() and runs(int(folder.name)):
                found.append(int(folder.name))
    return found
