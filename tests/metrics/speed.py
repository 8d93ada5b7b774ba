"""Time pixel AUROC and exact PRO from one sort against scikit-learn's pixel AUROC alone.

Run ``python -m tests.metrics.speed``. Both see the same pixels, in turns, and medians are printed.
"""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from metrics import pixel_auroc, pro, rank_pixels


def example(images: int = 100, size: int = 256) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Smooth maps, and discs as defects: one to three on 60 % of the images, 3 % of the pixels."""
    rng = np.random.default_rng(0)
    y, x = np.ogrid[:size, :size]
    masks = np.zeros((images, size, size), dtype=bool)
    for mask in masks[: int(0.6 * images)]:
        for _ in range(rng.integers(1, 4)):
            centre, radius = rng.integers(40, size - 40, 2), rng.integers(12, 34)
            mask |= (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
    noise = ndimage.gaussian_filter(rng.normal(size=masks.shape), sigma=(0, 4, 4))
    return (noise / noise.std() + 1.5 * masks).astype(np.float32), masks


def timed(measure: Callable[[], float]) -> tuple[float, float]:
    """Seconds and value of one call."""
    start = time.perf_counter()
    value = measure()
    return time.perf_counter() - start, value


def main(repeats: int = 5) -> None:
    """Print the seconds of both, their ratio and the difference of the values."""
    maps, masks = example()

    def ours() -> float:
        scores = rank_pixels(maps, masks)
        pro(scores)
        return pixel_auroc(scores)

    def theirs() -> float:
        return float(roc_auc_score(masks.ravel(), maps.ravel()))

    runs = [(timed(ours), timed(theirs)) for _ in range(repeats)]
    seconds_ours = float(np.median([run[0][0] for run in runs]))
    seconds_theirs = float(np.median([run[1][0] for run in runs]))
    print(f"{len(maps)} maps of {maps.shape[1]}x{maps.shape[2]}, {100 * masks.mean():.1f} % defective pixels")
    print(f"rank_pixels + pixel_auroc + pro  {seconds_ours:.3f} s")
    print(f"sklearn.metrics.roc_auc_score    {seconds_theirs:.3f} s")
    print(f"ratio                            {seconds_theirs / seconds_ours:.1f}")
    print(f"difference of pixel AUROC        {abs(runs[0][0][1] - runs[0][1][1]):.1e}")


if __name__ == "__main__":
    main()
