"""A cell as the command runs it, with the peak of the process' memory up to the end of each step.

    python -m tests.speed.memory_worker FILE OPTION ...

The options are those of `run_benchmark.py`; FILE receives {step: MB} as JSON.
"""

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import benchmark.run_cell
from benchmark.environment import peak_memory
from benchmark.inference_cost import InferenceCosts
from run_benchmark import main

STEPS: tuple[tuple[Any, str, str], ...] = (
    (benchmark.run_cell.Cell, "open_images", "imports and decoding"),
    (benchmark.run_cell, "trained", "training"),
    (benchmark.run_cell, "score", "scoring"),
    (benchmark.run_cell, "measure", "measuring"),
    (InferenceCosts, "of", "timing inference"),
)
"""Where each step's function is looked up, its name, and the step."""


def watched(run: Callable[..., Any], step: str, found: dict[str, float]) -> Callable[..., Any]:
    """Return a function that notes the peak whenever it ends."""

    @wraps(run)
    def note(*args: Any, **kwargs: Any) -> Any:
        try:
            return run(*args, **kwargs)
        finally:
            found[step] = 1000 * peak_memory()

    return note


if __name__ == "__main__":
    peaks: dict[str, float] = {}
    # the command starts the peak anew with each cell; here, that of imports is a part of it
    benchmark.run_cell.restart_peak_memory = lambda: None
    for place, name, step in STEPS:
        setattr(place, name, watched(getattr(place, name), step, peaks))
    out, options = Path(sys.argv[1]), sys.argv[2:]  # the command changes sys.argv
    code = main(["run_benchmark.py", *options])
    peaks["recording"] = 1000 * peak_memory()
    out.write_text(json.dumps(peaks))
    raise SystemExit(code)
