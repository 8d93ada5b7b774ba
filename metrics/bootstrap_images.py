"""The image measures of resamples, from how often each image is drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.sorted_out import RATE, permitted

Values = dict[str, NDArray[np.float64]]
"""Values of some measures on r resamples, (r,) each."""


@dataclass(frozen=True, eq=False)
class ImageResampler:
    """Takes the image measures of resamples of N images, exactly.

    Attributes
    ----------
    labels : bool array (N,)
        True where an image is anomalous.
    order : int array (N,)
        Positions of the images, the highest score first.
    ends : int array (U,)
        In this order, the last place of each distinct score.
    judged : bool array (N,), or None
        True where an image is judged anomalous at the run's threshold; None: there is none.
    """

    labels: NDArray[np.bool_]
    order: NDArray[np.intp]
    ends: NDArray[np.intp]
    judged: NDArray[np.bool_] | None

    @classmethod
    def of(
        cls, labels: NDArray[np.bool_], scores: NDArray[np.floating], judged: NDArray[np.bool_] | None
    ) -> "ImageResampler":
        """Sort images by their scores, (N,)."""
        order = np.argsort(-scores)
        return cls(labels, order, np.flatnonzero(np.diff(scores[order], append=-np.inf)), judged)

    def measures(self, weights: NDArray[np.float64]) -> Values:
        """Return the image measures of resamples; `weights` (r, N) say how often each image is drawn."""
        found, alarms = self._at_or_above(weights * self.labels), self._at_or_above(weights * ~self.labels)
        found_above, alarms_above = before(found), before(alarms)
        anomalous, normal = found[:, -1], alarms[:, -1]
        pairs = ((alarms - alarms_above) * (found + found_above)).sum(axis=1) / 2
        precision = ratio(
            found, found + alarms, undefined=0.0
        )  # 0 where nothing is found, which adds nothing
        return {
            "image_auroc": ratio(pairs, anomalous * normal),
            "image_ap": ratio(((found - found_above) * precision).sum(axis=1), anomalous),
            "pg2": _passed_good(found, alarms),
            "pb2": _found_bad(found, alarms),
            **({} if self.judged is None else self._at_threshold(weights, self.judged)),
        }

    def _at_or_above(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum the weights of the images at or above each distinct score, (r, U), the highest score first."""
        return np.cumsum(weights[:, self.order], axis=1)[:, self.ends]

    def _at_threshold(self, weights: NDArray[np.float64], judged: NDArray[np.bool_]) -> Values:
        hits, alarms = count_judged(weights, self.labels, judged)
        anomalous = weights @ self.labels
        return {
            "image_f1": ratio(2 * hits, hits + alarms + anomalous),
            "image_precision": ratio(hits, hits + alarms),
            "image_recall": ratio(hits, anomalous),
        }


def count_judged(
    weights: NDArray[np.float64], labels: NDArray[np.bool_], judged: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count the anomalous and the normal images of each resample that are judged anomalous, (r,) each."""
    return weights @ (judged & labels), weights @ (judged & ~labels)


def before(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each column the one before it, 0 for the first."""
    return np.hstack([np.zeros((len(counts), 1)), counts[:, :-1]])


def ratio(
    part: NDArray[np.float64], whole: NDArray[np.float64], undefined: float = np.nan
) -> NDArray[np.float64]:
    """Divide arrays; `undefined` where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, undefined), where=whole != 0)


def _passed_good(found: NDArray[np.float64], alarms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `metrics.passed_good` from the images at or above each distinct score.

    Its threshold is the lowest score at or below which lie more anomalous images than may be missed.
    """
    anomalous, normal = found[:, -1:], alarms[:, -1:]
    is_missed = anomalous - before(found) > permitted(RATE, anomalous)
    below = normal - _taken(alarms, np.count_nonzero(is_missed, axis=1) - 1)
    return ratio(below, normal)[:, 0]


def _found_bad(found: NDArray[np.float64], alarms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `metrics.found_bad` from the images at or above each distinct score.

    Anomalous images are found above the highest score with more false alarms than there may be.
    """
    anomalous, normal = found[:, -1:], alarms[:, -1:]
    above = _taken(before(found), np.argmax(alarms > permitted(RATE, normal), axis=1))
    return ratio(above, anomalous)[:, 0]


def _taken(values: NDArray[np.float64], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.take_along_axis(values, columns[:, None], axis=1)
