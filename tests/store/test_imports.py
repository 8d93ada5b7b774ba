"""Modules of the store that commands import at once do without MLflow; none needs torch or Hydra."""

import os
import subprocess
import sys

import pytest

from tests.conftest import PROJECT_ROOT

QUICK = (
    "errors",
    "tags",
    "plan",
    "format1",
    "options",
    "dataset_names",
    "passwords",
    "pending",
    "sync",
    "files",
)
SLOW = ("tracker", "table", "artifacts")


@pytest.mark.parametrize(
    ("modules", "unwanted"), [(QUICK, ("mlflow", "torch", "hydra")), (SLOW, ("torch", "hydra"))]
)
def test_modules_do_not_import(modules: tuple[str, ...], unwanted: tuple[str, ...]) -> None:
    imports = ", ".join(f"store.{name}" for name in modules)
    code = f"import sys, {imports}; print([name for name in {unwanted} if name in sys.modules])"
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["store.table", "store.tracker", "reports.status", "reports.__main__"])
def test_mlflow_sends_no_telemetry(module: str) -> None:
    code = (
        f"import {module}; from mlflow.telemetry import get_telemetry_client; print(get_telemetry_client())"
    )
    # MLflow sends none where variables show that tests or a CI run it
    environment = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command,
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert result.stdout.strip() == "None"
