"""Running the real command, as a user does."""

import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from run_benchmark import main
from tests.conftest import PROJECT_ROOT

TINY = (
    "dataset.image_size=64",
    "dataset.train=12",
    "dataset.test_good=3",
    "dataset.test_defective=2",
    "method.training.image_size=64",
    "method.training.epochs=2",
)


@dataclass(frozen=True)
class Outcome:
    """Exit code and output of one command, and the store that it wrote to."""

    code: int
    stdout: str
    stderr: str
    results: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.results / 'mlflow.db'}"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.uri)

    def runs(self, kind: str) -> list[Run]:
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        order = ["attributes.start_time ASC"]
        return list(self.client.search_runs(experiments, f"tags.kind = '{kind}'", order_by=order))

    def artifact(self, run: Run, name: str) -> Path:
        return Path(self.client.download_artifacts(run.info.run_id, name))


def command(results: Path, *arguments: str) -> list[str]:
    """Return the command; reports, which take seconds, are for the tests that ask for one."""
    wanted = any(argument.startswith("tracking.report=") for argument in arguments)
    report = () if wanted else ("tracking.report=false",)
    script = str(PROJECT_ROOT / "run_benchmark.py")
    return [sys.executable, script, *arguments, f"results_dir={results}", *report]


def run(results: Path, *arguments: str, cwd: Path = PROJECT_ROOT, timeout: float = 280) -> Outcome:
    """Run the command; it inherits no setting of the tests but the environment."""
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(
        command(results, *arguments),
        cwd=cwd,
        capture_output=True,
        text=True,
        env=environment,
        timeout=timeout,
    )
    return Outcome(done.returncode, done.stdout, done.stderr, results)


def run_here(results: Path, capfd: pytest.CaptureFixture[str], *arguments: str) -> Outcome:
    """Run the command within this process: seconds faster, for what ends before any work starts."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    capfd.readouterr()
    try:
        code = main([str(PROJECT_ROOT / "run_benchmark.py"), *arguments, f"results_dir={results}"])
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
    return Outcome(code, *capfd.readouterr(), results)


MACHINE = ("seconds", "per_second", "memory")
"""Parts of the names of metrics that tell of the machine."""


def numbers(outcome: Outcome) -> dict[tuple[str, str, str], dict[str, float]]:
    """Return the metrics of the finished cells but for those that tell of the machine."""
    return {
        (cell.data.tags["method"], cell.data.tags["category"], cell.data.tags["seed"]): {
            name: value
            for name, value in cell.data.metrics.items()
            if not any(part in name for part in MACHINE)
        }
        for cell in outcome.runs("cell")
        if cell.info.status == "FINISHED"
    }


def fails_plainly(outcome: Outcome, *parts: str) -> None:
    """Assert a user's mistake: exit code 2, one message that holds the parts, no stack trace."""
    assert outcome.code == 2, outcome.stderr
    assert "Traceback" not in outcome.stderr + outcome.stdout
    messages = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
    assert any(all(part in message for part in parts) for message in messages), outcome.stderr
