"""One picture of a cell: the most and the least anomalous test images with their truth and map."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

from benchmark.scoring import Scores
from datasets.store import StoredImages

EACH = 4  # images of either kind


def save_figure(path: Path, title: str, stored: StoredImages, scores: Scores, threshold: float) -> None:
    """Draw rows image / truth / map of the highest and the lowest image scores.

    All maps share one colour scale: from the 1st percentile of all pixels of the category to their maximum.
    The contour is the threshold, where it is defined.
    """
    order = np.argsort(scores.images)[::-1]
    chosen = [*order[:EACH], *order[EACH:][-EACH:]]
    low, high = np.percentile(scores.maps, 1), scores.maps.max()
    figure, axes = plt.subplots(
        3, len(chosen), figsize=(1.5 * len(chosen), 5.2), layout="constrained", squeeze=False
    )
    for column, i in zip(axes.T, chosen, strict=True):
        sample = stored.samples[i]
        column[0].set_title(f"{sample.kind}/{sample.image.stem}\n{scores.images[i]:.3g}", fontsize=8)
        column[0].imshow(stored.images[i])
        truth = stored.masks[i] if stored.masks is not None else None
        _show_truth(column[1], stored.images[i], truth)
        drawn = column[2].imshow(scores.maps[i], cmap="inferno", vmin=low, vmax=max(high, low + 1e-12))
        if np.isfinite(threshold) and scores.maps[i].min() < threshold < scores.maps[i].max():
            column[2].contour(scores.maps[i], [threshold], colors="cyan", linewidths=0.7)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for axis, name in zip(axes[:, 0], ("image", "truth", "map"), strict=True):
        axis.set_ylabel(name)
    figure.colorbar(drawn, ax=axes[2, :], fraction=0.02, pad=0.01)
    most = min(EACH, len(chosen))
    figure.suptitle(
        f"{title}: the {most} most anomalous test images, then the {len(chosen) - most} least; contour: threshold",
        fontsize=10,
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _show_truth(axis: Axes, image: NDArray[np.uint8], truth: NDArray[np.bool_] | None) -> None:
    if truth is None:
        axis.text(0.5, 0.5, "no mask", ha="center", va="center", transform=axis.transAxes)
        return
    shown = (image * 0.45).astype(np.uint8)
    shown[truth] = (240, 60, 60)
    axis.imshow(shown)
