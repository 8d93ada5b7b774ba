"""A tracking server that goes away during a sweep: no result is lost.

python -m tests.cluster.check_absence
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient

from tests.cluster.check_server import FIXED, SMALL
from tests.cluster.postgres import mlflow_server, postgres
from tests.cluster.processes import end_at_sigterm
from tests.conftest import PROJECT_ROOT
from tests.end_to_end.command import command

LONG = ("dataset.categories=[granite,washer]", "method.training.epochs=300", "sweep=absent")
ENVIRONMENT = {**os.environ, **FIXED, "PYTHONUNBUFFERED": "1"}


def words(results: Path, uri: str) -> list[str]:
    return command(results, "-m", *SMALL, *LONG, f"tracking.uri={uri}")


def interrupted(database: str, results: Path) -> list[str]:
    """Let the server go while the first cell trains; return what is wrong with how the sweep ends."""
    log = results / "log"
    with mlflow_server(database, results / "artifacts") as address:
        process = subprocess.Popen(
            words(results, address), stdout=log.open("w"), stderr=subprocess.STDOUT, env=ENVIRONMENT
        )
        end = time.monotonic() + 240
        while "trains for" not in log.read_text():
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(log.read_text())
            time.sleep(0.05)
    code = process.wait(600)
    text = log.read_text()
    wrong = [] if code == 2 else [f"exit code {code}, not 2"]
    wrong += (
        []
        if "send them with `python -m store.sync`" in text
        else ["the message does not name the command that sends them", text]
    )
    wrong += ["a stack trace"] if "Traceback" in text else []
    kept = len(list((results / "pending").glob("*/cell.json")))
    return wrong + ([] if kept == 1 else [f"{kept} cells kept, not 1"])


def again(database: str, results: Path) -> list[str]:
    """Start another server on the same database, send the pending results, and resume the sweep."""
    with mlflow_server(database, results / "artifacts") as address:
        send = [sys.executable, "-m", "store.sync", "--results", str(results), "--uri", address]
        sent = subprocess.run(send, cwd=PROJECT_ROOT, env=ENVIRONMENT, capture_output=True, text=True)
        wrong = (
            []
            if sent.returncode == 0 and "sent: stfpm granite" in sent.stdout
            else [sent.stdout + sent.stderr]
        )
        last = subprocess.run(words(results, address), env=ENVIRONMENT, capture_output=True, text=True)
        wrong += [] if last.returncode == 0 else [last.stdout + last.stderr]
        wrong += (
            [] if "stfpm granite: finished before" in last.stdout else ["the cell that was sent ran again"]
        )
        client = MlflowClient(tracking_uri=address)
        experiments = [item.experiment_id for item in client.search_experiments()]
        cells = client.search_runs(experiments, "tags.kind = 'cell'")
    states = sorted((cell.data.tags["category"], cell.info.status) for cell in cells)
    expected = [("granite", "FINISHED"), ("washer", "FINISHED")]
    return wrong + ([] if states == expected else [f"the store holds {states}"])


def main() -> int:
    """Run the check."""
    with TemporaryDirectory(prefix="absence-") as folder, postgres() as database:
        results = Path(folder)
        wrong = interrupted(database, results) + again(database, results)
    print("\n".join(wrong) or "the finished cell was kept, sent later, and not run again")
    return int(bool(wrong))


if __name__ == "__main__":
    end_at_sigterm()
    sys.exit(main())
