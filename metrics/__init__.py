"""The measures of a visual anomaly detector: pure functions of numpy arrays.

Rank the pixels of a test set once, and take its measures from the ranks:

>>> scores = rank_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]])
>>> pixel_auroc(scores), dice_max(scores)
(0.875, (0.8, 0.5))

or take all of them with `evaluate`; of maps that are not at hand all at once, `StreamingPixels` takes them. A
measure that is undefined on its input is NaN.
"""

from metrics.curves import overlaps_at, pixel_roc, pro_curve, pro_of_regions
from metrics.errors import MetricError
from metrics.evaluation import Evaluation, evaluate
from metrics.images import best_f1_threshold, image_ap, image_auroc, image_f1, image_roc
from metrics.names import MEASURES, THRESHOLD_POLICIES, Measure, is_oracle
from metrics.pixels import PixelScores, dice, dice_image, dice_max, pixel_ap, pixel_auroc, pro, rank_pixels
from metrics.pooled import EXACT_PIXELS
from metrics.pro_variants import PRO_VARIANTS, pro_official_100, pro_per_image_200, pro_rescaled
from metrics.regions import Regions, find_regions
from metrics.streaming import StreamingPixels

__all__ = [
    "EXACT_PIXELS",
    "MEASURES",
    "PRO_VARIANTS",
    "THRESHOLD_POLICIES",
    "Evaluation",
    "Measure",
    "MetricError",
    "PixelScores",
    "Regions",
    "StreamingPixels",
    "best_f1_threshold",
    "dice",
    "dice_image",
    "dice_max",
    "evaluate",
    "find_regions",
    "image_ap",
    "image_auroc",
    "image_f1",
    "image_roc",
    "is_oracle",
    "overlaps_at",
    "pixel_ap",
    "pixel_auroc",
    "pixel_roc",
    "pro",
    "pro_curve",
    "pro_of_regions",
    "pro_official_100",
    "pro_per_image_200",
    "pro_rescaled",
    "rank_pixels",
]
