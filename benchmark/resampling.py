"""The measures of resampled test images, for intervals."""

from typing import TYPE_CHECKING

import numpy as np

from benchmark.scoring import Scores
from benchmark.settings.evaluation import Evaluation
from metrics import Measures, Replicates, bootstrap

if TYPE_CHECKING:
    from benchmark.data.images import StoredImages


def resample(
    settings: Evaluation, stored: "StoredImages", scores: Scores, measures: Measures, digest: str
) -> Replicates:
    """Take the measures of `evaluation.bootstrap` resamples of the test images.

    Parameters
    ----------
    stored
        The test images, for labels.
    measures
        Those of the test images.
    digest
        The digest of their contents, in hexadecimal digits. It is the seed: all methods have the same resamples of a
        category, and categories have independent ones.

    Raises
    ------
    MetricError
        See `metrics.bootstrap`.
    """
    return bootstrap(
        measures,
        scores.maps,
        np.array([sample.label for sample in stored.samples]),
        scores.images,
        scores.map_max,
        threshold_policy=settings.threshold,
        replicates=settings.bootstrap,
        seed=int(digest, 16),
        has_truth=None if stored.has_truth.all() else stored.has_truth,
        fpr_limit=settings.fpr_limit,
    )
