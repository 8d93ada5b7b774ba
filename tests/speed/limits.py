"""The fraction of the machine's peak arithmetic that a training step reaches.

    python -m tests.speed.limits [--rounds 4] [--methods stfpm rd] [--out limits.json]

The peak is the largest rate that torch's own matrix products and convolutions (channels_last) reach, alone and
in sizes that suit them. A step's multiply-adds, forward and backward, are counted by torch; the fraction is
what it would take at the peak over the median of what it takes, loss, optimiser and everything else included.
The steps are those of `tests.speed.steps`: published sizes, the teacher's features computed beforehand;
only RD has another backbone, ResNet-18. Timings decide nothing.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import conv2d

from benchmark.runtime import keep_freed_memory
from tests.speed.commands import positive
from tests.speed.pairs import SCORE, Pair, markdown, write
from tests.speed.steps import METHODS, configuration, multiply_adds, seconds, steps_of

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
MATRICES = (1024, 2048, 4096)
CONVOLUTIONS = ((32, 64, 64), (32, 128, 32), (32, 256, 16), (16, 512, 16))  # images, channels, side; 3x3
WARM, REPEATS = 1, 4  # of each product, in every round
OVERRIDES = {"rd": ("backbone=resnet18",)}  # not wide_resnet50_2: as in the comparison with other libraries


def products(dtype: torch.dtype) -> Iterator[tuple[str, float, Callable[[], torch.Tensor]]]:
    """Yield name, multiply-adds and the call of each product that may reach the peak."""
    for n in MATRICES:
        a, b = (torch.randn(n, n).to(dtype) for _ in range(2))
        yield f"matmul {n}", float(n**3), partial(torch.matmul, a, b)
    for count, channels, side in CONVOLUTIONS:
        image = torch.randn(count, channels, side, side).to(dtype, memory_format=torch.channels_last)
        weight = torch.randn(channels, channels, 3, 3).to(dtype, memory_format=torch.channels_last)
        name = f"convolution {count}x{channels}x{side}x{side}"
        yield name, 9.0 * count * (channels * side) ** 2, partial(conv2d, image, weight, padding=1)


def rates(precision: str) -> dict[str, float]:
    """Return the best multiply-adds per second of each product."""
    found = {}
    for name, count, run in products(PRECISIONS[precision]):
        times = [seconds(partial(_call, run)) for _ in range(WARM + REPEATS)]
        found[name] = count / min(times[WARM:])
    return found


def _call(run: Callable[[], torch.Tensor]) -> None:
    run()


def measure(name: str, precision: str, rounds: int) -> list[dict[str, Any]]:
    """Return size, multiply-adds and seconds of a step of each stage of a method; the first step counts."""
    rows = []
    config = configuration(name, "paper", *OVERRIDES.get(name, ()))
    for step in steps_of(config, precision=precision):
        count = multiply_adds(step.run)
        times = [seconds(step.run) for _ in range(rounds)]
        row = {"step": f"{name} {step.stage}", "size": step.size, "precision": precision}
        rows.append({**row, "multiply_adds": count, "seconds": statistics.median(times)})
    return rows


def table(peaks: dict[str, float], rows: list[dict[str, Any]]) -> str:
    """Return the steps as a Markdown table: multiply-adds, and time and fraction of the peak per precision."""
    lines = []
    for name in dict.fromkeys(row["step"] for row in rows):
        of_step = {row["precision"]: row for row in rows if row["step"] == name}
        any_row = next(iter(of_step.values()))
        line = {"training step": name, "size": any_row["size"]}
        line["G multiply-adds"] = f"{any_row['multiply_adds'] / 1e9:.1f}"
        for precision, peak in peaks.items():
            row = of_step[precision]
            line[f"{precision} ms"] = f"{1000 * row['seconds']:.0f}"
            line[f"{precision} of peak"] = f"{100 * fraction(row, peak):.0f} %"
        lines.append(line)
    return markdown(lines)


def fraction(row: dict[str, Any], peak: float) -> float:
    """Return the part of the peak that a step reaches."""
    return float(row["multiply_adds"] / row["seconds"] / peak)


def main() -> None:
    """Print peaks and steps, and write them to a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=positive, default=4, help="timed steps of each stage")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    keep_freed_memory()
    rows: list[dict[str, Any]] = []
    reached: dict[str, list[dict[str, float]]] = {precision: [rates(precision)] for precision in PRECISIONS}
    for name in arguments.methods:
        for precision in PRECISIONS:
            rows += measure(name, precision, arguments.rounds)
    for precision, measured in reached.items():
        measured.append(rates(precision))  # again, as the machine may have been busy the first time
    best = {p: {name: max(each[name] for each in both) for name in both[0]} for p, both in reached.items()}
    peaks = {precision: max(found.values()) for precision, found in best.items()}
    print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, medians of {arguments.rounds} steps"
    )
    for precision, found in best.items():
        fastest = max(found, key=lambda name: found[name])
        print(f"peak {precision}: {peaks[precision] / 1e9:.0f} G multiply-adds per second ({fastest})")
    print(table(peaks, rows) + "\n")
    pairs = [
        Pair(
            f"fraction of the {row['precision']} peak, {row['step']}",
            SCORE,
            [fraction(row, peaks[row["precision"]])],
        )
        for row in rows
    ]
    figures = {"threads": torch.get_num_threads(), "rates": best, "peaks": peaks, "steps": rows}
    write(arguments.out, "limits", pairs, figures)


if __name__ == "__main__":
    main()
