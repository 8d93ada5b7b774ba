"""The measures of resampled test images, for intervals."""

import numpy as np

from benchmark.cell import Cell
from benchmark.data.file_digests import FileDigests
from benchmark.data.images import StoredImages, content_digest
from benchmark.scoring import Scores
from metrics import Measures, Replicates, bootstrap


def resample(cell: Cell, stored: StoredImages, scores: Scores, measures: Measures) -> Replicates | None:
    """Take the measures of a cell on resamples of its test images; None if `evaluation.bootstrap` is 0.

    The contents of the test images are the seed: all methods of a category have the same resamples, and the categories
    have independent ones.

    Raises
    ------
    MetricError
        See `metrics.bootstrap`.
    """
    settings = cell.evaluation
    if not settings.bootstrap:
        return None
    digest = content_digest(cell.category, "test", FileDigests(cell.settings.cache_dir))
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
