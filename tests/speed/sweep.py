"""The time that a sweep saves: its cells in one command, in a command each with cold caches, and by anomalib.

    python -m tests.speed.sweep [--peers FOLDER] [--data FOLDER] [--weights FILE] [--epochs 3] [--out JSON]

Three methods, two categories and two seeds make twelve cells. In one command, images are decoded once per category,
the teacher runs once per image and set of layers, and the libraries are imported once; apart, each command does all
of it again. The cells of the methods that anomalib has (STFPM and RD) are run by it in one process, in a loop of
`Engine.fit` and `Engine.test`, and compared with one command of this suite for the same cells.
"""

import argparse
from functools import partial
from itertools import product

from tests.cluster.processes import end_at_sigterm
from tests.speed.commands import Scratch, SpeedError, Usage, cells, positive, rounds, suite
from tests.speed.inputs import Inputs, parser, prepare
from tests.speed.pairs import Pair, write
from tests.speed.peers import peers_python
from tests.speed.training import BATCH, HELD_OUT, PEER, Setting, ask_anomalib, request

METHODS = ("stfpm", "rd", "simple_student")
PEERS_METHODS = tuple(HELD_OUT)
CATEGORIES, SEEDS = 2, (0, 1)


def options(given: argparse.Namespace, methods: tuple[str, ...], seeds: tuple[int, ...]) -> list[str]:
    """Return the options of the command in addition to the categories."""
    return [
        f"method={','.join(methods)}",
        f"seed={','.join(map(str, seeds))}",
        f"method.training.epochs={given.epochs}",
        f"method.training.image_size={given.image_size}",
        f"method.training.batch_size={BATCH}",
    ]


def together(inputs: Inputs, given: argparse.Namespace, methods: tuple[str, ...], scratch: Scratch) -> Usage:
    """Run all cells of the methods in one command."""
    results = scratch.new()
    wanted = options(given, methods, SEEDS)
    usage = suite(results, "-m", *inputs.arguments(CATEGORIES), *wanted)
    expected = len(methods) * CATEGORIES * len(SEEDS)
    if len(cells(results)) != expected:
        raise SpeedError(f"{len(cells(results))} cells have finished, not {expected}")
    return usage


def apart(inputs: Inputs, given: argparse.Namespace, scratch: Scratch) -> Usage:
    """Run each cell in a command of its own; return the sum of their seconds and the largest memory."""
    used = []
    for method, category, seed in product(METHODS, inputs.categories[:CATEGORIES], SEEDS):
        one = Inputs(inputs.root, (category,), inputs.weights, inputs.description)
        used.append(suite(scratch.new(), *one.arguments(), *options(given, (method,), (seed,))))
    return Usage(sum(usage.seconds for usage in used), max(usage.peak_mb for usage in used))


def anomalib(inputs: Inputs, given: argparse.Namespace, scratch: Scratch) -> Usage:
    """Run the cells of anomalib's methods in one process of it."""
    folder = scratch.new()
    wanted = [
        request(Setting(method, "fp32", given.epochs, given.image_size, seed), inputs, category, folder)
        for method, category, seed in product(PEERS_METHODS, inputs.categories[:CATEGORIES], SEEDS)
    ]
    return ask_anomalib(peers_python(given.peers), wanted, folder)[0]


def main() -> None:
    """Run the sweeps and print the savings."""
    made = parser("sweep", __doc__, peers=True, images=80, image_size=128)
    made.add_argument("--epochs", type=positive, default=3)
    made.add_argument("--repeats", type=positive, default=1)
    given = made.parse_args()
    end_at_sigterm()
    with Scratch() as scratch:
        try:
            inputs = prepare(given.data, given.weights, scratch.root, given.images)
            if len(inputs.categories) < CATEGORIES:
                raise SpeedError(f"--data {given.data}: {CATEGORIES} categories are needed")
            tasks = {
                "together": partial(together, inputs, given, METHODS, scratch),
                "apart": partial(apart, inputs, given, scratch),
            }
            if given.peers:
                tasks["ours"] = partial(together, inputs, given, PEERS_METHODS, scratch)
                tasks["theirs"] = partial(anomalib, inputs, given, scratch)
            found = rounds(tasks, given.repeats)
        except SpeedError as error:
            raise SystemExit(f"error: {error}") from None
    count, few = (len(each) * CATEGORIES * len(SEEDS) for each in (METHODS, PEERS_METHODS))
    names = f"{count} cells in one command", f"{few} cells of {' and '.join(PEERS_METHODS)}"
    compared = (f"{count} commands, cold caches", PEER)
    note = "" if given.peers else "no --peers given"
    sides = (("together", "apart"), ("ours", "theirs"))
    pairs = []
    for name, other, (ours, theirs) in zip(names, compared, sides, strict=True):
        here, there = found.get(ours, []), found.get(theirs, [])
        remark = "" if there else note
        for what, unit, of in ((name, "s", "seconds"), (f"peak memory, {name}", "MB", "peak_mb")):
            values, others = ([getattr(usage, of) for usage in each] for each in (here, there))
            pairs.append(Pair(what, unit, values, others, other, remark))
    write(
        given.out,
        "sweep",
        pairs,
        {"inputs": inputs.description, "epochs": given.epochs, "side": given.image_size},
    )


if __name__ == "__main__":
    main()
