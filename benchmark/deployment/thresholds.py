"""The thresholds by which a command judges: those of the detector, or of normal images that the user has."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.detector import Detector
from benchmark.errors import BenchmarkError
from metrics import JUDGES_MAPS, THRESHOLD_POLICIES, is_oracle, quantile_thresholds
from store.predictions import Threshold
from store.text import counted


@dataclass(frozen=True)
class FromNormal:
    """A rule for thresholds from normal images: one of a quantile and a number of standard deviations.

    Attributes
    ----------
    quantile
        The quantile of the images' scores, and of the largest pixels of their maps.
    sigma
        The number of standard deviations above the mean of each.
    """

    quantile: float | None = None
    sigma: float | None = None

    @property
    def policy(self) -> str:
        """The rule in one word."""
        return f"quantile_{self.quantile:g}" if self.quantile is not None else f"mean_{self.sigma:g}_sigma"

    def threshold(self, scores: Sequence[float], map_max: Sequence[float], where: str) -> Threshold:
        """Return the thresholds from the scores of normal images and the largest pixels of their maps.

        Raises
        ------
        BenchmarkError
            If there are too few images.
        """
        few, least = "", 2 if self.quantile is None else 1
        if len(scores) < least:
            raise BenchmarkError(
                f"--threshold-from {where}: found {counted(len(scores), 'image')} that can be read; expected {least} "
                "or more"
            )
        if self.quantile is not None:
            pixel, image = quantile_thresholds(scores, map_max, self.quantile)
            if len(scores) * (1 - self.quantile) < 1:
                few = (
                    f"{counted(len(scores), 'normal image')} are few for the quantile {self.quantile:g}, which lies "
                    "next to the largest of their scores: other normal images may well exceed it."
                )
        else:
            assert self.sigma is not None
            image, pixel = (
                float(np.mean(values) + self.sigma * np.std(values, ddof=1)) for values in (scores, map_max)
            )
        return Threshold(
            self.policy, image, pixel, f"from {counted(len(scores), 'normal image')} in {where}", warning=few
        )


def threshold_of(detector: Detector, policy: str | None) -> Threshold | None:
    """Return the thresholds of a detector by a policy, by default that of its cell; None if it has none.

    Raises
    ------
    BenchmarkError
        If the detector has no thresholds by this policy.
    """
    chosen = policy or detector.policy or ""
    if chosen not in detector.thresholds:
        if policy is None:
            return None
        known = ", ".join(detector.thresholds) or "none"
        raise BenchmarkError(
            f"--policy {policy}: the detector has no such thresholds; known: {known}; --threshold-from FOLDER takes "
            "them from normal images"
        )
    found = detector.thresholds[chosen]
    return Threshold(
        chosen,
        float(found["image"]),
        float(found["pixel"]),
        "of the detector's cell",
        judges_maps=chosen == JUDGES_MAPS,
        warning=_oracle_warning(chosen, detector),
    )


def _oracle_warning(policy: str, detector: Detector) -> str:
    """Return what makes the verdicts of a policy doubtful, and the alternatives."""
    if policy not in THRESHOLD_POLICIES or not is_oracle(policy):
        return ""
    honest = [name for name in detector.thresholds if name in THRESHOLD_POLICIES and not is_oracle(name)]
    ways = [
        *(f"--policy {name}" for name in honest),
        "--threshold-from FOLDER with normal images of your own",
    ]
    return (
        f"The threshold is an oracle: {policy} chose it with the labels of the detector's test images, which are "
        f"unavailable in production, so expect more misses and false alarms than the benchmark reports. Instead use "
        f"{', or '.join(ways)}."
    )
