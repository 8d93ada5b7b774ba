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
LIGHT = ("tracking.figure=false", "tracking.detector=false", "tracking.maps=false")
QUICK = (
    *("dataset.image_size=32", "dataset.train=4", "dataset.test_good=1", "dataset.test_defective=1"),
    *("method.training.image_size=32", "method.training.epochs=1", *LIGHT),
)
SMALL_METHODS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("stfpm", "rd", "rd_plus_plus", "simple_student", "feature_variance", "ast", "dinomaly"), ()
    ),
    "efficient_ad": tuple(f"method.training.stages.{stage}.steps=4" for stage in ("teacher", "student")),
    "uninformed_students": (
        *("method.students=2", "method.training.stages.teacher.steps=4"),
        "method.training.image_size=40",
    ),
}
"""Options, after `TINY`, with which each method trains in seconds."""
TAKEN = "finished before, taken from the store"


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


def command(results: Path, *arguments: str, project: Path = PROJECT_ROOT) -> list[str]:
    """Return the command; reports, which take seconds, are written only for tests that ask for one."""
    wanted = any(argument.startswith("tracking.report=") for argument in arguments)
    report = () if wanted else ("tracking.report=false",)
    elsewhere = any(argument.startswith("results_dir=") for argument in arguments)
    folder = () if elsewhere else (f"results_dir={results}",)
    script = str(project / "run_benchmark.py")
    return [sys.executable, script, *arguments, *folder, *report]


def run(
    results: Path,
    *arguments: str,
    cwd: Path | None = None,
    project: Path = PROJECT_ROOT,
    timeout: float = 280,
) -> Outcome:
    """Run the command of a project in a folder, by default its own, with the environment of the tests."""
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(
        command(results, *arguments, project=project),
        cwd=cwd or project,
        capture_output=True,
        text=True,
        env=environment,
        timeout=timeout,
    )
    return Outcome(done.returncode, done.stdout, done.stderr, results)


def run_here(results: Path, capfd: pytest.CaptureFixture[str], *arguments: str) -> Outcome:
    """Run the command within this process, which saves seconds of imports."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    capfd.readouterr()
    try:
        code = main(command(results, *arguments)[1:])
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
    return Outcome(code, *capfd.readouterr(), results)


MACHINE = ("seconds", "per_second", "memory", "of_others")
"""Parts of the names of metrics that depend on the machine."""


def numbers_of(run: Run) -> dict[str, float]:
    """Return the metrics of a run without those that depend on the machine."""
    metrics: dict[str, float] = run.data.metrics
    return {name: value for name, value in metrics.items() if not any(part in name for part in MACHINE)}


def numbers(outcome: Outcome) -> dict[tuple[str, str, str], dict[str, float]]:
    """Return `numbers_of` the finished cells by method, category and seed."""
    return {
        (cell.data.tags["method"], cell.data.tags["category"], cell.data.tags["seed"]): numbers_of(cell)
        for cell in outcome.runs("cell")
        if cell.info.status == "FINISHED"
    }


def fails_plainly(outcome: Outcome, *parts: str) -> None:
    """Assert a user's mistake: exit code 2, one message that holds the parts, no stack trace."""
    assert outcome.code == 2, outcome.stderr
    assert "Traceback" not in outcome.stderr + outcome.stdout
    messages = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
    assert any(all(part in message for part in parts) for message in messages), outcome.stderr
