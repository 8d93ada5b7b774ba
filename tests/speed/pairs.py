"""The results of a measurement as pairs, with their table, plot and file."""

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tests.speed.commands import median


@dataclass(frozen=True)
class Pair:
    """The same quantity of this suite and of something that it is compared with, one value per round each.

    Attributes
    ----------
    what, unit
        The quantity, e.g. `seconds per epoch, stfpm fp32` and `s`.
    ours, theirs
        Values, of which medians are compared; `theirs` is empty where there is no other.
    other
        Name of the other.
    note
        A remark for readers, or the reason why a value is missing.
    least
        What this suite would need if the processor always computed at its peak; None: it is not known.
    """

    what: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    other: str = ""
    note: str = ""
    least: float | None = None

    @property
    def ratio(self) -> float | None:
        """Return theirs / ours, of medians: above 1, this suite needs less; None where that has no meaning."""
        if not self.ours or not self.theirs or self.unit == SCORE:
            return None
        below, above = median(self.ours), median(self.theirs)
        return above / below if below > 0 < above else None

    @property
    def bound(self) -> float | None:
        """Return the ratio at the processor's peak; None where it is not known."""
        return None if self.least is None or self.ratio is None else median(self.theirs) / self.least


SCORE = "score"
"""The unit of quantities that are compared by difference, not by ratio."""


def row(pair: Pair) -> dict[str, str]:
    """Return a table's row: medians with the range of their values, and the ratio or difference."""
    compared = "–" if pair.ratio is None else f"{pair.ratio:.2f}"
    if pair.unit == SCORE and pair.ours and pair.theirs:
        compared = f"{median(pair.ours) - median(pair.theirs):+.3f}"
    return {
        "what": pair.what,
        "unit": pair.unit,
        "this suite": _values(pair.ours),
        "other": _values(pair.theirs),
        "who": pair.other or "–",
        "other / this": compared,
        "at most": _bound(pair),
        "note": "; ".join(filter(None, [pair.note, _warning(pair)])),
    }


def _bound(pair: Pair) -> str:
    """Return the ratio at the processor's peak, and the part of it that is reached."""
    if pair.bound is None or pair.ratio is None:
        return "–"
    return f"{pair.bound:.2f} ({pair.ratio / pair.bound:.0%} reached)"


def _warning(pair: Pair) -> str:
    """Return a warning if a difference of two times was lost in their noise."""
    noise = pair.unit != SCORE and any(values and median(values) <= 0 for values in (pair.ours, pair.theirs))
    return "too short for the noise: not above 0" if noise else ""


def _values(values: Sequence[float]) -> str:
    if not values:
        return "–"
    middle, low, high = median(values), min(values), max(values)
    return f"{middle:.3g}" if len(values) == 1 else f"{middle:.3g} ({low:.3g} to {high:.3g})"


def table(pairs: Iterable[Pair]) -> str:
    """Return the pairs as a Markdown table."""
    return markdown([row(pair) for pair in pairs])


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as a Markdown table."""
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def write(path: Path | None, part: str, pairs: Sequence[Pair], details: object = None) -> None:
    """Print the pairs, and write them with the machine and all details as JSON."""
    print(table(pairs), flush=True)
    if path is not None:
        found = {
            "part": part,
            "machine": machine(),
            "pairs": [asdict(pair) for pair in pairs],
            "details": details,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1))


def read(path: Path) -> list[Pair]:
    """Return the pairs of a file; none if it holds results of another form."""
    found = json.loads(path.read_text())
    return [Pair(**pair) for pair in found.get("pairs", ())] if isinstance(found, dict) else []


def machine() -> dict[str, str | int | float]:
    """Return a description of the machine: processor, cores, threads, and how busy it was."""
    from torch.backends.cpu import get_cpu_capability  # an import of seconds

    names = [line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.processor(),
        "instructions": get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
        "load": round(os.getloadavg()[0], 2),
        "python": sys.version.split()[0],
    }


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def plot(pairs: Sequence[Pair], path: Path) -> bool:
    """Draw every ratio as a bar on a logarithmic axis, with its bound; return whether there was any."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    bars = [(f"{pair.what} / {pair.other}", pair.ratio) for pair in pairs if pair.ratio]
    if not bars:
        return False
    names, ratios = zip(*bars[::-1], strict=True)
    figure, axes = plt.subplots(figsize=(9, 1 + 0.25 * len(bars)), layout="constrained")
    drawn = axes.barh(names, [ratio - 1 for ratio in ratios], left=1)
    axes.bar_label(drawn, [f"{ratio:.2f}" for ratio in ratios], padding=3, fontsize=8)
    bounds = {f"{pair.what} / {pair.other}": pair.bound for pair in pairs if pair.bound}
    if bounds:
        axes.plot(list(bounds.values()), list(bounds), "k|", markersize=14, label="at the processor's peak")
        axes.legend(fontsize=8, loc="lower right")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(1, color="black", linewidth=0.8)
    axes.tick_params(labelsize=8)
    axes.margins(x=0.15)
    axes.set_xlabel("other / this suite (medians; above 1: this suite needs less)")
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return True
