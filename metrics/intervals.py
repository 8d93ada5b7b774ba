"""95 % intervals from resamples of the test images."""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

CONFIDENCE = 0.95
_QUANTILE = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)

Interval = tuple[float, float]


def interval(value: float, replicates: ArrayLike, images: int, categories: int = 1) -> Interval | None:
    """Return the 95 % interval of a measure between 0 and 1 over test images.

    On the scale of logits, value ± 1.96 s / (value (1 - value)), so that it never leaves 0 to 1 and is longer on
    the side of the farther end. s is the deviation of the resamples times ``sqrt(n / (n - 1))``, as resamples of n
    images vary too little by this factor; for a mean over C categories it is ``sqrt(n / (n - C))``.

    Parameters
    ----------
    value : float
        The measure on the test images, or a mean of it over categories or seeds.
    replicates : float array (R,)
        The same on each resample, see `metrics.bootstrap`; NaN where undefined.
    images : int
        The number n of test images of the rarer class, summed over categories.
    categories : int
        The number C of categories.

    Returns
    -------
    None where the resamples do not tell: where all are alike, as those of a test set without an error.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 12.6 (transformations); Pepe, "The
    Statistical Evaluation of Medical Tests", 2003, section 5.2 (logits of the AUROC).

    Examples
    --------
    >>> low, high = interval(0.9, [0.85, 0.9, 0.95, 0.9], images=20)
    >>> round(low, 3), round(high, 3)
    (0.783, 0.957)
    """
    half = _half_width(replicates, images, categories)
    if half is None or not 0 < value < 1:
        return None
    middle, reach = math.log(value / (1 - value)), half / (value * (1 - value))
    return _logistic(middle - reach), _logistic(middle + reach)


def interval_of_difference(
    difference: float, replicates: ArrayLike, images: int, categories: int = 1
) -> Interval | None:
    """Return the 95 % interval of the difference of two methods on the same images: difference ± 1.96 s, as `interval`.

    Parameters
    ----------
    difference : float
        The difference of a measure, or of its means.
    replicates : float array (R,)
        The same on each resample, of which both methods have the same.
    images, categories
        As for `interval`.

    Examples
    --------
    >>> low, high = interval_of_difference(0.02, [0.01, 0.02, 0.03, 0.02], images=20)
    >>> round(low, 4), round(high, 4)
    (0.0036, 0.0364)
    """
    half = _half_width(replicates, images, categories)
    return None if half is None or math.isnan(difference) else (difference - half, difference + half)


def _half_width(replicates: ArrayLike, images: int, categories: int) -> float | None:
    """Return 1.96 s; None where resamples are undefined or alike."""
    known = np.asarray(replicates, np.float64)
    known = known[np.isfinite(known)]
    if images <= categories or known.size < 2 or np.ptp(known) < 1e-6:  # float32 of equal numbers
        return None
    return float(_QUANTILE * known.std(ddof=1) * math.sqrt(images / (images - categories)))


def _logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
