"""What gradients of weights by matrix products (`benchmark.training.weight_gradients`) save of a training step.

    python -m tests.speed.gradients [--methods METHOD ...] [--protocol quick] [--threads N] [--rounds N] [--out JSON]

Steps with and without them take turns in one process. The steps are those of `tests.speed.steps`; RD has ResNet-18 as
its backbone, as in the comparison with other libraries. Timings decide nothing.
"""

import argparse
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmark.runtime import keep_freed_memory
from benchmark.training.weight_gradients import WeightGradients
from tests.speed import steps
from tests.speed.commands import positive
from tests.speed.limits import OVERRIDES
from tests.speed.pairs import Pair, write

WARM = 1


def measure(method: str, protocol: str, rounds: int) -> list[Pair]:
    """Time the steps of a method's stages, with the products and without."""
    pairs = []
    overrides = OVERRIDES.get(method, ()) if protocol != "quick" else ()
    for step in steps.steps_of(steps.configuration(method, protocol, *overrides)):
        times: dict[type[AbstractContextManager[Any]], list[float]] = {WeightGradients: [], nullcontext: []}
        for _ in range(WARM + rounds):
            for context, seconds in times.items():
                with patch.object(steps, "weight_gradients", lambda _, context=context: context()):
                    seconds.append(steps.seconds(step.run))
        ours, theirs = (seconds[WARM:] for seconds in times.values())
        what = f"a step of {method}, {step.stage}, {step.size}"
        pairs.append(Pair(what, "s", ours, theirs, "torch's gradients"))
    return pairs


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
    write(given.out, "gradients", pairs)


if __name__ == "__main__":
    main()
