"""The measures that this suite and anomalib reach with equal work: STFPM and RD (ResNet-18) trained for longer.

    python -m tests.speed.quality [--peers FOLDER] [--data FOLDER] [--weights FILE] [--seeds 0] [--out JSON]

As in `training`, with more epochs and one run of each seed. The suites draw different random numbers, so their
measures differ as those of two seeds do. No time is taken here.
"""

from functools import partial

from tests.cluster.processes import end_at_sigterm
from tests.speed.commands import Scratch, SpeedError, positive
from tests.speed.inputs import parser, prepare
from tests.speed.pairs import SCORE, Pair, write
from tests.speed.peers import peers_python
from tests.speed.training import PEER, PRECISIONS, Setting, train_here, train_there, warm_up

EPOCHS = {"stfpm": 20, "rd": 8}
MEASURES = ("image_auroc", "pixel_auroc", "pro")


def main() -> None:
    """Train, compare and print."""
    options = parser("quality", __doc__, peers=True, images=200)
    options.add_argument("--methods", nargs="+", choices=EPOCHS, default=list(EPOCHS))
    options.add_argument("--epochs", type=positive, help=f"of every method; default: {EPOCHS}")
    options.add_argument("--precision", choices=PRECISIONS, default="bf16")
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = options.parse_args()
    pairs: list[Pair] = []
    end_at_sigterm()
    with Scratch() as scratch:
        try:
            inputs = prepare(given.data, given.weights, scratch.root, given.images)
            python = peers_python(given.peers) if given.peers else None
            here = partial(train_here, inputs=inputs, scratch=scratch)
            there = partial(train_there, inputs=inputs, scratch=scratch, python=python) if python else None
            warm_up(python)
            for method in given.methods:
                epochs = given.epochs or EPOCHS[method]
                settings = [
                    Setting(method, given.precision, epochs, given.image_size, seed) for seed in given.seeds
                ]
                ours = [here(setting) for setting in settings]
                theirs = [there(setting) for setting in settings] if there else []
                what, note = (
                    f"{method} {given.precision}, {epochs} epochs",
                    "" if there else "no --peers given",
                )
                for name in MEASURES:
                    values, others = ([found.values[name] for found in each] for each in (ours, theirs))
                    pairs.append(Pair(f"{name}, {what}", SCORE, values, others, PEER, note))
        except SpeedError as error:
            raise SystemExit(f"error: {error}") from None
    write(given.out, "quality", pairs, {"inputs": inputs.description, "seeds": given.seeds})


if __name__ == "__main__":
    main()
