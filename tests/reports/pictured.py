"""Made-up files of finished cells, with the methods of `store.artifacts.Artifacts`; what figures show of them."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.text import Text

from store.artifacts import Artifacts
from store.files import Pairs
from tests.reports.made import NAN, cells

KINDS = ("crack", "hole", "scratch")
SIZE = 100
METRICS = {
    "image_auroc": 0.95,
    "pixel_auroc": 0.97,
    "pro": 0.9,
    "image_threshold": 1.5,
    "student/loss": 0.1,
    "student/selection": 0.2,
    "student/best_epoch": 2.0,
}


class Made:
    """Files of runs whose ids are `<method>/<category>/<seed>`, the same for the same id.

    Attributes
    ----------
    without
        Ids of runs that have no files.
    """

    def __init__(self, without: Sequence[str] = ()) -> None:
        self.without = without

    def scores(self, run_id: str) -> pd.DataFrame | None:
        kinds = ["good"] * 20 + [kind for kind in KINDS for _ in range(8)]
        labels = [int(kind != "good") for kind in kinds]
        scores = self._random(run_id).normal(size=len(kinds)) + 2.5 * np.array(labels)
        images = [f"test/{kind}/{i:03}.png" for i, kind in enumerate(kinds)]
        return self._table(run_id, {"image": images, "kind": kinds, "label": labels, "score": scores})

    def curves(self, run_id: str) -> pd.DataFrame | None:
        rates = np.linspace(0, 1, 301)
        power = self._random(run_id).uniform(5, 30)
        parts = [
            {"curve": name, "false_positive_rate": rates, "value": 1 - (1 - rates) ** (power * steep)}
            for name, steep in (("image_roc", 1.5), ("pixel_roc", 2), ("pro", 1))
        ]
        return None if run_id in self.without else pd.concat([pd.DataFrame(part) for part in parts])

    def regions(self, run_id: str) -> pd.DataFrame | None:
        random = self._random(run_id)
        area = np.exp(random.uniform(np.log(2), np.log(2500), 40)).round()
        part, overlap = area / SIZE**2, (area / 2500) ** 0.1 * random.uniform(0.8, 1, 40)
        names = [f"test/crack/{i:03}.png" for i in range(40)]
        columns = {"image": names, "kind": "crack", "area": area, "part": part}
        return self._table(run_id, {**columns, "overlap": overlap / 2, "pro": overlap})

    def pairs(self, run_id: str) -> Pairs | None:
        if not run_id.startswith("ast") or run_id in self.without:
            return None
        random = self._random(run_id)
        anomalous = np.arange(1000) < 300
        noise = np.where(anomalous, 1, 0.2)[:, None]
        teacher = random.normal(size=(1000, 2)).astype(np.float32)
        student = (teacher + noise * random.normal(size=(1000, 2))).astype(np.float32)
        return Pairs(teacher, student, ((teacher - student) ** 2).mean(axis=1), anomalous)

    def history(self, run_id: str, metric: str) -> Mapping[int, float]:
        random = self._random(run_id + metric)
        return {epoch: float(3 / epoch + random.uniform(0, 0.2)) for epoch in range(1, 41)}

    def _random(self, run_id: str) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(run_id.encode()))

    def _table(self, run_id: str, columns: Mapping[str, object]) -> pd.DataFrame | None:
        return None if run_id in self.without else pd.DataFrame(columns)


def pictured_cells(
    methods: Sequence[str],
    categories: Sequence[str],
    seeds: Sequence[str] = ("0",),
    metrics: Mapping[str, float] = METRICS,
    failed: Sequence[str] = (),
) -> pd.DataFrame:
    """Make the tidy table of cells with these metrics, lower for each further method.

    Parameters
    ----------
    failed
        Ids of runs that failed.
    """
    parts = []
    for i, method in enumerate(methods):
        for category in categories:
            for seed in seeds:
                run_id = f"{method}/{category}/{seed}"
                shared = {"seed": seed, "run_id": run_id}
                if run_id in failed:
                    parts.append(cells((method, category, NAN), status="FAILED", metric="", **shared))
                    continue
                for metric, value in metrics.items():
                    dented = value if "/" in metric else value - 0.01 * i - 0.02 * (len(category) % 7)
                    parts.append(cells((method, category, dented), metric=metric, **shared))
    return pd.concat(parts, ignore_index=True)


def files(made: Made) -> Artifacts:
    """Return made-up files under the type of real ones."""
    return cast("Artifacts", made)


def texts(drawn: Drawing) -> list[str]:
    return [text.get_text() for text in drawn.findobj(Text)]


def heights(drawn: Drawing) -> list[Any]:
    """Return the heights of each histogram, in order; each is drawn as an outline, and filled."""
    steps = [step for axes in drawn.axes for step in axes.patches if isinstance(step, StepPatch)]
    return [step.get_data()[0] for step in steps if not step.get_fill()]


def xs(line: Line2D) -> list[float]:
    return np.asarray(line.get_xdata(), float).tolist()


def ys(line: Line2D) -> list[float]:
    return np.asarray(line.get_ydata(), float).tolist()


def dots(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_marker() == "o" and xs(line)]


METHODS, CATEGORIES = ("stfpm", "rd", "ast"), ("bottle", "cable", "tile")
CELLS = pictured_cells(METHODS, CATEGORIES, ("0", "1"), failed=["rd/cable/0", "rd/cable/1"])
"""Cells of two seeds; rd failed on cable."""
FILES = files(Made(["stfpm/tile/0", "stfpm/tile/1"]))
"""The files of these cells; stfpm has none for tile."""
