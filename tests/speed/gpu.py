"""Training steps on a GPU: precisions, memory formats, CUDA graphs, torch.compile.

    python -m tests.speed.gpu [--methods stfpm rd] [--compile stfpm] [--out gpu.json]

The steps are those of `tests.speed.steps`: published sizes, an untrained teacher, its features computed beforehand.
Each form of a step is timed by CUDA events, as the training loop takes it: without waiting for the device between
steps. A form that fails is reported with its reason. Multiply-adds, forward and backward, are counted by torch.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmark.runtime import set_algorithms
from methods.method import Stage
from tests.speed.commands import positive
from tests.speed.pairs import markdown
from tests.speed.steps import METHODS, configuration, multiply_adds, steps_of

FORMS = ("as it is", "contiguous", "autotuned", "graph", "compiled")
"""As the training loop takes it; without channels_last; with cuDNN's search for algorithms; and as the names say."""
WARM = 5


def milliseconds(run: Callable[[], object], count: int, rounds: int) -> float:
    """Return the median over rounds of the milliseconds per call, of `count` calls in a row."""
    for _ in range(WARM):
        run()
    values = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(count):
            run()
        end.record()
        end.synchronize()
        values.append(start.elapsed_time(end) / count)
    return statistics.median(values)


def captured(run: Callable[[], None]) -> Callable[[], None]:
    """Return a call that replays a step from a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def compiled(stage: Stage, optimizer: torch.optim.Optimizer) -> Stage:
    """Have a stage's loss compiled."""
    return replace(stage, loss=torch.compile(stage.loss, dynamic=False))


def capturable(stage: Stage, optimizer: torch.optim.Optimizer) -> Stage:
    """Have the optimiser keep on the device what a graph needs there."""
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
    return stage


CHANGES = {"graph": capturable, "compiled": compiled}


def measure(name: str, precision: str, form: str, count: int, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each stage of a method."""
    rows = []
    set_algorithms(deterministic=form != "autotuned")
    channels_last = False if form == "contiguous" else None
    steps = steps_of(configuration(name, "paper"), precision, "cuda", channels_last, CHANGES.get(form))
    for step in steps:
        row: dict[str, Any] = {"step": f"{name} {step.stage}", "size": step.size}
        row |= {"precision": precision, "form": form}
        try:
            if form == FORMS[0]:
                row["multiply_adds"] = multiply_adds(step.run)
            torch.cuda.reset_peak_memory_stats()
            run = captured(step.run) if form == "graph" else step.run
            row["ms"] = milliseconds(run, count, rounds)
            row["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
        except Exception as error:  # whatever torch refuses
            row["error"] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the steps as a Markdown table, milliseconds per precision and form."""
    lines = []
    for name in dict.fromkeys(row["step"] for row in rows):
        of_step = [row for row in rows if row["step"] == name]
        line = {"training step": name, "size": of_step[0]["size"]}
        for row in of_step:
            shown = f"{row['ms']:.2f}" if "ms" in row else "fails"
            line[f"{row['precision']} {row['form']}"] = shown
        lines.append(line)
    columns = list(dict.fromkeys(key for line in lines for key in line))
    return markdown([{column: line.get(column, "") for column in columns} for line in lines])


def main() -> None:
    """Print the steps, and write them to a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS)
    parser.add_argument("--compile", nargs="*", choices=METHODS, default=(), help="methods to compile, too")
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=("fp32", "bf16"))
    parser.add_argument("--steps", type=positive, default=10, help="steps of each timing")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch finds no CUDA device here")
    rows: list[dict[str, Any]] = []
    for name in given.methods:
        forms = FORMS if name in given.compile else FORMS[:-1]
        for precision in given.precisions:
            for form in forms:
                rows += measure(name, precision, form, given.steps, given.rounds)
                torch.cuda.empty_cache()
                if given.out:
                    given.out.write_text(json.dumps(rows, indent=1))
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(table(rows))


if __name__ == "__main__":
    main()
