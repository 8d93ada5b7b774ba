"""A shared machine: one cell next to a busy thread of another process, and the jobs of a sweep in several processes.

    python -m tests.speed.shared [--repeats 1] [--categories 2] [--out JSON]

The cell is STFPM on generated images under the quick protocol. It runs alone and next to a process that keeps one core
busy, with `runtime.threads=auto` (the default), `null` (all cores) and 1; what is compared is the time of its
training. The sweep has five methods on some categories: in one process, and, where the joblib launcher is installed, in
as many as it takes by itself.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.cluster.processes import end_at_sigterm
from tests.speed.commands import Scratch, SpeedError, Usage, cells, has_joblib, positive, rounds, suite
from tests.speed.pairs import Pair, write

BUSY = "while True: pass"
CELL = ("method=stfpm", "dataset.categories=[washer]")
THREADS = ("auto", "null", "1")
METHODS = (
    "feature_variance",
    "rd",
    "stfpm",
    "ast",
    "simple_student",
)  # the longest first; the sixth takes minutes
CATEGORIES = ("capsule", "granite", "washer", "weave")


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy meanwhile."""
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def train_seconds(threads: str, busy: bool, scratch: Scratch) -> float:
    """Return the training seconds of the cell, alone or next to a busy thread."""
    results = scratch.new()
    arguments = (*CELL, f"runtime.threads={threads}")
    if busy:
        with busy_core():
            suite(results, *arguments)
    else:
        suite(results, *arguments)
    return float(cells(results)[0]["train_seconds"])


def sweep(categories: int, options: tuple[str, ...], scratch: Scratch) -> Usage:
    """Run all methods on some categories."""
    results = scratch.new()
    chosen = f"dataset.categories=[{','.join(CATEGORIES[:categories])}]"
    usage = suite(results, "-m", f"method={','.join(METHODS)}", chosen, *options)
    if (found := len(cells(results))) != categories * len(METHODS):
        raise SpeedError(f"{found} cells have finished, not {categories * len(METHODS)}")
    return usage


def main() -> None:
    """Run everything in turn and print the ratios."""
    made = argparse.ArgumentParser(prog="python -m tests.speed.shared", description=__doc__)
    made.add_argument("--repeats", type=positive, default=1)
    made.add_argument(
        "--categories", type=int, choices=range(len(CATEGORIES) + 1), default=2, help="of the sweep; 0: none"
    )
    made.add_argument("--out", type=Path, help="a JSON file for the results")
    given = made.parse_args()
    end_at_sigterm()
    with Scratch() as scratch:
        tasks: dict[str, Callable[[], float]] = {
            f"threads={threads}{', next to a busy thread' * busy}": partial(
                train_seconds, threads, busy, scratch
            )
            for threads in THREADS
            for busy in (False, True)
        }
        processes: dict[str, Callable[[], Usage]] = {"one": partial(sweep, given.categories, (), scratch)}
        if has_joblib():
            processes["several"] = partial(sweep, given.categories, ("hydra/launcher=joblib",), scratch)
        try:
            trained = rounds(tasks, given.repeats)
            swept = rounds(processes, 1) if given.categories else {}
        except SpeedError as error:
            raise SystemExit(f"error: {error}") from None
    pairs = [
        Pair(
            f"training of a quick cell next to a busy thread, threads={threads}",
            "s",
            trained[f"threads={threads}, next to a busy thread"],
            trained["threads=auto"],
            "this suite alone",
        )
        for threads in THREADS
    ]
    if swept:
        several = [usage.seconds for usage in swept.get("several", [])]
        note = "" if several else "the joblib launcher is not installed"
        one = [usage.seconds for usage in swept["one"]]
        title = f"{given.categories * len(METHODS)} quick cells, a process per core"
        pairs.append(Pair(title, "s", several, one, "this suite, one process", note))
    write(
        given.out,
        "shared",
        pairs,
        {"trained": trained, "swept": {k: [vars(u) for u in v] for k, v in swept.items()}},
    )


if __name__ == "__main__":
    main()
