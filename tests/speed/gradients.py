"""What gradients of weights by matrix products (`benchmark.training.weight_gradients`) save of a training step.

    python -m tests.speed.gradients [--methods METHOD ...] [--protocol quick] [--threads N] [--rounds N] [--out JSON]

Steps with and without them take turns in one process; the ratios are medians over the rounds. The steps are those of
`tests.speed.steps`; RD has ResNet-18 as its backbone, as in the comparison with other libraries.
Timings decide nothing.
"""

import argparse
import contextlib
from pathlib import Path
from unittest.mock import patch

import torch

from benchmark.runtime import Runtime, keep_freed_memory
from benchmark.training.weight_gradients import WeightGradients
from tests.speed import steps
from tests.speed.commands import median, positive
from tests.speed.limits import OVERRIDES
from tests.speed.pairs import Pair, markdown, write

WARM = 1


def measure(method: str, protocol: str, rounds: int) -> list[Pair]:
    """Time the steps of a method's stages, with the products and without."""
    pairs = []
    overrides = OVERRIDES.get(method, ()) if protocol != "quick" else ()
    for step in steps.steps_of(steps.configuration(method, protocol, *overrides)):
        times: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(WARM + rounds):
            for ours, seconds in times.items():
                with patch.object(steps, "weight_gradients", context(ours)):
                    seconds.append(steps.seconds(step.run))
        with_products, without = (times[ours][WARM:] for ours in (True, False))
        what = f"a step of {method}, {step.stage}, {step.size}"
        pairs.append(Pair(what, "s", with_products, without, "torch's gradients"))
    return pairs


def context(ours: bool) -> "type[contextlib.nullcontext[None]] | object":
    """Return what takes the place of `weight_gradients`."""

    def chosen(_: Runtime) -> contextlib.AbstractContextManager[object]:
        return WeightGradients() if ours else contextlib.nullcontext()

    return chosen


def main() -> None:
    """Measure, print and, if a file is named, write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.speed.gradients", description=main.__doc__)
    parser.add_argument("--methods", nargs="+", choices=steps.METHODS, default=steps.METHODS)
    parser.add_argument("--protocol", choices=("paper", "quick"), default="paper")
    parser.add_argument("--threads", type=positive, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=positive, default=5, help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="a JSON file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    pairs = [pair for method in given.methods for pair in measure(method, given.protocol, given.rounds)]
    rows = [
        {
            "training step": pair.what,
            "ms": f"{1000 * median(pair.ours):.0f}",
            "torch's, ms": f"{1000 * median(pair.theirs):.0f}",
            "ratio": f"{median([t / o for o, t in zip(pair.ours, pair.theirs, strict=True)]):.2f}",
        }
        for pair in pairs
    ]
    print(markdown(rows))
    write(given.out, "gradients", pairs)


if __name__ == "__main__":
    main()
