"""One sweep under the Ray launcher: equal measures, true exit codes, and an end of all processes.

python -m tests.cluster.check_ray
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from tests.cluster.check_launchers import FIXED, SWEEP, measures
from tests.cluster.processes import end_at_sigterm
from tests.end_to_end.command import TINY, command, run

LOCAL = ("hydra/launcher=ray",)
CLUSTER = ("hydra/launcher=ray_cluster",)
ENVIRONMENT = {**FIXED, "RAY_USAGE_STATS_ENABLED": "0", "COLUMNS": "200"}
FAILING = ("-m", "method=stfpm", "seed=0,1", "dataset.categories=[granite]", "sweep=failing", *TINY)
ENDLESS = ("-m", "method=stfpm,rd", "dataset.categories=[granite]", "sweep=endless", *TINY)
SECONDS = 60
"""Within this time an interrupted sweep must have ended, with all its processes."""


def cluster(*words: str) -> None:
    """Run Ray's program, which starts and stops the cluster."""
    program = Path(sys.executable).with_name("ray")
    subprocess.run([program, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def equal(folder: Path) -> list[str]:
    """Run the sweep without Ray, with a cluster that it starts, and on one that runs; return the differences."""
    outcomes = {"basic": run(folder / "basic", *SWEEP), "ray": run(folder / "ray", *SWEEP, *LOCAL)}
    cluster("start", "--head", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats")
    try:
        outcomes["ray_cluster"] = run(folder / "cluster", *SWEEP, *CLUSTER)
    finally:
        cluster("stop")
    for name, outcome in outcomes.items():
        if outcome.code != 0:
            return [f"{name}: exit code {outcome.code}", outcome.stdout + outcome.stderr]
    found = {name: measures(outcome) for name, outcome in outcomes.items()}
    print(
        f"{sum(map(len, found['basic'].values()))} measures of {len(found['basic'])} cells compared",
        flush=True,
    )
    return [f"{name} differs from basic" for name, cells in found.items() if cells != found["basic"]]


def failing(folder: Path) -> list[str]:
    """Let each cell fail: the sweep continues and reports it."""
    outcome = run(folder / "failing", *FAILING, *LOCAL, "jobs.cell_seconds=0.001")
    states = [cell.info.status for cell in outcome.runs("cell")]
    wrong = [] if outcome.code == 1 else [f"cells that fail: exit code {outcome.code}, not 1", outcome.stderr]
    return wrong + ([] if states == ["FAILED"] * 2 else [f"cells that fail are recorded as {states}"])


def interrupted(folder: Path, number: signal.Signals) -> list[str]:
    """Interrupt the command while both jobs train; return what is left."""
    results, log = folder / number.name, folder / f"{number.name}.log"
    words = command(results, *ENDLESS, *LOCAL, "method.training.epochs=100000")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "CHECK_RAY": str(results)}
    with log.open("w") as file:
        process = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, env=environment)
    end = time.monotonic() + 240
    while log.read_text().count("trains for") < 2:
        if process.poll() is not None or time.monotonic() > end:
            return [log.read_text()]
        time.sleep(0.2)
    process.send_signal(number)
    start = time.monotonic()
    code = process.wait(SECONDS)
    while (left := trainings(results)) and time.monotonic() - start < SECONDS:
        time.sleep(0.2)
    print(f"{number.name}: exit code {code}; all ended after {time.monotonic() - start:.1f} s", flush=True)
    wrong = [f"{number.name}: {left} still run"] if left else []
    if number == signal.SIGINT:
        wrong += [] if code == 130 else [f"{number.name}: exit code {code}, not 130"]
    return wrong


def trainings(results: Path) -> list[int]:
    """Return the workers of a command that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment, name = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"CHECK_RAY={results}".encode() in environment and b"_run_job" in name:
            found.append(int(folder.name))
    return found


def main() -> int:
    """Run the checks."""
    with TemporaryDirectory(prefix="ray-check-") as name, patch.dict(os.environ, ENVIRONMENT):
        folder = Path(name)
        wrong = equal(folder) + failing(folder)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            wrong += interrupted(folder, number)
    print(
        "\n".join(wrong)
        or "Ray gives the numbers of the basic launcher; failures and interruptions are reported"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    end_at_sigterm()
    sys.exit(main())
