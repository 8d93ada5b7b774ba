"""The cost of methods: seconds, memory, parameters and multiply-adds."""

import math
from dataclasses import dataclass

import pandas as pd

from reports.model import DASH, Sheet
from reports.teachers import name_teachers
from store import tags
from store.table import labels, rows
from store.text import counted, listed


@dataclass(frozen=True)
class Cost:
    """A column of the table: its metric, its heading with the unit, and the factor from the metric to this unit."""

    metric: str
    title: str
    factor: float = 1.0


LATENCY = Cost(tags.INFERENCE_SECONDS_SINGLE, "one image (ms)", 1e3)
COSTS = (
    Cost(tags.TRAIN_SECONDS, "training (s)"),
    Cost(tags.PRETRAINING_SECONDS, "pretraining (s)"),
    LATENCY,
    Cost(tags.INFERENCE_SECONDS_BATCHED, "in batches (ms/image)", 1e3),
    Cost(tags.INFERENCE_IMAGES_PER_SECOND, "throughput (images/s)"),
    Cost(tags.PEAK_MEMORY_GB, "peak memory (GB)"),
    Cost(tags.PARAMETERS, "parameters (M)", 1e-6),
    Cost(tags.MULTIPLY_ADDS, "multiply-adds (G/image)", 1e-9),
)
TIMED = (
    *(tags.INFERENCE_SECONDS_SINGLE, tags.INFERENCE_SECONDS_BATCHED, tags.INFERENCE_IMAGES_PER_SECOND),
    tags.MULTIPLY_ADDS,
)
"""Metrics that a job measures in one cell and repeats in its others."""
SIGNIFICANT, NAMED = 3, 10
NOTICEABLE = 0.25
"""Cores that other processes may use without being mentioned."""
MACHINE = {
    tags.DEVICE: "device",
    tags.PRECISION: "precision",
    tags.CPU: "CPU",
    tags.CPU_THREADS: "threads",
    tags.GPU: "GPU",
    tags.PLATFORM: "system",
}
"""Columns that describe the machine of a cell, and their names in captions."""
# on the CPU, the machine's GPU does not matter; on a GPU, the CPU threads hardly do
IDLE = {"cpu": (tags.GPU,), "cuda": (tags.CPU_THREADS,)}


def cost_sheets(cells: pd.DataFrame) -> list[Sheet]:
    """Return the table of costs: a row per method, a column per cost that some cell has; none without any.

    Entries are means over all finished cells of a method, with their standard deviation (ddof = 1) where it is
    not zero. No entry is marked as best: most depend on the machine, and no column is the whole cost of a method.
    """
    measured = set(cells.loc[cells["status"] == "FINISHED", "metric"])
    costs = {cost: cost_by_method(cells, cost) for cost in COSTS if cost.metric in measured}
    if not costs:
        return []
    order = pd.unique(labels(cells))
    values = {cost.title: table["mean"].reindex(order) for cost, table in costs.items()}
    shown = {cost.title: _formatted(table.reindex(order)) for cost, table in costs.items()}
    return [
        Sheet(
            name="cost",
            title="Cost",
            caption=" ".join([_explained([*costs], cells), *_uneven(cells), *conditions(cells)]),
            values=pd.DataFrame(values).rename_axis(index="method"),
            shown=pd.DataFrame(shown).rename_axis(index="method"),
            section="cost",
        )
    ]


def inference(cells: pd.DataFrame) -> str:
    """Return sentences on the teachers that the costs of inference include, and on the cells that were timed."""
    timed = _timed(cells)
    copied = timed[timed[tags.TIMED_CATEGORY] != ""]
    once = ""
    if not copied.empty:
        names = listed(pd.unique(copied[tags.TIMED_CATEGORY]), NAMED)
        once = f" It is timed once per job, for all its categories, on the images of {names}."
    return f"Inference includes the {'; the '.join(name_teachers(cells))}.{once}"


def conditions(cells: pd.DataFrame) -> list[str]:
    """Return sentences on the machines on which times were measured."""
    setups, others = machines(_timed(cells)), _others(cells)
    if not setups:
        return ["The store does not say on which machines times were measured.", others]
    if len(setups) == 1:
        return [f"Measured with {setups[0]}.", others]
    listed = "; ".join(f"({i}) {setup}" for i, setup in enumerate(setups, 1))
    return [f"Measured with {len(setups)} setups, so times do not compare: {listed}.", others]


