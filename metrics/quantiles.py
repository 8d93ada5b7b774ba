"""Thresholds from held-out normal images: quantiles of their scores."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import finite_array, fraction
from metrics.errors import MetricError


def quantile_thresholds(
    validation_scores: ArrayLike, validation_max: ArrayLike, quantile: float = 0.995
) -> tuple[float, float]:
    """Return the pixel and the image threshold of the policy ``train_quantile``, which needs no test images.

    Parameters
    ----------
    validation_scores, validation_max : float arrays (V,)
        Image scores, and the largest pixel of each map, of held-out normal images.
    quantile : float
        In (0, 1], interpolated linearly between scores.

    Raises
    ------
    MetricError
        If there are no images, a value is not finite, or the quantile is out of range.

    Examples
    --------
    >>> quantile_thresholds([0.5, 0.25], [3.0, 1.0], quantile=0.5)
    (2.0, 0.375)
    """
    fraction("quantile", quantile)
    given = {"validation_max": validation_max, "validation_scores": validation_scores}
    arrays = {name: finite_array(name, values, ndim=1) for name, values in given.items()}
    for name, array in arrays.items():
        if array.size == 0:
            raise MetricError(f"{name}: found none; expected those of held-out normal images")
    pixel, image = (
        _finite_quantile(name, array.astype(np.float64), quantile) for name, array in arrays.items()
    )
    return pixel, image


def _finite_quantile(name: str, scores: NDArray[np.float64], quantile: float) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(np.quantile(scores, quantile))
    if not np.isfinite(value):  # the difference of two neighbours exceeds the largest float64
        raise MetricError(
            f"{name}: found {scores.min():g} to {scores.max():g}, whose quantile {quantile:g} cannot be computed; "
            "expected scores whose differences are finite"
        )
    return value
