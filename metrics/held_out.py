"""Thresholds from held-out normal images, by every policy that takes them from there."""

import numpy as np
from numpy.typing import ArrayLike

from metrics.errors import MetricError
from metrics.mean_3std import mean_3std_thresholds
from metrics.quantiles import quantile_thresholds
from metrics.slices import Stack, open_stack

_NEEDED = {
    "train_quantile": ("validation_scores", "validation_max"),
    "mean_3std": ("validation_scores", "validation_maps"),
}


def held_out_thresholds(
    validation_scores: ArrayLike | None,
    validation_max: ArrayLike | None,
    validation_maps: Stack | None,
    quantile: float = 0.995,
    required: str = "",
) -> dict[str, tuple[float, float]]:
    """Return the pixel and the image threshold by each of `metrics.HELD_OUT_POLICIES` that gives some.

    Parameters
    ----------
    validation_scores, validation_max : float arrays (V,), optional
        Image scores, and the largest pixel of each map, of held-out normal images.
    validation_maps : float array (V, H, W), or a reader of it, optional
        Their maps.
    quantile : float
        The quantile of ``train_quantile``, in (0, 1].
    required : str
        A policy that must not lack what it needs; any other name requires nothing.

    Raises
    ------
    MetricError
        As `metrics.quantile_thresholds` and `metrics.mean_3std_thresholds`, and if the required policy lacks values.

    Examples
    --------
    >>> held_out_thresholds([0.5, 0.25], [3.0, 1.0], None, quantile=0.5)
    {'train_quantile': (2.0, 0.375)}
    """
    given = {
        "validation_scores": validation_scores is not None and np.size(validation_scores) > 0,
        "validation_max": validation_max is not None and np.size(validation_max) > 0,
        "validation_maps": validation_maps is not None and open_stack("maps", validation_maps).shape[0] > 0,
    }
    for name in _NEEDED.get(required, ()):
        if not given[name]:
            raise MetricError(
                f"{name}: found none; threshold_policy {required!r} needs those of held-out normal train images: hold "
                "out a part of the train images for validation, or set threshold_policy to 'f1_image' or 'dice_max'"
            )
    found = {}
    if given["validation_scores"] and given["validation_max"]:
        found["train_quantile"] = quantile_thresholds(validation_scores, validation_max, quantile)  # type: ignore[arg-type]
    if given["validation_scores"] and given["validation_maps"]:
        found["mean_3std"] = mean_3std_thresholds(validation_scores, validation_maps)  # type: ignore[arg-type]
    return {policy: pair for policy, pair in found.items() if not np.isnan(pair).any()}
