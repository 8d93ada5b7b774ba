"""Whole trainings of STFPM and RD (ResNet-18) by this suite's command and by anomalib, on the same images.

    python -m tests.speed.training [--peers FOLDER] [--data FOLDER] [--weights FILE] [--epochs 1 5] [--out JSON]

Each run is a process of its own with cold caches, timed from outside, in rounds in which everything has its turn. A
run with few epochs subtracted from one with more leaves the cost of an epoch; the rest is fixed: start, images,
teacher, test and measures. Both see the same images, hold out the same part of them, take the same batches, read one
file of teacher weights, test on all test images and measure image AUROC, pixel AUROC and PRO. This suite's fixed cost
also holds work that anomalib does not do: Dice, AP and F1, the timing of inference, the detector that is kept, and the
tracking store with all maps. The ratio `at most` is reached where this suite's multiply-adds run at the rate of torch's
fastest product (`tests.speed.limits`) and nothing else takes time.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from store import tags
from tests.cluster.processes import end_at_sigterm
from tests.conftest import PROJECT_ROOT
from tests.speed.commands import Scratch, SpeedError, Usage, cells, measured, positive, rounds, suite
from tests.speed.inputs import Inputs, parser, prepare
from tests.speed.least import work_of
from tests.speed.limits import rates
from tests.speed.pairs import SCORE, Pair, write
from tests.speed.peers import peers_python

BATCH = 32
HELD_OUT = {"stfpm": 0.2, "rd": 0.0}  # as published
PRECISIONS = ("fp32", "bf16")
PEER = "anomalib 2.7.0"
MAX_WORKERS = 8  # anomalib's default
COUNTS = (
    tags.MULTIPLY_ADDS,
    tags.TRAIN_IMAGES,
    tags.HELD_OUT_IMAGES,
    tags.NORMAL_IMAGES,
    tags.ANOMALOUS_IMAGES,
)


@dataclass(frozen=True)
class Setting:
    """The settings of one training."""

    method: str
    precision: str
    epochs: int
    image_size: int = 256
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """Cost and results of one process: `train_seconds`, `after_seconds` (test and measures), AUROCs and PRO."""

    usage: Usage
    values: dict[str, float]


Runs = dict[tuple[str, str], list[Found]]
"""Of one method and number of epochs: {(precision, `ours` or `theirs`): a run per round}."""


def train_here(setting: Setting, inputs: Inputs, scratch: Scratch) -> Found:
    """Run this suite's command."""
    results = scratch.new()
    usage = suite(
        results,
        f"method={setting.method}",
        *inputs.arguments(),
        f"method.training.epochs={setting.epochs}",
        f"method.training.image_size={setting.image_size}",
        f"method.training.batch_size={BATCH}",
        f"method.training.validation_fraction={HELD_OUT[setting.method]}",
        f"runtime.precision={setting.precision}",
        f"seed={setting.seed}",
    )
    found = cells(results)
    if len(found) != 1:
        raise SpeedError(f"{setting}: {len(found)} finished cells, not 1")
    cell = {name: float(value) for name, value in found[0].items() if not isinstance(value, str)}
    names = ("image_auroc", "pixel_auroc", "pro", "train_seconds", *COUNTS)
    return Found(usage, {name: cell[name] for name in names})


def request(setting: Setting, inputs: Inputs, category: str, folder: Path) -> dict[str, object]:
    """Return the same cell for anomalib."""
    return {
        "method": setting.method,
        "category": str(inputs.root / category),
        "weights": str(inputs.weights),
        "image_size": setting.image_size,
        "batch_size": BATCH,
        "epochs": setting.epochs,
        "validation_fraction": HELD_OUT[setting.method],
        "precision": setting.precision,
        "seed": setting.seed,
        "workers": min(len(os.sched_getaffinity(0)), MAX_WORKERS),
        "folder": str(folder),
    }


def ask_anomalib(
    python: Path, wanted: Sequence[dict[str, object]], folder: Path
) -> tuple[Usage, list[dict[str, float]]]:
    """Run cells with anomalib in one process of the peers' environment."""
    question, answer = folder / "request.json", folder / "answer.json"
    question.write_text(json.dumps(wanted))
    usage = measured([python, "-P", PROJECT_ROOT / "tests" / "speed" / "anomalib_run.py", question, answer])
    return usage, json.loads(answer.read_text())


def train_there(setting: Setting, inputs: Inputs, scratch: Scratch, python: Path) -> Found:
    """Run anomalib."""
    folder = scratch.new()
    wanted = [request(setting, inputs, inputs.categories[0], folder)]
    usage, (found,) = ask_anomalib(python, wanted, folder)
    seconds = {"train_seconds": found.pop("fit_seconds"), "after_seconds": found.pop("test_seconds")}
    return Found(usage, found | seconds)


def least_seconds(
    method: str, image_size: int, epochs: Sequence[int], found: Found, peak: float
) -> dict[str, float]:
    """Return what this suite's multiply-adds take at the peak, by the names of the pairs of `compare`."""
    inference, *images = (found.values[name] for name in COUNTS)
    train, held_out, normal, anomalous = map(int, images)
    trained, tested = train - held_out, normal + anomalous
    work = work_of(method, image_size, BATCH, inference)
    counts = {f"whole process, {n} epochs": work.process(n, trained, held_out, tested) for n in epochs}
    counts["an epoch"] = work.epoch(trained, held_out)
    return {name: count / peak for name, count in counts.items()}


