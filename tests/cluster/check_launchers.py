"""One sweep under three launchers: equal measures, and the seconds each took.

python -m tests.cluster.check_launchers
"""

import contextlib
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from tests.cluster.processes import end_at_sigterm
from tests.cluster.slurm import slurm
from tests.end_to_end.command import TINY, Outcome, run

# one thread each: the last digits of a sum depend on how many threads share it
FIXED = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
SWEEP = ("-m", "method=rd,stfpm", "dataset.categories=[granite,washer]", "sweep=check", *TINY)
LAUNCHERS = {
    "basic": (),
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "submitit_slurm": ("hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1"),
}
COSTS = ("_seconds", "seconds_", "per_second", "memory")  # differ between any two runs

Cells = dict[tuple[str, str], dict[str, float]]


def measures(outcome: Outcome) -> Cells:
    """Return the measures of all cells, after a look at their number, status and parent."""
    cells, (parent,) = outcome.runs("cell"), outcome.runs("sweep")
    assert {run.info.status for run in [parent, *cells]} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in cells} == {parent.info.run_id}
    return {
        (run.data.tags["method"], run.data.tags["category"]): {
            name: value for name, value in run.data.metrics.items() if not any(part in name for part in COSTS)
        }
        for run in cells
    }


def main() -> int:
    """Run the sweeps and compare them."""
    seconds: dict[str, float] = {}
    found: dict[str, Cells] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="launchers-")))
        stack.enter_context(patch.dict(os.environ, {**stack.enter_context(slurm()), **FIXED}))
        for launcher, options in LAUNCHERS.items():
            start = time.monotonic()
            outcome = run(folder / launcher, *SWEEP, *options, timeout=900)
            seconds[launcher] = time.monotonic() - start
            assert outcome.code == 0, outcome.stdout + outcome.stderr
            found[launcher] = measures(outcome)
            print(
                f"{launcher:15} {seconds[launcher]:6.1f} s  {len(found[launcher])} cells finished", flush=True
            )
    expected = found["basic"]
    assert len(expected) == 4
    different = [
        f"{launcher} {' '.join(cell)} {name}: {cells.get(cell, {}).get(name)}, basic: {value}"
        for launcher, cells in found.items()
        for cell, values in expected.items()
        for name, value in values.items()
        if cells.get(cell, {}).get(name) != value
    ]
    count = sum(map(len, expected.values()))
    print(
        "\n".join(different) or f"{count} measures of 4 cells are equal to the last digit under all launchers"
    )
    return int(bool(different) or any(cells.keys() != expected.keys() for cells in found.values()))


if __name__ == "__main__":
    end_at_sigterm()
    sys.exit(main())
