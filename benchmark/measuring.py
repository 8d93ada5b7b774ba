"""From scores to measures."""

import logging
from typing import TYPE_CHECKING

import numpy as np

from benchmark.scoring import Scores
from benchmark.settings.evaluation import Evaluation
from metrics import MEASURES, Measures, evaluate

if TYPE_CHECKING:
    from benchmark.data.images import StoredImages

log = logging.getLogger(__name__)


def measure(
    settings: Evaluation, stored: "StoredImages", scores: Scores, validation: Scores | None
) -> Measures:
    """Take all measures of the test images; pixel measures of those with ground truth, if others lack it.

    Parameters
    ----------
    stored
        The test images, for labels and masks.
    validation
        Scores of held-out normal images, for the threshold policies that need them; None: there are none.

    Raises
    ------
    MetricError
        See `metrics.evaluate`.
    """
    _warn_of_missing_truth(stored)
    measures = evaluate(
        scores.maps,
        stored.masks,
        np.array([sample.label for sample in stored.samples]),
        scores.images,
        has_truth=None if stored.has_truth.all() else stored.has_truth,
        threshold_policy=settings.threshold,
        validation_scores=validation.images if validation else None,
        validation_max=validation.map_max if validation else None,
        validation_maps=validation.maps if validation else None,
        quantile=settings.quantile,
        fpr_limit=settings.fpr_limit,
        pro_variants=tuple(settings.pro_variants),
    )
    # that pixel measures need masks, the check of the data says once per category, if masks are expected at all
    missing = {
        name: cause
        for name, cause in measures.missing.items()
        if stored.masks is not None or MEASURES[name].level == "image"
    }
    if missing:
        causes = "; ".join(sorted(set(missing.values())))
        log.warning("undefined, so left out: %s (%s)", ", ".join(missing), causes)
    return measures


def _warn_of_missing_truth(stored: "StoredImages") -> None:
    """Say how many images the pixel measures leave out; without any mask, there are no such measures."""
    unknown = [sample for sample, known in zip(stored.samples, stored.has_truth, strict=True) if not known]
    if unknown and stored.masks is not None:
        log.warning(
            "pixel measures leave out %d of %d anomalous test images, which have no ground truth (the first is %s)",
            len(unknown),
            sum(sample.label for sample in stored.samples),
            unknown[0].image,
        )
