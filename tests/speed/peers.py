"""An environment of the peers in a folder of its own: they are compared with this suite and never part of it.

`python -m tests.speed.peers FOLDER` makes it if it does not exist, and prints its Python.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from tests.speed.commands import SpeedError

PINNED = ("anomalib==2.7.0", "adeval==1.1.0", "torchmetrics==1.9.0", "scikit-learn==1.9.1")
# the same torch and timm as here, so that only the suites differ
SHARED = ("torch", "torchvision", "timm", "numpy")

_ASK = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def peers_python(folder: Path) -> Path:
    """Return the Python of the peers' environment, which is made if the folder does not exist.

    Parameters
    ----------
    folder
        The folder of the environment, or its Python itself.

    Raises
    ------
    SpeedError
        If it cannot be made, or an existing one holds other versions of the peers.
    """
    python = folder if folder.is_file() else folder / "bin" / "python"
    if not python.exists():
        _make(folder)
    wanted = dict(pin.split("==") for pin in PINNED)
    found = versions(python, *wanted)
    if found != wanted:
        raise SpeedError(
            f"{folder}: found {found}; expected {wanted}; remove the folder to have it made again"
        )
    return python


def versions(python: Path, *packages: str) -> dict[str, str]:
    """Return the versions of the packages that an environment has; missing ones are left out."""
    done = subprocess.run([python, "-c", _ASK, *packages], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SpeedError(f"{python} does not run: {done.stderr[-500:]}")
    return {str(name): str(version) for name, version in json.loads(done.stdout).items()}


def _make(folder: Path) -> None:
    """Install the peers; after a failure the folder is left as it is."""
    print(f"installing {', '.join(PINNED)} into {folder}, some minutes", file=sys.stderr)
    same = [f"{name}=={version}" for name, version in versions(Path(sys.executable), *SHARED).items()]
    pip: list[str | Path] = [
        folder / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    steps: list[list[str | Path]] = [[sys.executable, "-m", "venv", folder], [*pip, *PINNED, *same]]
    for words in steps:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SpeedError(f"{folder} could not be made: {done.stderr[-1000:]}")


def main() -> None:
    """Make the environment and print its Python."""
    parser = argparse.ArgumentParser(prog="python -m tests.speed.peers", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    try:
        print(peers_python(parser.parse_args().folder))
    except SpeedError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
