"""Thresholds from held-out normal images: three standard deviations above the mean."""

import numpy as np
from numpy.typing import ArrayLike

from metrics.checks import finite_array
from metrics.errors import MetricError
from metrics.slices import Stack, open_stack, read_maps, slices

DEVIATIONS = 3


def mean_3std_thresholds(validation_scores: ArrayLike, validation_maps: Stack) -> tuple[float, float]:
    """Return the pixel and the image threshold of the policy ``mean_3std``, which needs no test images.

    Each is ``mean + 3 std``: of all pixels of the held-out maps, and of the held-out images' scores. NaN where squares
    exceed the largest number.

    Parameters
    ----------
    validation_scores : float array (V,)
        Image scores of held-out normal images.
    validation_maps : float array (V, H, W)
        Their maps, read a few images at a time as by `metrics.count_pixels`.

    Raises
    ------
    MetricError
        If there are no images, or a value is not finite.

    Source: the baseline of MVTec AD 2 (Heckler-Kram et al., arXiv 2503.21622, 2025).

    Examples
    --------
    >>> mean_3std_thresholds([1.0, 3.0], [[[0.0, 2.0]], [[0.0, 2.0]]])
    (4.0, 5.0)
    """
    scores = finite_array("validation_scores", validation_scores, ndim=1).astype(np.float64)
    maps = open_stack("validation_maps", validation_maps)
    if not scores.size or maps.shape[0] != scores.size:
        raise MetricError(
            f"validation_maps: found {maps.shape[0]} maps and {scores.size} scores; expected one of each for every "
            "held-out normal image, at least one"
        )
    return _above(*_mean_and_deviation(maps)), _above(*_mean_and_deviation(scores.reshape(-1, 1, 1)))


def _mean_and_deviation(stack: Stack) -> tuple[float, float]:
    """Return mean and standard deviation of all numbers, in two passes."""
    numbers = open_stack("maps", stack)
    parts = slices(numbers)
    counts = [part.stop - part.start for part in parts]
    with np.errstate(over="ignore", invalid="ignore"):
        means = [read_maps(numbers, part).mean(dtype=np.float64) for part in parts]
        mean = float(np.average(means, weights=counts))
        squares = [np.square(read_maps(numbers, part) - np.float64(mean)).mean() for part in parts]
        return mean, float(np.sqrt(np.average(squares, weights=counts)))


def _above(mean: float, deviation: float) -> float:
    threshold = mean + DEVIATIONS * deviation
    return threshold if np.isfinite(threshold) else np.nan
