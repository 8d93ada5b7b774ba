"""Pixel measures of this suite and of other libraries: seconds, memory and values.

    python -m tests.speed.measures [--peers PYTHON] [--sizes 100x256 ...] [--rounds N] [--out JSON]

Every library has a process of its own with one thread, and they take turns on the same maps in files. The first round
is not counted. A library whose call takes longer than `--patience` seconds is not called again: that call counts.
Memory is the peak of the calls beyond the maps and masks, or beyond nothing where this suite reads them from disk.
`--peers` names the Python of an environment with the other libraries; without it, they are left out with a note.
Timings decide nothing.
"""

import argparse
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tests.speed.commands import median, positive
from tests.speed.measures_worker import LIBRARIES, ON_DISK
from tests.speed.pairs import Pair, markdown, write

WORKER = Path(__file__).with_name("measures_worker.py")
SIZES = ("100x256", "100x1024", "2000x256")
THIS, WITH_AP = "this suite", "this suite, with AP"
#: Pairs of libraries with the same measures, or fewer of the other library.
COMPARISONS = (
    (THIS, "anomalib AUPRO", "pixel AUROC and PRO exact, compared with PRO"),
    (THIS, "torchmetrics", "pixel AUROC and PRO exact, compared with AUROC"),
    (THIS, "scikit-learn", "pixel AUROC and PRO exact, compared with AUROC"),
    (WITH_AP, "adeval", "pixel AUROC, PRO and AP exact"),
    (ON_DISK, "adeval", "pixel AUROC, PRO and AP exact, from disk"),
    (ON_DISK, WITH_AP, "pixel AUROC, PRO and AP exact, from disk"),
)


def example(images: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw smooth maps, and discs as anomalies: one to three on 60 % of the images, 3 % of the pixels at side 256."""
    rng = np.random.default_rng(0)
    y, x = np.ogrid[:size, :size]
    masks = np.zeros((images, size, size), dtype=bool)
    for mask in masks[: int(0.6 * images)]:
        for _ in range(rng.integers(1, 4)):
            centre, radius = rng.integers(40, size - 40, 2), rng.integers(12, 34)
            mask |= (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
    noise = ndimage.gaussian_filter(rng.normal(size=masks.shape), sigma=(0, 4, 4))
    return (noise / noise.std() + 1.5 * masks).astype(np.float32), masks


@dataclass
class Library:
    """One library at one size: its process, and the results of its calls.

    Attributes
    ----------
    seconds
        Of each counted call.
    megabytes
        At the peak of all calls, beyond the maps and masks.
    values
        The measures, by name.
    problem
        Why it has no (more) calls, or empty.
    """

    name: str
    process: "subprocess.Popen[str] | None" = None
    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    values: dict[str, float] = field(default_factory=dict)
    problem: str = ""

    def start(self, python: Path | None, folder: Path) -> None:
        """Start the process, and wait until it has read the maps."""
        if python is None:
            self.problem = "not measured: --peers is not given"
            return
        self.process = subprocess.Popen(
            [python, WORKER, self.name, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / f"{self.name}.log").open("w"),
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        self._answer(folder)

    def call(self, folder: Path, counted: bool, patience: float) -> None:
        """Let it measure once."""
        if self.problem:
            return
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        if not (line := self._answer(folder)):
            return
        answer: dict[str, Any] = json.loads(line)
        self.values = answer["values"]
        slow = answer["seconds"] > patience
        if counted or slow:
            self.seconds.append(answer["seconds"])
            self.megabytes = [answer["bytes"] / 1e6]
        if slow:
            self.problem = f"called {len(self.seconds)} times: slower than {patience:g} s"
            self.stop()

    def _answer(self, folder: Path) -> str:
        """Return its next line, or remember why there is none."""
        assert self.process is not None
        assert self.process.stdout is not None
        if line := self.process.stdout.readline():
            return line
        last = (folder / f"{self.name}.log").read_text().strip().splitlines()[-1:]
        self.problem = f"failed with code {self.process.wait()}: {''.join(last)[-200:]}"
        return ""

    def stop(self) -> None:
        """End the process, which frees its memory for the others."""
        if self.process is not None:
            self.process.communicate()


def measure(size: str, peers: Path | None, rounds: int, patience: float) -> list[Library]:
    """Let all libraries measure the maps of one size, e.g. 100x256, in turns."""
    images, side = map(int, size.split("x"))
    found = [Library(name) for name in LIBRARIES]
    with TemporaryDirectory() as name, ExitStack() as ends:
        folder = Path(name)
        maps, masks = example(images, side)
        np.save(folder / "maps.npy", maps)
        np.save(folder / "masks.npy", masks)
        del maps, masks
        for library in found:
            library.start(Path(sys.executable) if library.name.startswith("this") else peers, folder)
            ends.callback(library.stop)
        for turn in range(rounds + 1):
            for library in found:
                library.call(folder, turn > 0, patience)
    return found


def rows(size: str, found: list[Library]) -> list[dict[str, str]]:
    """Return a table's row for each library: medians, and how far its values are from the exact ones."""
    exact = next(library.values for library in found if library.name == WITH_AP)
    table = []
    for library in found:
        errors = {name: value - exact[name] for name, value in library.values.items() if name in exact}
        table.append(
            {
                "maps": size,
                "library": library.name,
                "s": f"{median(library.seconds):.3f}" if library.seconds else "–",
                "MB": f"{median(library.megabytes):.0f}" if library.megabytes else "–",
                **{name: f"{errors[name]:+.1e}" if name in errors else "–" for name in exact},
                "note": library.problem,
            }
        )
    return table


def pairs(size: str, found: list[Library]) -> list[Pair]:
    """Return seconds and memory of the pairs in `COMPARISONS`."""
    by_name = {library.name: library for library in found}
    result = []
    for ours, theirs, what in COMPARISONS:
        this, other = by_name[ours], by_name[theirs]
        note = "; ".join(filter(None, [this.problem, other.problem]))
        title = f"{what}, {size}"
        result.append(Pair(title, "s", this.seconds, other.seconds, theirs, note))
        result.append(Pair(f"{title}, memory", "MB", this.megabytes, other.megabytes, theirs, note))
    return result


def main() -> None:
    """Measure every size, print a table of the libraries and one of the pairs, and write both."""
    parser = argparse.ArgumentParser(prog="python -m tests.speed.measures", description=__doc__)
    parser.add_argument("--peers", type=Path, help="the Python of an environment with the other libraries")
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="maps x side, default: %(default)s")
    parser.add_argument("--rounds", type=positive, default=3, help="default: %(default)s")
    parser.add_argument("--patience", type=float, default=20, help="seconds, default: %(default)s")
    parser.add_argument("--out", type=Path, help="a JSON file")
    given = parser.parse_args()
    compared: list[Pair] = []
    table: list[dict[str, str]] = []
    details: dict[str, Any] = {}
    for size in given.sizes:
        found = measure(size, given.peers, given.rounds, given.patience)
        compared += pairs(size, found)
        table += rows(size, found)
        details[size] = {
            library.name: {
                "seconds": library.seconds,
                "megabytes": library.megabytes,
                "values": library.values,
                "note": library.problem,
            }
            for library in found
        }
    print("Medians; memory beyond the maps; measures as differences from the exact ones.\n")
    print(markdown(table) + "\n")
    write(given.out, "measures", compared, details)


if __name__ == "__main__":
    main()
