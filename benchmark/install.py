"""Make the project's environment: python benchmark/install.py .venv. `make` runs it before every target."""

from __future__ import annotations  # an old Python must get as far as the message that refuses it

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

NEEDED = (3, 11)
INPUTS = ("pyproject.toml", "constraints.txt")
MARK = "pyvenv.cfg"
"""The file by which Python knows an environment."""
READY = ".ready"
"""The file that an environment has once everything is installed; as old as the start of the installation."""


def main(folder: Path) -> str | None:
    """Make an environment unless it is ready; return what is wrong, if anything."""
    if is_ready(folder):
        return None
    if sys.version_info < NEEDED:
        found = ".".join(map(str, sys.version_info[:2]))
        return f"found Python {found} at {sys.executable}; expected 3.11 or newer: make PYTHON=/path/to/python3.11 ..."
    with Path(INPUTS[0]).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two makes at once, the second finds everything done
        if is_ready(folder):
            return None
        if folder.is_symlink():
            return f"{folder} is a link to {folder.resolve()}, which would be emptied; remove the link"
        if folder.exists() and not (folder / MARK).is_file() and any(folder.iterdir()):
            return f"{folder} is no virtual environment and would be emptied; move it away"
        install(folder)
    return None


def is_ready(folder: Path) -> bool:
    """Return whether everything is installed and the environment's Python still runs."""
    ready, python = folder / READY, folder / "bin" / "python"
    try:
        if ready.stat().st_mtime < max(Path(name).stat().st_mtime for name in INPUTS):
            return False
        version = subprocess.run(
            [python, "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    return tuple(map(int, version.split())) >= NEEDED


def install(folder: Path) -> None:
    """Empty the environment and install everything into it; only then it is ready."""
    ready = folder / READY
    ready.unlink(missing_ok=True)
    started = time.time()
    print(f"installing the dependencies into {folder}, a few minutes the first time", flush=True)
    python = getattr(sys, "_base_executable", sys.executable)  # not that of the environment, if it is active
    empty(folder)
    run(python, "-m", "venv", folder)
    options = ("--quiet", "--disable-pip-version-check", "--no-compile", "--constraint", INPUTS[1])
    run(folder / "bin" / "python", "-m", "pip", "install", *options, ".[dev]")
    compile_all(folder)
    ready.touch()
    os.utime(ready, (started, started))


def compile_all(folder: Path) -> None:
    """Compile the installed modules on all cores; pip would use one.

    Some files, such as templates, are no valid Python and stay as they are; so they do with pip.
    """
    words = (folder / "bin" / "python", "-m", "compileall", "-qq", "--workers", "0", folder / "lib")
    subprocess.run(words, check=False)


def empty(folder: Path) -> None:
    """Delete all but the file by which an environment is known: if this is interrupted, it still is one."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARK:
            path.unlink()


def run(*command: str | Path) -> None:
    """Run a program; end with its exit code if it fails, as it has said why."""
    code = subprocess.run(command).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
