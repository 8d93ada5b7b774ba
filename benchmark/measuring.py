"""From scores to measures."""

import logging
from typing import TYPE_CHECKING

import numpy as np

from benchmark.scoring import Scores
from benchmark.settings.evaluation import Evaluation
from metrics import Measures, evaluate

if TYPE_CHECKING:
    from benchmark.data.images import StoredImages

log = logging.getLogger(__name__)


def measure(
    settings: Evaluation, stored: "StoredImages", scores: Scores, validation: Scores | None
) -> Measures:
    """Take all measures of the test images.

    Parameters
    ----------
    stored
        The test images, for labels and masks.
    validation
        Scores of held-out normal images, for the threshold policy `train_quantile`; None: there are none.

    Raises
    ------
    MetricError
        See `metrics.evaluate`.
    """
    measures = evaluate(
        scores.maps,
        stored.masks,
        np.array([sample.label for sample in stored.samples]),
        scores.images,
        threshold_policy=settings.threshold,
        validation_scores=validation.images if validation else None,
        validation_max=validation.map_max if validation else None,
        quantile=settings.quantile,
        fpr_limit=settings.fpr_limit,
        pro_variants=tuple(settings.pro_variants),
    )
    if measures.missing:
        causes = "; ".join(sorted(set(measures.missing.values())))
        log.warning("undefined, so left out: %s (%s)", ", ".join(measures.missing), causes)
    return measures
