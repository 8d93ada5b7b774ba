"""The project's environment: made once, whole, and never in place of something else."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmark import install
from tests.conftest import PROJECT_ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an empty project, in which installations take a moment and install nothing."""
    monkeypatch.chdir(tmp_path)
    for name in install.INPUTS:
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the programs that an installation runs; return their names as they are run."""
    seen: list[str] = []

    def run(*command: str | Path) -> None:
        seen.append(str(command[2]))
        if command[2] == "venv":
            folder = Path(command[-1])
            (folder / "bin").mkdir(parents=True, exist_ok=True)
            (folder / "pyvenv.cfg").touch()
            python(folder, f'exec {sys.executable} "$@"')
            time.sleep(0.2)

    monkeypatch.setattr(install, "run", run)
    return seen


def python(folder: Path, script: str) -> None:
    program = folder / "bin" / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_an_environment_is_made_once(project: Path, commands: list[str]) -> None:
    folder = Path(".venv")
    assert install.main(folder) is None
    assert install.main(folder) is None
    assert commands == ["venv", "pip"]


@pytest.mark.parametrize("name", install.INPUTS)
def test_other_dependencies_make_it_anew(project: Path, commands: list[str], name: str) -> None:
    install.main(Path(".venv"))
    os.utime(name, (time.time() + 1, time.time() + 1))
    install.main(Path(".venv"))
    assert commands == ["venv", "pip"] * 2


def test_dependencies_that_change_during_the_installation_make_it_anew(
    project: Path, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = install.run

    def run(*command: str | Path) -> None:
        fake(*command)
        if len(commands) == 2:
            Path("constraints.txt").touch()

    monkeypatch.setattr(install, "run", run)
    install.main(Path(".venv"))
    install.main(Path(".venv"))
    assert commands == ["venv", "pip"] * 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_installation_is_not_ready(
    project: Path, commands: list[str], monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Nor is an environment that was ready before."""
    install.main(Path(".venv"))
    os.utime("pyproject.toml", (time.time() + 1, time.time() + 1))
    with monkeypatch.context() as patch:

        def run(*command: str | Path) -> None:
            raise error

        patch.setattr(install, "run", run)
        with pytest.raises(error):
            install.main(Path(".venv"))
    os.utime("pyproject.toml", (0, 0))
    commands.clear()
    install.main(Path(".venv"))
    assert commands == ["venv", "pip"]


@pytest.mark.parametrize("script", ["exit 1", "echo 3 10", "kill -9 $$"])
def test_an_environment_whose_python_is_broken_or_old_is_made_anew(
    project: Path, commands: list[str], script: str
) -> None:
    install.main(Path(".venv"))
    python(Path(".venv"), script)
    install.main(Path(".venv"))
    assert commands == ["venv", "pip"] * 2


def test_an_environment_whose_python_is_gone_is_made_anew(project: Path, commands: list[str]) -> None:
    install.main(Path(".venv"))
    Path(".venv/bin/python").unlink()
    install.main(Path(".venv"))
    assert commands == ["venv", "pip"] * 2


def test_two_at_once_install_once(project: Path, commands: list[str]) -> None:
    threads = [threading.Thread(target=install.main, args=(Path(".venv"),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert commands == ["venv", "pip"]


def test_an_installation_that_waits_for_another_is_not_confused_by_it(
    project: Path, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an environment is emptied and filled, it may look like anything."""
    install.main(Path(".venv"))
    os.utime("pyproject.toml", (time.time() + 0.1, time.time() + 0.1))
    time.sleep(0.2)
    results: list[str | None] = []
    fake = install.run

    def run(*command: str | Path) -> None:
        if len(results) == 0 and command[2] == "venv":
            other.start()
            (Path(".venv") / install.MARK).unlink()
            (Path(".venv") / "half").touch()
            time.sleep(0.3)
            results.append("first")
        fake(*command)

    other = threading.Thread(target=lambda: results.append(install.main(Path(".venv"))))
    monkeypatch.setattr(install, "run", run)
    assert install.main(Path(".venv")) is None
    other.join()
    assert results == ["first", None]
    assert commands == ["venv", "pip"] * 2


def test_an_environment_that_was_being_emptied_is_still_one(
    project: Path, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install.main(Path(".venv"))
    (project / ".venv" / "old").mkdir()
    (project / ".venv" / "lib64").symlink_to("old")
    install.empty(Path(".venv"))
    assert [path.name for path in Path(".venv").iterdir()] == [install.MARK]
    assert install.main(Path(".venv")) is None
    assert commands == ["venv", "pip"] * 2


def test_the_folder_behind_a_link_is_left_alone(project: Path, commands: list[str]) -> None:
    (project / "shared").mkdir()
    (project / "shared" / "data").touch()
    Path(".venv").symlink_to("shared")
    message = install.main(Path(".venv"))
    assert message == f".venv is a link to {project / 'shared'}, which would be emptied; remove the link"
    assert commands == []
    assert (project / "shared" / "data").exists()


def test_a_link_to_a_ready_environment_is_used(project: Path, commands: list[str]) -> None:
    install.main(Path("shared"))
    Path(".venv").symlink_to("shared")
    assert install.main(Path(".venv")) is None
    assert commands == ["venv", "pip"]


def test_a_folder_of_something_else_is_left_alone(project: Path, commands: list[str]) -> None:
    Path(".venv").mkdir()
    Path(".venv/data").touch()
    assert install.main(Path(".venv")) == ".venv is no virtual environment and would be emptied; move it away"
    assert commands == []


def test_an_old_python_is_refused_before_anything_is_emptied(
    project: Path, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    message = install.main(Path(".venv"))
    assert message is not None
    assert message.startswith(f"found Python 3.9 at {sys.executable}; expected 3.11 or newer: make PYTHON=")
    assert commands == []


def make(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run make in a folder that has the project's Makefile."""
    for name in ("Makefile", "benchmark/install.py", *install.INPUTS):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((PROJECT_ROOT / name).read_bytes())
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, env=outside_make(), timeout=60
    )


def outside_make() -> dict[str, str]:
    """Return the environment without what a make that runs the tests has put there."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def test_make_reports_a_link_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / ".venv").symlink_to("shared")
    done = make(tmp_path, "status")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        f".venv is a link to {tmp_path / 'shared'}, which would be emptied; remove the link"
    )
    assert done.stdout == ""


@pytest.mark.parametrize("program", ["", "/nowhere/python3"])
def test_make_reports_a_missing_python(tmp_path: Path, program: str) -> None:
    done = make(tmp_path, "status", f"PYTHON={program}")
    assert done.returncode == 2
    assert "make PYTHON=/path/to/python3.11" in done.stdout + done.stderr or program in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_make_lists_every_target() -> None:
    listed = make_help().splitlines()
    targets = {line.split()[1] for line in listed}
    makefile = (PROJECT_ROOT / "Makefile").read_text()
    phony = next(line for line in makefile.splitlines() if line.startswith(".PHONY: help"))
    assert targets == set(phony.split()[1:])


def make_help() -> str:
    return subprocess.run(
        ["make", "help"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, env=outside_make()
    ).stdout
