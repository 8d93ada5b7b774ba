"""Modules of the store that commands import at once do without MLflow; none needs torch or Hydra."""

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