def compare(
    few: Runs,
    more: Runs,
    precisions: tuple[str, str],
    what: str,
    epochs: Sequence[int],
    least: Mapping[str, float],
) -> list[Pair]:
    """Return the pairs of one method: this suite in the first precision, anomalib in the second."""
    sides = list(zip(precisions, ("ours", "theirs"), strict=True))

    def pair(name: str, unit: str, value: Callable[[Found, Found], float], note: str = "") -> Pair:
        ours, theirs = ([value(a, b) for a, b in zip(few[side], more[side], strict=True)] for side in sides)
        note = note if theirs else "no --peers given"
        return Pair(f"{name}, {what}", unit, ours, theirs, PEER, note, least.get(name))

    low, high = epochs

    def epoch(a: Found, b: Found) -> float:
        return (b.usage.seconds - a.usage.seconds) / (high - low)

    def fixed(a: Found, b: Found) -> float:
        return a.usage.seconds - low * epoch(a, b)

    def gained(a: Found, b: Found, name: str) -> float:
        return b.values[name]

    after = [found.values["after_seconds"] for found in more[sides[1]]]
    return [
        pair("an epoch", "s", epoch),
        pair("fixed cost of a process", "s", fixed, "cold caches; this suite also times inference and logs"),
        pair(f"whole process, {low} epochs", "s", lambda a, b: a.usage.seconds),
        pair(f"whole process, {high} epochs", "s", lambda a, b: b.usage.seconds),
        pair("training alone, as each reports it", "s", lambda a, b: b.values["train_seconds"]),
        Pair(
            f"test and measures alone, {what}", "s", [], after, PEER, "this suite's: part of the fixed cost"
        ),
        pair("peak memory of the process tree", "MB", lambda a, b: b.usage.peak_mb),
        *(
            pair(f"{name} after {high} epochs", SCORE, partial(gained, name=name))
            for name in ("image_auroc", "pixel_auroc", "pro")
        ),
    ]


def warm_up(python: Path | None) -> None:
    """Import what both need, untimed: libraries are read from disk, and compiled, once."""
    measured([sys.executable, "-c", "import benchmark.job, mlflow"])
    if python:
        measured([python, "-c", "import anomalib.data, anomalib.engine, anomalib.models"])


def main() -> None:
    """Train, compare and print."""
    options = parser("training", __doc__, peers=True, images=200)
    options.add_argument("--epochs", type=int, nargs=2, default=[1, 5], help="few and more")
    options.add_argument("--methods", nargs="+", choices=HELD_OUT, default=list(HELD_OUT))
    options.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=["fp32"])
    options.add_argument("--repeats", type=positive, default=1)
    given = options.parse_args()
    if not 0 < given.epochs[0] < given.epochs[1]:
        options.error("--epochs: two numbers, the second above the first")
    pairs: list[Pair] = []
    end_at_sigterm()
    with Scratch() as scratch:
        try:
            inputs = prepare(given.data, given.weights, scratch.root, given.images)
            python = peers_python(given.peers) if given.peers else None
            tasks: dict[str, Callable[[], Found]] = {}
            for method in given.methods:
                for precision in given.precisions:
                    for epochs in given.epochs:
                        setting = Setting(method, precision, epochs, given.image_size)
                        name = f"{method} {precision} {epochs}"
                        tasks[f"{name} ours"] = partial(train_here, setting, inputs, scratch)
                        if python:
                            tasks[f"{name} theirs"] = partial(train_there, setting, inputs, scratch, python)
            warm_up(python)
            found = rounds(tasks, given.repeats)
            peaks = {precision: max(rates(precision).values()) for precision in given.precisions}
        except SpeedError as error:
            raise SystemExit(f"error: {error}") from None
    for method in given.methods:
        few, more = (
            {
                (precision, who): found.get(f"{method} {precision} {epochs} {who}", [])
                for precision, who in product(PRECISIONS, ("ours", "theirs"))
            }
            for epochs in given.epochs
        )
        for precision in given.precisions:
            cell, peak = more[precision, "ours"][0], peaks[precision]
            least = least_seconds(method, given.image_size, given.epochs, cell, peak)
            what = f"{method} {precision}"
            pairs += compare(few, more, (precision, precision), what, given.epochs, least)
        if python and set(given.precisions) == set(PRECISIONS):
            what = f"{method} bf16 here, fp32 there"  # anomalib's default
            across = compare(few, more, ("bf16", "fp32"), what, given.epochs, {})
            pairs += [pair for pair in across if pair.what.startswith(("an epoch", "whole process"))]
    print(f"{inputs.description}; {given.image_size} px; {given.repeats} rounds", file=sys.stderr)
    details = {"inputs": inputs.description, "rounds": given.repeats, "multiply_adds_per_second": peaks}
    write(given.out, "training", pairs, details)


if __name__ == "__main__":
    main()