def _others(cells: pd.DataFrame) -> str:
    """Return a sentence on the other processes of the machines while times were measured."""
    is_known = (cells["metric"] == tags.CORES_OF_OTHERS) & (cells["status"] == "FINISHED")
    busy = cells.loc[is_known, "value"]
    if busy.empty:
        return "What runs at the same time on a machine makes times longer; they are not corrected for it."
    taken = busy[busy >= NOTICEABLE]
    if taken.empty:
        return f"Other processes kept less than {NOTICEABLE:g} cores busy meanwhile."
    return (
        f"Other processes kept up to {taken.max():.1f} cores busy during {len(taken)} of {counted(len(busy), 'cell')}; "
        "times are not corrected for it."
    )


def machines(cells: pd.DataFrame) -> list[str]:
    """Return the different machines and settings of cells, each in one phrase, in order of appearance."""
    phrases = []
    for setup in cells[list(MACHINE)].drop_duplicates().to_dict("records"):
        idle = IDLE.get(setup[tags.DEVICE], ())
        parts = [
            f"{title} {setup[name]}" for name, title in MACHINE.items() if setup[name] and name not in idle
        ]
        phrases.append(", ".join(parts))
    return list(dict.fromkeys(filter(None, phrases)))


def cost_by_method(cells: pd.DataFrame, cost: Cost) -> pd.DataFrame:
    """Return a row per method that has the cost: `mean`, `std`, `min` and `max` over its finished cells.

    Of cells that repeat one measurement, one counts.
    """
    chosen = cells[(cells["metric"] == cost.metric) & (cells["status"] == "FINISHED")].assign(label=labels)
    if cost.metric in TIMED:
        chosen = chosen[~_repeats(chosen)]
    return (
        (chosen["value"] * cost.factor)
        .groupby(chosen["label"], sort=False)
        .agg(["mean", "std", "min", "max"])
    )


def _repeats(chosen: pd.DataFrame) -> "pd.Series[bool]":
    """Return which cells repeat the measurement of another one: of equal seed, category timed and number."""
    timed = chosen[tags.TIMED_CATEGORY].where(chosen[tags.TIMED_CATEGORY] != "", chosen["run_id"])
    return chosen.assign(timed=timed).duplicated(["label", "seed", "timed", "value"])


def _timed(cells: pd.DataFrame) -> pd.DataFrame:
    return cells[(cells["metric"] == LATENCY.metric) & (cells["status"] == "FINISHED")]


def _formatted(table: pd.DataFrame) -> "pd.Series[str]":
    """Return means and deviations as text, to three significant digits of the mean or to whole numbers."""

    def entry(row: "pd.Series[float]") -> str:
        if pd.isna(row["mean"]):
            return DASH
        digits = max(0, SIGNIFICANT - 1 - math.floor(math.log10(row["mean"]))) if row["mean"] > 0 else 0
        varies = row["max"] > row["min"]
        return f"{row['mean']:.{digits}f}" + (f" ± {row['std']:.{digits}f}" if varies else "")

    return table.apply(entry, axis=1)


def _explained(costs: list[Cost], cells: pd.DataFrame) -> str:
    metrics = {cost.metric for cost in costs}
    parts = [
        "Means over all finished cells of a method (categories and seeds), ± standard deviation where cells differ."
    ]
    if metrics & {tags.INFERENCE_SECONDS_SINGLE, tags.INFERENCE_SECONDS_BATCHED, tags.MULTIPLY_ADDS}:
        parts.append(inference(cells))
    if tags.PRETRAINING_SECONDS in metrics:
        parts.append(
            "Pretraining: the training of a teacher, once for all categories and seeds, not included in training."
        )
    if tags.PEAK_MEMORY_GB in metrics:
        parts.append("Memory is the host's.")
    if tags.PARAMETERS in metrics:
        parts.append("Parameters are the trained ones.")
    return " ".join(parts)


def _uneven(cells: pd.DataFrame) -> list[str]:
    """Return a sentence where methods were timed on different categories or seeds."""
    timed = _timed(cells)
    if timed.empty:
        return []
    counts = (rows(timed) + " " + timed["seed"]).groupby(labels(timed), sort=False).nunique()
    if counts.nunique() < 2:
        return []
    return [f"Cells: {', '.join(f'{label} {count}' for label, count in counts.items())}."]
