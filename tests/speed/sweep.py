"""Eight cells of STFPM and RD in one command, and by anomalib in a loop.

    python -m tests.speed.sweep [--peers FOLDER] [--data FOLDER] [--weights FILE] [--epochs 3] [--out JSON]

Two methods, two categories and two seeds make eight cells. Here images are decoded once per category, and the teacher
runs once per image and set of layers. anomalib runs them in one process, in a loop of `Engine.fit` and `Engine.test`.
"""

import argparse
from functools import partial
from itertools import product

from tests.cluster.processes import end_at_sigterm
from tests.speed.commands import Scratch, SpeedError, Usage, cells, has_joblib, positive, rounds, suite
from tests.speed.inputs import Inputs, parser, prepare
from tests.speed.pairs import Pair, write
from tests.speed.peers import peers_python
from tests.speed.training import BATCH, HELD_OUT, PEER, Setting, ask_anomalib, request

METHODS = tuple(HELD_OUT)
CATEGORIES, SEEDS = 2, (0, 1)
CELLS = len(METHODS) * CATEGORIES * len(SEEDS)


def suite_sweep(
    inputs: Inputs, given: argparse.Namespace, options: tuple[str, ...], scratch: Scratch
) -> Usage:
    """Run all cells in one command."""
    results = scratch.new()
    usage = suite(
        results,
        "-m",
        *inputs.arguments(CATEGORIES),
        f"method={','.join(METHODS)}",
        f"seed={','.join(map(str, SEEDS))}",
        f"method.training.epochs={given.epochs}",
        f"method.training.image_size={given.image_size}",
        f"method.training.batch_size={BATCH}",
        *options,
    )
    if len(cells(results)) != CELLS:
        raise SpeedError(f"{len(cells(results))} cells have finished, not {CELLS}")
    return usage


def anomalib_loop(inputs: Inputs, given: argparse.Namespace, scratch: Scratch) -> Usage:
    """Run all cells in one process of anomalib."""
    folder = scratch.new()
    wanted = [
        request(Setting(method, "fp32", given.epochs, given.image_size, seed), inputs, category, folder)
        for method, category, seed in product(METHODS, inputs.categories[:CATEGORIES], SEEDS)
    ]
    return ask_anomalib(peers_python(given.peers), wanted, folder)[0]


def main() -> None:
    """Run the sweeps and print the ratios."""
    made = parser("sweep", __doc__, peers=True, images=80, image_size=128)
    made.add_argument("--epochs", type=positive, default=3)
    made.add_argument("--repeats", type=positive, default=1)
    given = made.parse_args()
    end_at_sigterm()
    ways: dict[str, tuple[str, ...]] = {"": ()}
    if has_joblib():
        ways[", a process per core"] = ("hydra/launcher=joblib",)
    with Scratch() as scratch:
        try:
            inputs = prepare(given.data, given.weights, scratch.root, given.images)
            if len(inputs.categories) < CATEGORIES:
                raise SpeedError(f"--data {given.data}: {CATEGORIES} categories are needed")
            tasks = {
                way: partial(suite_sweep, inputs, given, options, scratch) for way, options in ways.items()
            }
            if given.peers:
                tasks["theirs"] = partial(anomalib_loop, inputs, given, scratch)
            found = rounds(tasks, given.repeats)
        except SpeedError as error:
            raise SystemExit(f"error: {error}") from None
    theirs = found.get("theirs", [])
    pairs = []
    for way in ways:
        for what, unit, of in (("", "s", "seconds"), ("peak memory, ", "MB", "peak_mb")):
            ours, others = ([getattr(usage, of) for usage in each] for each in (found[way], theirs))
            name = f"{what}{CELLS} cells of {' and '.join(METHODS)}{way}"
            pairs.append(Pair(name, unit, ours, others, PEER, "" if theirs else "no --peers given"))
    details = {"inputs": inputs.description, "epochs": given.epochs, "side": given.image_size}
    write(given.out, "sweep", pairs, details)


if __name__ == "__main__":
    main()
