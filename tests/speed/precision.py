"""The effect of bf16 on the measures, compared with that of another seed.

    python -m tests.speed.precision --data ../shared/data/mvtec_ad --weights FILE [--epochs 10] [--out JSON]

Each method is trained with the same seeds in fp32 and in bf16. bf16 changes nothing that matters where the
difference of the means is small compared with the standard deviation of the seeds.
"""

import statistics
import sys

from tests.cluster.processes import end_at_sigterm
from tests.speed.commands import Scratch, SpeedError, cells, positive, suite
from tests.speed.inputs import Inputs, parser, prepare
from tests.speed.pairs import SCORE, Pair, markdown, write

MEASURES = ("image_auroc", "pixel_auroc", "pro", "dice")
PRECISIONS = ("fp32", "bf16")
Cells = list[dict[str, float | str]]


def train(
    method: str, precision: str, inputs: Inputs, options: list[str], seeds: list[int], scratch: Scratch
) -> Cells:
    """Train with each seed and return the cells in the seeds' order."""
    results = scratch.new()
    chosen = [f"method={method}", f"seed={','.join(map(str, seeds))}", f"runtime.precision={precision}"]
    suite(results, "-m", *inputs.arguments(), *chosen, *options)
    found = sorted(cells(results), key=lambda cell: int(cell["seed"]))
    if [int(cell["seed"]) for cell in found] != sorted(seeds):
        raise SpeedError(f"{method} in {precision}: not every seed has finished")
    return found


def pair(what: str, unit: str, name: str, half: Cells, full: Cells) -> Pair:
    """Return one metric of the cells in bf16 and in fp32, a value per seed."""
    ours, theirs = ([float(cell[name]) for cell in each] for each in (half, full))
    return Pair(what, unit, ours, theirs, "the same in fp32")


def difference(pair: Pair) -> dict[str, str]:
    """Return a row of the table: both means, their difference, and the spread of the seeds."""
    spread = statistics.stdev(pair.theirs)
    gap = statistics.mean(pair.ours) - statistics.mean(pair.theirs)
    return {
        "measure": pair.what,
        "fp32": f"{statistics.mean(pair.theirs):.4f} ± {spread:.4f}",
        "bf16": f"{statistics.mean(pair.ours):.4f} ± {statistics.stdev(pair.ours):.4f}",
        "bf16 - fp32": f"{gap:+.4f}",
        "in deviations of the seeds": f"{gap / spread:+.1f}" if spread else "–",
    }


def main() -> None:
    """Train in both precisions and print the differences."""
    made = parser("precision", __doc__, images=80)
    made.add_argument("--methods", nargs="+", default=["stfpm", "rd"])
    made.add_argument("--epochs", type=positive, default=10)
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = made.parse_args()
    if len(set(given.seeds)) < 2:
        made.error("--seeds: at least two, for their spread")
    options = [f"method.training.epochs={given.epochs}", f"method.training.image_size={given.image_size}"]
    measures: list[Pair] = []
    seconds: list[Pair] = []
    end_at_sigterm()
    with Scratch() as scratch:
        try:
            inputs = prepare(given.data, given.weights, scratch.root, given.images)
            for method in given.methods:
                full, half = (
                    train(method, each, inputs, options, given.seeds, scratch) for each in PRECISIONS
                )
                measures += [pair(f"{name}, {method} bf16", SCORE, name, half, full) for name in MEASURES]
                seconds.append(pair(f"training, {method} bf16", "s", "train_seconds", half, full))
        except SpeedError as error:
            raise SystemExit(f"error: {error}") from None
    print(markdown([difference(pair) for pair in measures]) + "\n")
    print(f"{inputs.description}; {given.epochs} epochs, seeds {given.seeds}", file=sys.stderr)
    write(
        given.out, "precision", [*measures, *seconds], {"inputs": inputs.description, "epochs": given.epochs}
    )


if __name__ == "__main__":
    main()
