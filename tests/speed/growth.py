"""The growth of time and memory with images, image size, epochs, methods per sweep, and processes.

    python -m tests.speed.growth [--out JSON]

This suite's command on generated data, STFPM with an untrained teacher; one thing grows at a time. The time of a run
with next to nothing to do is subtracted before a power law is fitted, t ~ n^exponent: 1 is linear, and 2 is quadratic;
below 1, constant parts still matter. With processes, four jobs are distributed and nothing is subtracted: -1 would be a
perfect speed-up. Memory mostly stays at its peak, so its exponent is often undefined. The plot has the name of the
JSON file.
"""

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from datasets.synthetic import generate
from tests.cluster.processes import end_at_sigterm
from tests.speed.commands import Scratch, SpeedError, Usage, cells, median, positive, rounds, suite
from tests.speed.inputs import parser
from tests.speed.pairs import Pair, markdown, write

BASE = {"images": 128, "side": 128, "epochs": 10, "methods": 1, "processes": 1}
GROWTH = {
    "images": (128, 256, 512),
    "side": (64, 128, 256),
    "epochs": (10, 20, 40),
    "methods": (1, 2, 3),
    "processes": (1, 2, 4),
}
NOTHING = {**BASE, "images": 8, "side": 32, "epochs": 1}
"""A run with next to nothing to do: the fixed cost of every run."""
MAP_SIZES = (64, 32, 16)
"""Methods of a sweep: STFPM with other sizes of its maps, so that all cost the same."""
LAUNCHER = "hydra_plugins.hydra_joblib_launcher"
JOBS = 4
"""Seeds that the processes of a sweep share."""
USED = ("seconds", "peak_mb")


@dataclass
class Curve:
    """Time and memory against one quantity: a median per point."""

    name: str
    points: list[int]
    seconds: list[float]
    peak_mb: list[float]

    def rows(self, nothing: Usage) -> list[dict[str, str]]:
        """Return a row of the table for time and one for memory."""
        # each process starts by itself: their fixed cost is distributed, too
        fixed = Usage(0, 0) if self.name == "processes" else nothing
        return [
            {
                "what grows": f"{self.name}: {', '.join(map(str, self.points))}",
                "of": unit,
                "measured": ", ".join(f"{value:.3g}" for value in values),
                "exponent": f"{exponent(self.points, values, taken):.2f}".replace("nan", "–"),
            }
            for unit, values, taken in (
                ("seconds", self.seconds, fixed.seconds),
                ("peak MB", self.peak_mb, fixed.peak_mb),
            )
        ]


def exponent(points: Sequence[float], values: Sequence[float], fixed: float) -> float:
    """Return the exponent of a power law through the values above the fixed part.

    NaN if there are fewer than two points, or one is not above.

    Examples
    --------
    >>> round(exponent([1, 2, 4], [5 + 3, 5 + 12, 5 + 48], fixed=5), 6)
    2.0
    """
    above = np.array(values) - fixed
    if len(above) < 2 or (above <= 0).any():
        return float("nan")
    return float(np.polyfit(np.log(points), np.log(above), 1)[0])


def arguments(point: Mapping[str, int]) -> list[str]:
    """Return what the command is given, but for processes."""
    sizes = ",".join(map(str, MAP_SIZES[: point["methods"]]))
    return [
        "-m",
        "method=stfpm",
        f"method.map_size={sizes}",
        *(f"dataset.{name}={value}" for name, value in drawn(point).items()),
        "dataset.categories=[weave]",
        f"method.training.image_size={point['side']}",
        f"method.training.epochs={point['epochs']}",
    ]


def drawn(point: Mapping[str, int]) -> dict[str, int]:
    """Return how many images of what size are generated; the test images grow with the others."""
    images = point["images"]
    return {
        "image_size": point["side"],
        "train": images,
        "test_good": max(images // 8, 1),
        "test_defective": max(images // 24, 1),
    }


def run(scratch: Scratch, data: Path, point: Mapping[str, int], parallel: bool) -> Usage:
    """Run one point; `parallel`: several seeds, spread over processes by joblib, a thread each."""
    results = scratch.new()
    given = [*arguments(point), f"dataset.cache_dir={data}"]
    expected = point["methods"]
    if parallel:
        given += [f"seed={','.join(map(str, range(JOBS)))}", "runtime.threads=1", "hydra/launcher=joblib"]
        given += [f"hydra.launcher.n_jobs={point['processes']}"]
        expected *= JOBS
    usage = suite(results, *given)
    if len(cells(results)) != expected:
        raise SpeedError(f"{point}: {len(cells(results))} cells have finished, not {expected}")
    return usage


def has_launcher() -> bool:
    """Return whether the launcher of several processes is installed."""
    try:
        return importlib.util.find_spec(LAUNCHER) is not None
    except ModuleNotFoundError:  # no plug-in of Hydra is installed
        return False


def tasks(names: Sequence[str], scratch: Scratch) -> dict[str, Callable[[], Usage]]:
    """Return the runs, and draw the images that they read: drawing is not timed."""
    data = scratch.root / "generated"
    points = {"nothing": (NOTHING, False)}
    for name in names:
        for value in GROWTH[name]:
            if name != "processes" or value <= len(os.sched_getaffinity(0)):
                points[f"{name} {value}"] = ({**BASE, name: value}, name == "processes")
    for point, _ in points.values():
        generate(data, categories=["weave"], **drawn(point))
    return {name: partial(run, scratch, data, *point) for name, point in points.items()}


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Plot time and memory of every curve."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        2, len(curves), figsize=(3 * len(curves), 5), squeeze=False, layout="constrained"
    )
    for column, curve in enumerate(curves):
        for axis, values, label in zip(
            axes[:, column], (curve.seconds, curve.peak_mb), ("seconds", "peak MB"), strict=True
        ):
            axis.plot(curve.points, values, marker="o")
            axis.set(xlabel=curve.name, ylabel=label, xticks=curve.points)
            axis.set_ylim(0, 1.1 * max(values))
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Measure every curve, fit, plot and print."""
    made = parser("growth", __doc__, data=False)
    made.add_argument("--quantities", nargs="+", choices=GROWTH, default=list(GROWTH))
    made.add_argument("--repeats", type=positive, default=3)
    given = made.parse_args()
    missing = []
    if "processes" in given.quantities and not has_launcher():
        given.quantities.remove("processes")
        missing.append(
            Pair("processes", "s", [], note='not measured: pip install -c constraints.txt ".[joblib]"')
        )
    end_at_sigterm()
    with Scratch() as scratch:
        try:
            found = rounds(tasks(given.quantities, scratch), given.repeats)
        except SpeedError as error:
            raise SystemExit(f"error: {error}") from None
    curves = []
    for name in given.quantities:
        points = [value for value in GROWTH[name] if f"{name} {value}" in found]
        usages = [found[f"{name} {value}"] for value in points]
        seconds, memory = ([median([getattr(usage, of) for usage in each]) for each in usages] for of in USED)
        curves.append(Curve(name, points, seconds, memory))
    nothing = Usage(*(median([getattr(usage, of) for usage in found["nothing"]]) for of in USED))
    print(markdown([row for curve in curves for row in curve.rows(nothing)]) + "\n")
    if given.out is not None:
        draw(curves, given.out.with_suffix(".png"))
    pairs = [Pair("a run with next to nothing to do", "s", [nothing.seconds]), *missing]
    write(given.out, "growth", pairs, [asdict(curve) for curve in curves])


if __name__ == "__main__":
    main()
