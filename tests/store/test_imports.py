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


COMMANDS = (
    *("reports.status", "reports.dashboard", "reports.__main__", "reports.report"),
    *("store.sync", "store.register", "benchmark.predict", "benchmark.export", "benchmark.toy"),
)


def test_commands_that_compute_nothing_or_have_not_begun_do_without_torch() -> None:
    code = f"import sys, {', '.join(COMMANDS)}; print({{'torch', 'hydra', 'sklearn'}} & {{*sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_torch_is_not_imported_before_the_options_are_right() -> None:
    code = (
        "import sys, run_benchmark; code = run_benchmark.main(sys.argv); print(code, 'torch' in sys.modules)"
    )
    options = ("method=stfpm", "method.training.epochs=many")
    done = subprocess.run(
        [sys.executable, "-c", code, *options], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "False"], done.stderr


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
