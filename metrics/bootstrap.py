"""A stratified bootstrap over test images: what the measures would be on other images of the same kind."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.bootstrap_images import ImageResampler, count_judged
from metrics.bootstrap_pixels import PixelResampler
from metrics.checks import binary_array, checked_images
from metrics.evaluate import Measures
from metrics.policies import JUDGES_MAPS
from metrics.slices import Selection, Stack, open_stack

# So many weights are made at a time, of at most so many resamples: the arrays computed from them stay small, too.
_WEIGHTS, _RESAMPLES = 2**20, 256


@dataclass(frozen=True)
class Replicates:
    """Measures of R resamples of the test images: float32 arrays (R,), NaN where one is undefined on a resample.

    Attributes
    ----------
    values : dict of str to array
        By measure; those that are undefined on the test images have none, nor have the variants of PRO.
    misses, false_alarms : dict of str to array
        Numbers of wrong verdicts by threshold policy.
    """

    values: dict[str, NDArray[np.float32]]
    misses: dict[str, NDArray[np.float32]]
    false_alarms: dict[str, NDArray[np.float32]]


def bootstrap(
    measures: Measures,
    maps: Stack,
    labels: ArrayLike,
    scores: ArrayLike,
    map_max: ArrayLike,
    *,
    threshold_policy: str,
    replicates: int,
    seed: int,
    has_truth: ArrayLike | None = None,
    fpr_limit: float = 0.3,
) -> Replicates:
    """Take the measures of resampled test images: as many normal and as many anomalous ones, drawn with replacement.

    Thresholds stay as they were chosen on the test set. Image measures, Dice and IoU are exact on every resample. The
    other pixel measures are taken at about a thousand thresholds, see `metrics.bootstrap_pixels`.

    Parameters
    ----------
    measures : Measures
        The measures of these images, from `metrics.evaluate`.
    maps, labels, scores, threshold_policy, has_truth, fpr_limit
        As `metrics.evaluate` was given them.
    map_max : float array (N,)
        The largest score of each map.
    replicates : int
        The number R of resamples.
    seed : int
        Labels and seed alone decide what is drawn, so that methods can be compared on the same resamples.

    Raises
    ------
    MetricError
        As `metrics.evaluate`.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 6 and 8.

    Examples
    --------
    >>> from metrics import evaluate
    >>> maps, labels = np.array([[[0.1]], [[0.4]], [[0.3]], [[0.8]]]), [0, 0, 1, 1]
    >>> scores = maps[:, 0, 0]
    >>> measures = evaluate(maps, None, labels, scores)
    >>> made = bootstrap(measures, maps, labels, scores, scores, threshold_policy="f1_image", replicates=200, seed=0)
    >>> np.unique(made.values["image_auroc"])
    array([0.  , 0.5 , 0.75, 1.  ], dtype=float32)
    """
    labels, scores, one_class = checked_images(labels, scores)
    chosen = np.ones(labels.size, bool)
    if has_truth is not None:
        chosen = binary_array("has_truth", has_truth, labels.shape)
    judged_anomalous = {
        policy: (np.asarray(map_max) if policy == JUDGES_MAPS else scores) >= np.float64(threshold)
        for policy, (_, threshold) in measures.thresholds.items()
    }
    images = None if one_class else ImageResampler.of(labels, scores, judged_anomalous.get(threshold_policy))
    pixels = None
    if not measures.pixels.one_class:
        counted = Selection(open_stack("maps", maps), chosen)
        pixels = PixelResampler.of(measures, counted, fpr_limit)
    values, misses, false_alarms = (defaultdict[str, list[NDArray[np.float64]]](list) for _ in range(3))
    for weights in resamples(labels, replicates, seed):
        found = {} if images is None else images.measures(weights)
        found |= {} if pixels is None else pixels.measures(weights[:, chosen])
        for name, values_of_block in found.items():
            values[name].append(values_of_block)
        for policy, verdicts in judged_anomalous.items():
            hits, alarms = count_judged(weights, labels, verdicts)
            misses[policy].append(weights[:, labels].sum(1) - hits)
            false_alarms[policy].append(alarms)
    defined = {
        name: parts for name, parts in values.items() if np.isfinite(measures.values.get(name, np.nan))
    }
    return Replicates(_joined(defined), _joined(misses), _joined(false_alarms))


def _joined(blocks: dict[str, list[NDArray[np.float64]]]) -> dict[str, NDArray[np.float32]]:
    return {name: np.concatenate(parts).astype(np.float32) for name, parts in blocks.items()}


def resamples(labels: ArrayLike, replicates: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each image is drawn, in blocks (r, N) of resamples that together are (R, N).

    Of n images of a class, n are drawn with replacement: multinomial weights.

    Parameters
    ----------
    labels : bool or {0, 1} array (N,)
        True where an image is anomalous.
    replicates : int
        The number R of resamples.
    seed : int
        0 or more.

    Examples
    --------
    >>> (weights,) = resamples([0, 1, 0, 1, 0], replicates=2, seed=0)
    >>> weights.shape, weights[:, [1, 3]].sum(axis=1), weights[:, [0, 2, 4]].sum(axis=1)
    ((2, 5), array([2., 2.]), array([3., 3.]))
    """
    anomalous = np.asarray(labels) == 1
    rng = np.random.default_rng(seed)
    rows = min(_RESAMPLES, max(1, _WEIGHTS // max(1, anomalous.size)))
    for first in range(0, replicates, rows):
        weights = np.zeros((min(rows, replicates - first), anomalous.size))
        for images in (np.flatnonzero(anomalous), np.flatnonzero(~anomalous)):
            if images.size:
                weights[:, images] = _drawn(rng, len(weights), images.size)
        yield weights


def _drawn(rng: np.random.Generator, rows: int, count: int) -> NDArray[np.intp]:
    """Return how often each of some images is drawn in as many draws, (rows, count)."""
    drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
