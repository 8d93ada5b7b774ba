"""One picture of a cell: the most and the least anomalous test images with their truth and map."""

from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from benchmark.scoring import Scores
from datasets.store import StoredImages

EACH = 4  # images of either kind


def save_figure(path: Path, title: str, stored: StoredImages, scores: Scores, threshold: float) -> None:
    """Draw rows image / truth / depth and foreground, where there are / map of the highest and lowest scores.

    All maps share one colour scale: from the 1st percentile of all pixels of the category to their maximum.
    The contour is the threshold, where it is defined. All depths share one, too, from the 1st to the 99th
    percentile of the foreground.
    """
    order = np.argsort(scores.images)[::-1]
    chosen = [*order[:EACH], *order[EACH:][-EACH:]]
    rows: dict[str, Row] = {"image": _show_image, "truth": _show_truth}
    if stored.depth is not None:
        rows |= {"depth, cm": _depth_row(stored), "foreground": _show_foreground}
    rows["map"] = _map_row(scores.maps, threshold)
    figure, axes = plt.subplots(
        len(rows),
        len(chosen),
        figsize=(1.5 * len(chosen), 0.4 + 1.6 * len(rows)),
        layout="constrained",
        squeeze=False,
    )
    for axis, i in zip(axes[0], chosen, strict=True):
        sample = stored.samples[i]
        axis.set_title(f"{sample.kind}/{sample.image.stem}\n{scores.images[i]:.3g}", fontsize=8)
    for line, (name, show) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name)
        drawn = [show(axis, stored, i) for axis, i in zip(line, chosen, strict=True)]
        if drawn[0] is not None:
            figure.colorbar(drawn[0], ax=line, fraction=0.02, pad=0.01)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    most = min(EACH, len(chosen))
    figure.suptitle(
        f"{title}: the {most} most anomalous test images, then the {len(chosen) - most} least; contour: threshold",
        fontsize=10,
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


Row = Callable[[Axes, StoredImages, int], AxesImage | None]
"""Draws what belongs to one image; returns what a colour bar explains."""


def _show_image(axis: Axes, stored: StoredImages, i: int) -> None:
    axis.imshow(stored.images[i])


def _show_truth(axis: Axes, stored: StoredImages, i: int) -> None:
    if stored.masks is None:
        axis.text(0.5, 0.5, "no mask", ha="center", va="center", transform=axis.transAxes)
        return
    shown = (stored.images[i] * 0.45).astype(np.uint8)
    shown[stored.masks[i]] = (240, 60, 60)
    axis.imshow(shown)


def _depth_row(stored: StoredImages) -> Row:
    assert stored.depth is not None
    assert stored.foreground is not None
    values = stored.depth[stored.foreground]
    low, high = np.percentile(values, (1, 99)) if values.size else (-1.0, 1.0)

    def show(axis: Axes, stored: StoredImages, i: int) -> AxesImage:
        assert stored.depth is not None
        return axis.imshow(stored.depth[i], cmap="viridis", vmin=low, vmax=high)

    return show


def _show_foreground(axis: Axes, stored: StoredImages, i: int) -> None:
    assert stored.foreground is not None
    axis.imshow(stored.foreground[i], cmap="gray", vmin=0, vmax=1)


def _map_row(maps: NDArray[np.float32], threshold: float) -> Row:
    low, high = float(np.percentile(maps, 1)), float(maps.max())

    def show(axis: Axes, stored: StoredImages, i: int) -> AxesImage:
        drawn = axis.imshow(maps[i], cmap="inferno", vmin=low, vmax=max(high, low + 1e-12))
        if np.isfinite(threshold) and maps[i].min() < threshold < maps[i].max():
            axis.contour(maps[i], [threshold], colors="cyan", linewidths=0.7)
        return drawn

    return show
