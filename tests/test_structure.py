"""The frame: imports point one way, and installing puts no package of ours beside the libraries."""

import ast
import importlib.metadata
from pathlib import Path

import pytest

from tests.conftest import PROJECT_ROOT

OURS = {"benchmark", "datasets", "methods", "metrics", "reports", "run_benchmark", "store"}
COMMANDS = {"run_benchmark", "benchmark.predict", "benchmark.toy"}
"""Modules that stand on top of everything: they may import all of it, and nothing imports them."""
MAY_IMPORT = {
    "benchmark": {"datasets", "methods", "metrics", "store"},
    "methods": {"datasets.batch"},
    "datasets": {"store.errors", "store.folders", "store.keys"},
    "metrics": set(),
    "store": set(),
    "reports": {"metrics", "store"},
}

LONGEST = 320


def imported_modules(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    found = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return found | {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }


def files_of(package: str) -> list[Path]:
    single = PROJECT_ROOT / f"{package}.py"
    return [single] if single.exists() else sorted((PROJECT_ROOT / package).rglob("*.py"))


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(PROJECT_ROOT).with_suffix("").parts)


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_point_one_way(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    for file in files_of(package):
        if name_of(file) in COMMANDS:
            continue
        for module in imported_modules(file):
            if module.split(".")[0] in OURS:
                assert module.split(".")[0] in allowed or module in allowed, f"{file} imports {module}"


def test_nothing_imports_a_command() -> None:
    for package in OURS:
        for file in files_of(package):
            assert not imported_modules(file) & COMMANDS, file


@pytest.mark.parametrize("package", ["metrics", "reports", "store"])
def test_measures_reports_and_the_store_know_neither_torch_nor_hydra(package: str) -> None:
    for file in files_of(package):
        tops = {module.split(".")[0] for module in imported_modules(file)}
        assert not tops & {"torch", "hydra", "omegaconf"}, file


def test_no_file_of_code_is_longer_than_three_hundred_lines() -> None:
    for package in OURS:
        for file in files_of(package):
            assert len(file.read_text().splitlines()) <= LONGEST, file


def test_installing_puts_no_package_of_ours_into_site_packages() -> None:
    try:
        installed = importlib.metadata.files("student-teacher-anomaly-benchmark") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the project is not installed in this environment")
    assert not {file.parts[0] for file in installed} & OURS


def test_constraints_pin_versions_without_addresses() -> None:
    text = (PROJECT_ROOT / "constraints.txt").read_text()
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all("==" in line for line in pins)
    assert "://" not in text
