"""The time from the command to the first training step, warm and with cold caches, and to the report of a mistake.

    python -m tests.speed.start [--rounds N] [--peers PYTHON] [--out JSON]

Every figure comes from the real command, in a process of its own. The method is STFPM as a plug-in that notes the time
of the first call of its loss, and ends the run there. Cold: there is no results folder yet. Warm: generated images,
decoded images, teacher features and store exist. `--peers` names the Python of an environment with anomalib: its
imports alone, a lower limit of its own start, take turns with the warm runs. The times of imports come from one more
run, with `-X importtime`, which takes longer. Not part of the test suite: timings decide nothing.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.conftest import PROJECT_ROOT
from tests.speed.commands import positive
from tests.speed.pairs import Pair, markdown, write

CODE = """
import json, os, sys, time
from pathlib import Path

from methods.stfpm import STFPM

imported = time.monotonic()


class Noted(STFPM):
    def loss(self, batch):
        now = {"imported": imported, "first_step": time.monotonic(), "cpu_seconds": time.process_time()}
        Path(os.environ["NOTED"]).write_text(json.dumps(now))
        print("the first step", file=sys.stderr, flush=True)
        raise KeyboardInterrupt
"""
YAML = "defaults: [stfpm]\n_target_: noted.Noted\n"
ARGUMENTS = ("dataset.categories=[washer]", "runtime.progress=false", "tracking.report=false")
PEER = (
    "from anomalib.data import Folder; from anomalib.engine import Engine; from anomalib.models import Stfpm"
)
INTERRUPTED, MISTAKE = 130, 2
LARGEST = 12


def start_seconds(folder: Path, results: Path, *flags: str) -> tuple[dict[str, float], str]:
    """Return seconds from the start of the process to the times that the plug-in notes, and the command's stderr.

    `flags` are Python's.
    """
    noted = folder / "noted.json"
    noted.unlink(missing_ok=True)
    plugin = ("--config-dir", str(write_plugin(folder / "plugin")), "method=noted", f"results_dir={results}")
    begin = time.monotonic()  # one clock for all processes of a machine
    errors = command([*flags, "run_benchmark.py", *plugin, *ARGUMENTS], INTERRUPTED, {"NOTED": str(noted)})
    times = json.loads(noted.read_text())
    seconds = {
        "first_step": times["first_step"] - begin,
        "until_method_is_imported": times["imported"] - begin,
        "cpu": times["cpu_seconds"],
    }
    return seconds, errors


def write_plugin(folder: Path) -> Path:
    """Write the method that notes the time of the first call of its loss."""
    (folder / "method").mkdir(parents=True, exist_ok=True)
    (folder / "noted.py").write_text(CODE)
    (folder / "method" / "noted.yaml").write_text(YAML)
    return folder


def mistake_seconds(results: Path) -> float:
    """Return the seconds until a mistyped method is reported."""
    begin = time.monotonic()
    errors = command(["run_benchmark.py", "method=stfpmm", f"results_dir={results}"], MISTAKE)
    seconds = time.monotonic() - begin
    assert "did you mean 'stfpm'" in errors, errors
    return seconds


def peer_seconds(python: str) -> float:
    """Return the seconds of a process that imports the modules which a training by anomalib needs."""
    begin = time.monotonic()
    subprocess.run([python, "-c", PEER], capture_output=True, check=True)
    return time.monotonic() - begin


def command(arguments: Sequence[str], code: int, variables: dict[str, str] | None = None) -> str:
    """Run Python in the project; return its stderr. Anything but the expected exit code is an error."""
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=PROJECT_ROOT, capture_output=True, text=True, env=environment
    )
    if done.returncode != code:
        raise RuntimeError(f"exit code {done.returncode} instead of {code}:\n{done.stdout}\n{done.stderr}")
    return done.stderr


def import_seconds(text: str) -> dict[str, tuple[float, float]]:
    """Return {package: (seconds of its own modules, seconds including all that they import first)} of `-X importtime`.

    Modules come before those that import them, deeper in the tree.
    """
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    line = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|( +)([\w.]+)")
    rows = [found.groups() for found in map(line.match, text.splitlines()) if found]
    above: list[tuple[int, str]] = []  # the modules that are importing, from the last line upwards
    for alone, together, indent, module in reversed(rows):
        package = module.partition(".")[0]
        above = [(depth, name) for depth, name in above if depth < len(indent)]
        own[package] += int(alone)
        if package not in {name for _, name in above}:
            whole[package] += int(together)
        above.append((len(indent), package))
    return {package: (seconds / 1e6, whole[package] / 1e6) for package, seconds in own.most_common()}


def measure(rounds: int, peers: str | None) -> dict[str, Any]:
    """Take all figures, in seconds; repeated ones take turns."""
    with TemporaryDirectory() as name:
        folder, results = Path(name), Path(name) / "results"
        mistake_seconds(results)  # compiles modules that have no bytecode yet
        cold, _ = start_seconds(folder, results)
        repeated: dict[str, list[Any]] = {"warm": [], "mistake": [], "peer_imports": []}
        for _ in range(rounds):
            repeated["warm"].append(start_seconds(folder, results)[0])
            repeated["mistake"].append(mistake_seconds(results))
            if peers:
                repeated["peer_imports"].append(peer_seconds(peers))
        slowed, errors = start_seconds(folder, results, "-X", "importtime")
    # imports after the interruption, for the tables, are not a part of the start
    before, marker, _ = errors.partition("the first step")
    assert marker, errors
    parts = import_seconds(before)
    return {"cold": cold, **repeated, "with_importtime": slowed, "imports": parts}


def imports(figures: dict[str, Any]) -> str:
    """Return the packages whose import takes longest as a Markdown table."""
    rows = [
        {
            "package": package,
            "s, its own modules": f"{own:.2f}",
            "s, with all that they import": f"{whole:.2f}",
        }
        for package, (own, whole) in list(figures["imports"].items())[:LARGEST]
    ]
    total = sum(own for own, _ in figures["imports"].values())
    first = figures["with_importtime"]["first_step"]
    return f"Imports, {total:.2f} of {first:.2f} s with `-X importtime`:\n\n{markdown(rows)}\n"


def pairs(figures: dict[str, Any]) -> list[Pair]:
    """Return the start compared with the imports of anomalib, a lower limit of its own start."""
    warm = figures["warm"]
    first, imported, cpu = ([run[key] for run in warm] for key in figures["cold"])
    note = "a lower limit of its start" if figures["peer_imports"] else "no --peers given"
    return [
        Pair(
            "command to first training step", "s", first, figures["peer_imports"], "imports of anomalib", note
        ),
        Pair("of that, libraries, configuration and store", "s", imported),
        Pair("CPU time of all threads until then", "s", cpu),
        Pair("command to first training step, cold caches", "s", [figures["cold"]["first_step"]]),
        Pair("a mistyped option is reported", "s", figures["mistake"]),
    ]


def main() -> None:
    """Measure, print and, if a file is named, write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.speed.start", description=main.__doc__)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--peers", metavar="PYTHON", help="of an environment with anomalib")
    parser.add_argument("--out", type=Path, metavar="JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.rounds, arguments.peers)
    print(imports(figures))
    write(arguments.out, "start", pairs(figures), figures)


if __name__ == "__main__":
    main()
