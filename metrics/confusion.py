"""Right and wrong verdicts on images at a threshold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metrics.checks import checked_images


@dataclass(frozen=True)
class Confusion:
    """Numbers of images by label and verdict.

    Attributes
    ----------
    hits, misses : int
        Anomalous images judged anomalous (true positives, TP), and judged normal (false negatives, FN).
    false_alarms, correct_rejections : int
        Normal images judged anomalous (false positives, FP), and judged normal (true negatives, TN).

    Examples
    --------
    >>> confusion = Confusion(hits=5, misses=12, false_alarms=1, correct_rejections=5)
    >>> confusion.anomalous, confusion.normal, round(confusion.precision, 3), round(confusion.recall, 3)
    (17, 6, 0.833, 0.294)
    """

    hits: int
    misses: int
    false_alarms: int
    correct_rejections: int

    @property
    def anomalous(self) -> int:
        """Number of anomalous images: TP + FN."""
        return self.hits + self.misses

    @property
    def normal(self) -> int:
        """Number of normal images: FP + TN."""
        return self.false_alarms + self.correct_rejections

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN where no image is judged anomalous."""
        return _ratio(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); NaN without anomalous images."""
        return _ratio(self.hits, self.anomalous)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN where no image is anomalous or judged so."""
        return _ratio(2 * self.hits, 2 * self.hits + self.false_alarms + self.misses)

    def __add__(self, other: "Confusion") -> "Confusion":
        """Add the numbers of other images."""
        return Confusion(
            self.hits + other.hits,
            self.misses + other.misses,
            self.false_alarms + other.false_alarms,
            self.correct_rejections + other.correct_rejections,
        )


def count_verdicts(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Confusion:
    """Count right and wrong verdicts: an image is judged anomalous if its score is at or above the threshold.

    Parameters
    ----------
    labels : bool or {0, 1} array (N,)
        True where an image is anomalous; there may be one class only.
    scores : float array (N,)
        Image scores; a higher score means more anomalous.
    threshold : float
        In units of the scores.

    Raises
    ------
    MetricError
        As `metrics.image_auroc`.

    Examples
    --------
    >>> count_verdicts([0, 0, 1, 1, 1], [0.1, 0.4, 0.2, 0.4, 0.8], threshold=0.4)
    Confusion(hits=2, misses=1, false_alarms=1, correct_rejections=1)
    """
    labels, scores, _ = checked_images(labels, scores)
    judged = scores >= np.float64(threshold)  # a Python float would be rounded to the scores' precision
    hits, alarms = int(np.count_nonzero(judged & labels)), int(np.count_nonzero(judged))
    anomalous = int(np.count_nonzero(labels))
    return Confusion(hits, anomalous - hits, alarms - hits, labels.size - anomalous - (alarms - hits))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else np.nan
