"""What methods cost: seconds, memory, parameters and multiply-adds, and what accuracy they buy."""

import math
from dataclasses import dataclass
from functools import partial

import pandas as pd

from reports.cells import labels, rows
from reports.figures.pareto import draw_trade_off
from reports.figures.shown import columns
from reports.parts import DASH, Figure, Sheet
from reports.statistics.significance import samples
from reports.tables.captions import title_of


@dataclass(frozen=True)
class Cost:
    """A column of the table: its metric, its heading with the unit, and what the metric is multiplied by for it."""

    metric: str
    title: str
    factor: float = 1.0


COSTS = (
    Cost("train_seconds", "training (s)"),
    Cost("pretext_seconds", "pretext (s)"),
    Cost("inference_seconds_single", "one image (ms)", 1e3),
    Cost("inference_seconds_batched", "in batches (ms/image)", 1e3),
    Cost("inference_images_per_second", "throughput (images/s)"),
    Cost("peak_memory_gb", "peak memory (GB)"),
    Cost("parameters", "parameters (M)", 1e-6),
    Cost("multiply_adds", "multiply-adds (G/image)", 1e-9),
)
SIGNIFICANT = 3
LATENCY = "inference_seconds_single"
# of what a cell ran on: column, and what a caption calls it
MACHINE = {
    "device": "device",
    "precision": "precision",
    "cpu": "CPU",
    "cpu_threads": "threads",
    "gpu": "GPU",
    "platform": "system",
}
# where the work runs on the CPU, a GPU of the machine does not matter; elsewhere its threads hardly do
IDLE = {"cpu": ("gpu",), "cuda": ("cpu_threads",)}


def cost_sheets(cells: pd.DataFrame) -> list[Sheet]:
    """Return the table of costs: a row per method, a column per cost that some cell has; none without any.

    Entries are means over all finished cells of a method, with their standard deviation (ddof = 1) where it is
    not zero. None is marked as the best: most are taken with a clock, and no column says all of what a method costs.
    """
    measured = set(cells.loc[cells["status"] == "FINISHED", "metric"])
    found = {cost: _by_method(cells, cost) for cost in COSTS if cost.metric in measured}
    if not found:
        return []
    order = columns(cells)
    values = {cost.title: each["mean"].reindex(order) for cost, each in found.items()}
    shown = {cost.title: _printed(each.reindex(order)) for cost, each in found.items()}
    return [
        Sheet(
            name="cost",
            title="Cost",
            caption=" ".join([_explained([*found]), *_uneven(cells), *conditions(cells)]),
            values=pd.DataFrame(values).rename_axis(index="method"),
            shown=pd.DataFrame(shown).rename_axis(index="method"),
            section="cost",
        )
    ]


def cost_figures(cells: pd.DataFrame, metric: str) -> list[Figure]:
    """Return the figure of one measure against the time that an image takes; none without either.

    A method's measure is its mean over the categories in which all methods have a value, larger is better; its
    time that of `LATENCY`, in milliseconds.
    """
    points = trade_off(cells, metric)
    if points.empty:
        return []
    title = title_of(metric)
    missing = [label for label in columns(cells) if label not in points.index]
    absent = f"Not drawn, as they lack one of the two: {', '.join(missing)}." if missing else ""
    caption = (
        f"{title}, mean over {_categories(cells, metric)}, against the median time for one image alone, teacher "
        "included (logarithmic). The stepped line is the Pareto front: its methods, with filled markers, are beaten "
        "by no other in both."
    )
    return [
        Figure(
            name=f"{metric}_against_latency",
            title=f"{title} against latency",
            caption=" ".join(filter(None, [caption, absent, *conditions(cells)])),
            draw=partial(draw_trade_off, points, title, columns(cells)),
            section="cost",
        )
    ]


