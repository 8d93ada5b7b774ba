"""One picture of a cell: its hardest test images with ground truth, map and verdict."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from benchmark.data.images import StoredImages
from benchmark.scoring import MapArray, Scores
from store.predictions import WRONG

EACH = 4  # images of each kind
SAMPLE = 2**20  # pixels whose percentile is the lower end of the colour scale


def save_figure(
    path: Path, title: str, stored: StoredImages, scores: Scores, threshold: float, outcomes: Sequence[str]
) -> None:
    """Draw image, ground truth, depth and foreground (if there is depth), and map of the hardest test images.

    These are the anomalous images with the lowest scores, which are missed first, and the normal ones with the
    highest, the first false alarms. `outcomes` are the verdicts on all images, of `store.predictions.OUTCOMES`, or ""
    without a verdict; wrong ones are named.

    All maps share one colour scale, from the 1st percentile of the category's pixels to their maximum. The contour
    is the threshold, where it is defined. All depths share one scale, too, from the 1st to the 99th percentile of
    the foreground.
    """
    anomalous, normal = hardest(np.array([sample.label == 1 for sample in stored.samples]), scores.images)
    chosen = [*anomalous, *normal]
    rows: dict[str, Row] = {"image": _show_image, "ground truth": _show_mask}
    if stored.depth is not None:
        rows |= {"depth, cm": _depth_row(stored), "foreground": _show_foreground}
    rows["map"] = _map_row(scores, threshold)
    figure, axes = plt.subplots(
        len(rows),
        len(chosen),
        figsize=(1.5 * len(chosen), 0.4 + 1.6 * len(rows)),
        layout="constrained",
        squeeze=False,
    )
    for axis, i in zip(axes[0], chosen, strict=True):
        sample = stored.samples[i]
        wrong = WRONG.get(outcomes[i], "")
        text = "  ".join(filter(None, (f"{scores.images[i]:.3g}", wrong)))
        axis.set_title(
            f"{sample.kind}/{sample.image.stem}\n{text}", fontsize=8, color="tab:red" if wrong else "black"
        )
    for line, (name, show) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name)
        drawn = [show(axis, stored, i) for axis, i in zip(line, chosen, strict=True)]
        if drawn[0] is not None:
            figure.colorbar(drawn[0], ax=line, fraction=0.02, pad=0.01)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    parts = [
        f"{len(part)} {kind} test images with the {end} scores"
        for part, kind, end in ((anomalous, "anomalous", "lowest"), (normal, "normal", "highest"))
        if part
    ]
    figure.suptitle(f"{title}: {', then '.join(parts)}; contour: pixel threshold", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def hardest(anomalous: NDArray[np.bool_], scores: NDArray[np.floating]) -> tuple[list[int], list[int]]:
    """Return the anomalous images with the lowest scores and the normal ones with the highest.

    There are at most `EACH` of either kind, more where there are fewer of the other.

    Parameters
    ----------
    anomalous, scores
        (N,) of each image.
    """
    order = np.argsort(scores, kind="stable")
    lowest, highest = order[anomalous[order]].tolist(), order[~anomalous[order]][::-1].tolist()
    return lowest[: max(EACH, 2 * EACH - len(highest))], highest[: max(EACH, 2 * EACH - len(lowest))]


Row = Callable[[Axes, StoredImages, int], AxesImage | None]
"""Draws what belongs to one image; returns what a colour bar explains."""


def _show_image(axis: Axes, stored: StoredImages, i: int) -> None:
    axis.imshow(stored.images[i])


def _show_mask(axis: Axes, stored: StoredImages, i: int) -> None:
    if stored.masks is None or not stored.has_truth[i]:
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


def _map_row(scores: Scores, threshold: float) -> Row:
    low, high = _low_percentile(scores.maps), float(scores.map_max.max())

    def show(axis: Axes, stored: StoredImages, i: int) -> AxesImage:
        shown = scores.maps[i].astype(np.float64)  # the distance of two float32 numbers may be none
        drawn = axis.imshow(shown, cmap="inferno", vmin=low, vmax=max(high, low + 1e-12))
        if np.isfinite(threshold) and shown.min() < threshold < shown.max():
            axis.contour(shown, [threshold], colors="cyan", linewidths=0.7)
        return drawn

    return show


def _low_percentile(maps: MapArray) -> float:
    """Return the 1st percentile of the pixels, of evenly spaced ones if there are more than `SAMPLE`."""
    count, *_ = maps.shape
    step = max(int(np.prod(maps.shape)) // SAMPLE, 1)
    # copies, as a view of some pixels would keep the whole map in memory
    return float(np.percentile(np.concatenate([maps[i].ravel()[::step].copy() for i in range(count)]), 1))
