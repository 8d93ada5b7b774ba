"""A cell as the command runs it, and by how much each step raises the peak of the process' memory.

    python -m tests.speed.memory_worker FILE OPTION ...

The options are those of `run_benchmark.py`; FILE receives {step: MB} as JSON, whose sum is the peak (`VmHWM`).
"""

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import benchmark.cell
import benchmark.run_cell
import benchmark.training.fit
from benchmark.environment import peak_memory
from benchmark.inference_cost import InferenceCosts
from run_benchmark import main

STEPS: tuple[tuple[Any, str, str], ...] = (
    (benchmark.cell.Cell, "open_images", "imports, decoding"),
    (benchmark.cell, "open_features", "features"),
    (benchmark.training.fit, "rehearse", "rehearsal"),
    (benchmark.run_cell, "trained", "training"),
    (benchmark.run_cell, "score", "scoring"),
    (benchmark.run_cell, "measure", "measuring"),
    (InferenceCosts, "of", "timing"),
)
"""Where each step's function is looked up, its name, and the step; one may be a part of a later one."""
LAST = "recording"


def watch(found: dict[str, float]) -> None:
    """Let every step add what it raises the peak by."""

    def note(step: str) -> None:
        found[step] = found.get(step, 0.0) + 1000 * peak_memory() - sum(found.values())

    def noted(run: Callable[..., Any], step: str) -> Callable[..., Any]:
        @wraps(run)
        def noting(*args: Any, **kwargs: Any) -> Any:
            try:
                return run(*args, **kwargs)
            finally:
                note(step)

        return noting

    for place, name, step in STEPS:
        setattr(place, name, noted(getattr(place, name), step))
    # a cell starts the peak anew: here, that of the imports is a part of it
    benchmark.run_cell.restart_peak_memory = lambda: None


if __name__ == "__main__":
    out, options = Path(sys.argv[1]), sys.argv[2:]  # the command changes sys.argv
    peaks: dict[str, float] = {}
    watch(peaks)
    code = main(["run_benchmark.py", *options])
    peaks[LAST] = peaks.get(LAST, 0.0) + 1000 * peak_memory() - sum(peaks.values())
    out.write_text(json.dumps(peaks))
    raise SystemExit(code)