def trade_off(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a row per method that has both: `latency` (ms per image) and `accuracy`, see `cost_figures`."""
    latency = _by_method(cells, Cost(LATENCY, "", 1e3))["mean"]
    accuracy = samples(cells, metric).mean()
    both = pd.DataFrame({"latency": latency, "accuracy": accuracy}).dropna()
    return both.reindex([label for label in columns(cells) if label in both.index])


def conditions(cells: pd.DataFrame) -> list[str]:
    """Return sentences on the machines that timings were taken on."""
    timed = cells[(cells["metric"] == LATENCY) & (cells["status"] == "FINISHED")]
    setups = machines(timed)
    noise = "Cells that run side by side on one machine slow each other down; nothing corrects for it."
    if not setups:
        return ["The store does not say on which machines this was measured.", noise]
    if len(setups) == 1:
        return [f"Measured with {setups[0]}.", noise]
    listed = "; ".join(f"({i}) {setup}" for i, setup in enumerate(setups, 1))
    return [f"Measured with {len(setups)} setups, so times do not compare: {listed}.", noise]


def machines(cells: pd.DataFrame) -> list[str]:
    """Return the different machines and settings that cells ran with, each in one phrase, in their order."""
    known = {name: title for name, title in MACHINE.items() if name in cells}
    phrases = []
    for setup in cells[list(known)].drop_duplicates().to_dict("records"):
        idle = IDLE.get(str(setup.get("device", "")), ())
        parts = [
            f"{title} {setup[name]}" for name, title in known.items() if setup[name] and name not in idle
        ]
        phrases.append(", ".join(parts))
    return list(dict.fromkeys(filter(None, phrases)))


def _by_method(cells: pd.DataFrame, cost: Cost) -> pd.DataFrame:
    """Return a row per method that has the cost: `mean`, `std`, `min` and `max` over its finished cells."""
    chosen = cells[(cells["metric"] == cost.metric) & (cells["status"] == "FINISHED")].assign(label=labels)
    return (
        (chosen["value"] * cost.factor)
        .groupby(chosen["label"], sort=False)
        .agg(["mean", "std", "min", "max"])
    )


def _printed(found: pd.DataFrame) -> "pd.Series[str]":
    """Return means and deviations as text, to three significant digits of the mean or to whole numbers."""

    def entry(row: "pd.Series[float]") -> str:
        if pd.isna(row["mean"]):
            return DASH
        digits = max(0, SIGNIFICANT - 1 - math.floor(math.log10(row["mean"]))) if row["mean"] > 0 else 0
        varies = row["max"] > row["min"]
        return f"{row['mean']:.{digits}f}" + (f" ± {row['std']:.{digits}f}" if varies else "")

    return found.apply(entry, axis=1)


def _explained(found: list[Cost]) -> str:
    titles = {cost.metric for cost in found}
    parts = [
        "Means over all finished cells of a method, categories and seeds, ± their standard deviation where they differ."
    ]
    if titles & {"inference_seconds_single", "inference_seconds_batched", "multiply_adds"}:
        parts.append("What an image takes includes the teacher.")
    if "pretext_seconds" in titles:
        parts.append(
            "Pretext: the training of a teacher, once for all categories and seeds, which training does not include."
        )
    if "peak_memory_gb" in titles:
        parts.append("Memory is the host's.")
    if "parameters" in titles:
        parts.append("Parameters are those that are trained.")
    return " ".join(parts)


def _uneven(cells: pd.DataFrame) -> list[str]:
    """Return a sentence where methods were timed on different categories or seeds."""
    chosen = cells[(cells["metric"] == LATENCY) & (cells["status"] == "FINISHED")]
    counts = (
        (rows(chosen) + " " + chosen["seed"]).groupby(labels(chosen), sort=False).nunique()
        if len(chosen)
        else pd.Series(dtype=int)
    )
    if counts.nunique() < 2:
        return []
    return [f"Cells: {', '.join(f'{label} {count}' for label, count in counts.items())}."]


def _categories(cells: pd.DataFrame, metric: str) -> str:
    used, all_rows = len(samples(cells, metric)), rows(cells).nunique()
    if used == all_rows:
        return f"{used} categories" if used > 1 else "one category"
    return f"the {used} of {all_rows} categories in which every method has a value"
