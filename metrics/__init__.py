"""The measures of a visual anomaly detector: pure functions of numpy arrays.

Count the pixels of a test set once, and take its measures from the counts:

>>> pixels = count_pixels([[[0.1, 0.5], [0.5, 0.9]]], [[[0, 0], [1, 1]]])
>>> pixel_auroc(pixels), dice_max(pixels)
(0.875, (0.8, 0.5))

or take all of them with `evaluate`. Maps and masks may lie on disk. A measure that is undefined on its input is NaN.
"""

from metrics.aupimo import aupimo, aupimo_of_images
from metrics.auroc import image_auroc, pixel_auroc
from metrics.average_precision import image_ap, pixel_ap
from metrics.bootstrap import Replicates, bootstrap, resamples
from metrics.confusion import Confusion, count_verdicts
from metrics.curves import image_roc, overlaps_at, pixel_roc, pro_curve
from metrics.dice import dice, dice_image, dice_max
from metrics.errors import MetricError
from metrics.evaluate import Measures, evaluate
from metrics.f1 import best_f1_threshold, image_f1
from metrics.held_out import held_out_thresholds
from metrics.intervals import CONFIDENCE, interval, interval_of_difference
from metrics.iou import iou
from metrics.mean_3std import mean_3std_thresholds
from metrics.pixels import PixelCounts, count_pixels
from metrics.policies import FROM_HELD_OUT, HELD_OUT_POLICIES, JUDGES_MAPS, THRESHOLD_POLICIES, is_oracle
from metrics.precision import image_precision
from metrics.pro import pro, pro_of_regions
from metrics.pro_variants import pro_official_100, pro_per_image_200, pro_rescaled
from metrics.quantiles import quantile_thresholds
from metrics.recall import image_recall
from metrics.regions import Regions, find_regions
from metrics.registry import MEASURES, PRO_VARIANTS, Measure, MeasureInputs, with_companions
from metrics.sorted_out import found_bad, passed_good

__all__ = [
    "CONFIDENCE",
    "FROM_HELD_OUT",
    "HELD_OUT_POLICIES",
    "JUDGES_MAPS",
    "MEASURES",
    "PRO_VARIANTS",
    "THRESHOLD_POLICIES",
    "Confusion",
    "Measure",
    "MeasureInputs",
    "Measures",
    "MetricError",
    "PixelCounts",
    "Regions",
    "Replicates",
    "aupimo",
    "aupimo_of_images",
    "best_f1_threshold",
    "bootstrap",
    "count_pixels",
    "count_verdicts",
    "dice",
    "dice_image",
    "dice_max",
    "evaluate",
    "find_regions",
    "found_bad",
    "held_out_thresholds",
    "image_ap",
    "image_auroc",
    "image_f1",
    "image_precision",
    "image_recall",
    "image_roc",
    "interval",
    "interval_of_difference",
    "iou",
    "is_oracle",
    "mean_3std_thresholds",
    "overlaps_at",
    "passed_good",
    "pixel_ap",
    "pixel_auroc",
    "pixel_roc",
    "pro",
    "pro_curve",
    "pro_of_regions",
    "pro_official_100",
    "pro_per_image_200",
    "pro_rescaled",
    "quantile_thresholds",
    "resamples",
    "with_companions",
]
