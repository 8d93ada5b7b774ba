"""Four sweeps of 25 cells at the same time into one store: SQLite, then an `mlflow server` on PostgreSQL.

python -m tests.cluster.check_server [sqlite] [server]
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.entities import Run

from tests.cluster.postgres import mlflow_server, postgres
from tests.cluster.processes import end_at_sigterm, running
from tests.end_to_end.command import command

PROCESSES, SEEDS = 4, 25
SMALL = (  # a cell consists almost entirely of logging
    "method=stfpm",
    "dataset.categories=[granite]",
    "dataset.image_size=32",
    "dataset.train=4",
    "dataset.test_good=1",
    "dataset.test_defective=1",
    "method.training.image_size=32",
    "method.training.epochs=1",
    "tracking.maps=false",
    "tracking.pictures=false",
    "tracking.detector=false",
    "tracking.figure=false",
)
FIXED = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
ARTIFACTS = ["config.yaml", "curves.csv", "digests.json", "regions.csv", "scores.csv"]
FAULTS = ("error", "warning", "traceback", "retry", "locked")


@contextlib.contextmanager
def sqlite(results: Path) -> Iterator[str]:
    """Yield the URI of a file."""
    yield f"sqlite:///{results / 'mlflow.db'}"


@contextlib.contextmanager
def server(results: Path) -> Iterator[str]:
    """Yield the address of a server on PostgreSQL."""
    with postgres() as database, mlflow_server(database, results / "artifacts") as address:
        yield address


STORES = {"sqlite": sqlite, "server": server}


def check(name: str, results: Path) -> list[str]:
    """Write 100 cells into one store from four processes and return what is wrong."""
    results.mkdir()
    wrong: list[str] = []
    with STORES[name](results) as uri, contextlib.ExitStack() as writers:
        start = time.monotonic()
        processes = []
        for i in range(PROCESSES):
            seeds = f"seed=range({SEEDS * i},{SEEDS * (i + 1)})"
            words = command(results, "-m", *SMALL, seeds, f"sweep=writer{i}", f"tracking.uri={uri}")
            log, environment = results / f"writer{i}.log", {**os.environ, **FIXED}
            processes.append(writers.enter_context(running(words, log, environment)))
        codes = [process.wait(1800) for process in processes]
        seconds = time.monotonic() - start
        client = MlflowClient(tracking_uri=uri)
        (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        cells = [run for run in runs if run.data.tags["kind"] == "cell"]
        wrong += [f"writer{i}: exit code {code}" for i, code in enumerate(codes) if code]
        wrong += _incomplete(runs, cells)
        wrong += [
            f"{cell.info.run_name}: artifacts {kept}"
            for cell in cells
            if (kept := sorted(item.path for item in client.list_artifacts(cell.info.run_id))) != ARTIFACTS
        ]
    for log in sorted(results.glob("writer*.log")):
        lines = log.read_text().splitlines()
        wrong += [f"{log.name}: {line}" for line in lines if any(word in line.lower() for word in FAULTS)]
    times = sorted((cell.info.end_time - cell.info.start_time) / 1000 for cell in cells)
    middle = times[len(times) // 2] if times else 0
    print(
        f"{name}: {len(cells)} cells of {PROCESSES} processes in {seconds:.0f} s, median {middle:.2f} s a cell"
    )
    return wrong


def _incomplete(runs: list[Run], cells: list[Run]) -> list[str]:
    """Return what is missing in the store."""
    everything = {name for cell in cells for name in cell.data.metrics}
    # a measure may be undefined for one seed's scores, and its cell says so in the tag `missing`
    wrong = [
        f"{cell.info.run_name}: no {', '.join(sorted(absent))}"
        for cell in cells
        if (absent := everything - set(cell.data.metrics)) and "missing" not in cell.data.tags
    ]
    wrong += [f"{run.info.run_name}: {run.info.status}" for run in runs if run.info.status != "FINISHED"]
    if sorted(int(cell.data.tags["seed"]) for cell in cells) != list(range(PROCESSES * SEEDS)):
        wrong.append(f"{len(cells)} cells, not one per seed")
    if len(runs) - len(cells) != PROCESSES:
        wrong.append(f"{len(runs) - len(cells)} sweeps, not {PROCESSES}")
    if not everything:
        wrong.append("no metrics")
    return wrong


def main(names: list[str]) -> int:
    """Check the stores that the command line names; all, if it names none."""
    wrong: list[str] = []
    with TemporaryDirectory(prefix="server-") as folder:
        for name in names or STORES:
            wrong += [f"{name}: {line}" for line in check(name, Path(folder) / name)]
    print(
        "\n".join(wrong)
        or "every cell is there, finished, with all metrics and artifacts; no error in any output"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    end_at_sigterm()
    sys.exit(main(sys.argv[1:]))
