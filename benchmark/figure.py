"""One picture of a cell: its hardest test images with ground truth, map and verdict."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from benchmark.data.images import StoredImages
from benchmark.scoring import MapArray, Scores
from store.predictions import WRONG

EACH = 4  # images of each kind
SAMPLE = 2**20  # pixels whose percentile is the lower end of the colour scale
GAP = 1 / 16  # between images, of their width


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
    rows: dict[str, Row] = {"image": _show_images, "ground truth": _show_masks}
    if stored.depth is not None:
        rows |= {"depth, cm": _depth_row(stored), "foreground": _show_foreground}
    rows["map"] = _map_row(scores, threshold)
    figure = Figure(figsize=(1.5 * len(chosen), 0.4 + 1.6 * len(rows)), layout="constrained")
    # an axes per row: one per image would take five times as long
    axes = figure.subplots(len(rows), squeeze=False)[:, 0]
    for column, i in enumerate(chosen):
        sample = stored.samples[i]
        wrong = WRONG.get(outcomes[i], "")
        text = "  ".join(filter(None, (f"{scores.images[i]:.3g}", wrong)))
        caption, colour = f"{sample.kind}/{sample.image.stem}\n{text}", "tab:red" if wrong else "black"
        axes[0].text(_centre(column), 1.05, caption, fontsize=8, color=colour, ha="center", va="bottom")
    for axis, (name, show) in zip(axes, rows.items(), strict=True):
        axis.set_ylabel(name)
        drawn = show(axis, stored, chosen)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        if drawn is not None:
            figure.colorbar(drawn, ax=axis, fraction=0.02, pad=0.01)
    parts = [
        f"{len(part)} {kind} test images with the {end} scores"
        for part, kind, end in ((anomalous, "anomalous", "lowest"), (normal, "normal", "highest"))
        if part
    ]
    figure.suptitle(f"{title}: {', then '.join(parts)}; contour: pixel threshold", fontsize=10)
    figure.set_dpi(110)
    # PNG's usual level of compression takes five times as long and saves a tenth
    FigureCanvasAgg(figure).print_png(path, pil_kwargs={"compress_level": 1})


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


Row = Callable[[Axes, StoredImages, Sequence[int]], AxesImage | None]
"""Draws what belongs to some images, side by side; returns what a colour bar explains."""


def _centre(column: int) -> float:
    """Return the horizontal position of the middle of an image; images are 1 wide and high."""
    return column * (1 + GAP) + 0.5


def _draw(axis: Axes, pictures: Sequence[NDArray[Any]], **options: Any) -> AxesImage:
    """Draw pictures of one size side by side; pixels between them are white or NaN."""
    strip = _strip(pictures)
    return axis.imshow(strip, extent=(0, strip.shape[1] / strip.shape[0], 0, 1), **options)


def _strip(pictures: Sequence[NDArray[Any]]) -> NDArray[Any]:
    height, width = pictures[0].shape[:2]
    empty: float = 255 if pictures[0].ndim == 3 else np.nan
    between = np.full_like(pictures[0], empty, shape=(height, round(width * GAP), *pictures[0].shape[2:]))
    return np.concatenate([part for picture in pictures for part in (picture, between)][:-1], axis=1)


def _show_images(axis: Axes, stored: StoredImages, chosen: Sequence[int]) -> None:
    _draw(axis, [stored.images[i] for i in chosen])


def _show_masks(axis: Axes, stored: StoredImages, chosen: Sequence[int]) -> None:
    pictures = []
    for column, i in enumerate(chosen):
        if stored.masks is None or not stored.has_truth[i]:
            axis.text(_centre(column), 0.5, "no mask", ha="center", va="center")
            pictures.append(np.full_like(stored.images[i], 255))
            continue
        shown = (stored.images[i] * 0.45).astype(np.uint8)
        shown[stored.masks[i]] = (240, 60, 60)
        pictures.append(shown)
    _draw(axis, pictures)


def _depth_row(stored: StoredImages) -> Row:
    assert stored.depth is not None
    assert stored.foreground is not None
    values = stored.depth[stored.foreground]
    low, high = np.percentile(values, (1, 99)) if values.size else (-1.0, 1.0)

    def show(axis: Axes, stored: StoredImages, chosen: Sequence[int]) -> AxesImage:
        assert stored.depth is not None
        return _draw(axis, [stored.depth[i] for i in chosen], cmap="viridis", vmin=low, vmax=high)

    return show


def _show_foreground(axis: Axes, stored: StoredImages, chosen: Sequence[int]) -> None:
    assert stored.foreground is not None
    pictures = [stored.foreground[i].astype(np.float32) for i in chosen]
    _draw(axis, pictures, cmap="gray", vmin=0, vmax=1)


def _map_row(scores: Scores, threshold: float) -> Row:
    low, high = _low_percentile(scores.maps), float(scores.map_max.max())

    def show(axis: Axes, stored: StoredImages, chosen: Sequence[int]) -> AxesImage:
        # float64, as the distance of two float32 numbers may be none
        pictures = [scores.maps[i].astype(np.float64) for i in chosen]
        drawn = _draw(axis, pictures, cmap="inferno", vmin=low, vmax=max(high, low + 1e-12))
        if np.isfinite(threshold) and any(each.min() < threshold < each.max() for each in pictures):
            shown, extent = drawn.get_array(), drawn.get_extent()  # without the NaN between pictures
            axis.contour(shown, [threshold], extent=extent, origin="upper", colors="cyan", linewidths=0.7)
        return drawn

    return show


def _low_percentile(maps: MapArray) -> float:
    """Return the 1st percentile of the pixels, of evenly spaced ones if there are more than `SAMPLE`."""
    count, *_ = maps.shape
    step = max(int(np.prod(maps.shape)) // SAMPLE, 1)
    # copies, as a view of some pixels would keep the whole map in memory
    return float(np.percentile(np.concatenate([maps[i].ravel()[::step].copy() for i in range(count)]), 1))
