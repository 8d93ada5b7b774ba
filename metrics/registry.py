"""Every measure with its name, its texts for tables and its function, and the threshold policies.

To add a measure, write its function in a file of its own and add one entry to `MEASURES`: `metrics.evaluate` computes
all that are listed here, and reports present them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics.aupimo import aupimo
from metrics.auroc import image_auroc, pixel_auroc
from metrics.average_precision import image_ap, pixel_ap
from metrics.dice import dice, dice_image, dice_max
from metrics.f1 import image_f1
from metrics.iou import iou
from metrics.pixels import PixelCounts
from metrics.policies import is_oracle
from metrics.precision import image_precision
from metrics.pro import pro
from metrics.pro_variants import pro_official_100, pro_per_image_200, pro_rescaled
from metrics.recall import image_recall
from metrics.slices import Stack
from metrics.sorted_out import found_bad, passed_good

#: Further limits of the false positive rate to which PRO is integrated.
FURTHER_LIMITS = (0.05, 0.01)


@dataclass(frozen=True)
class MeasureInputs:
    """The inputs from which a measure is computed.

    Attributes
    ----------
    labels, scores : arrays (N,)
        Whether each image is anomalous, and its score.
    pixels : PixelCounts
        The counts of all pixels.
    maps, masks : (N, H, W)
        For measures that look at one image at a time; they may lie on disk.
    fpr_limit : float
        The limit of the false positive rate of PRO.
    threshold, image_threshold : float
        The run's thresholds, in units of the maps and of ``judged_scores``; NaN where undefined.
    judged_scores : float array (N,)
        The scores that ``image_threshold`` is compared with: ``scores``, or the largest pixel of each map.
    """

    labels: NDArray[np.bool_]
    scores: NDArray[np.floating]
    pixels: PixelCounts
    maps: Stack
    masks: Stack
    fpr_limit: float
    threshold: float
    image_threshold: float
    judged_scores: NDArray[np.floating]


@dataclass(frozen=True)
class Measure:
    """One measure, as it is computed and as a report presents it; a larger value is better.

    Attributes
    ----------
    name : str
        The key in results.
    label : str
        The heading of its column in tables.
    level : 'image' or 'pixel'
        Whether it needs labels of images or masks; without these, or with one class only, it is NaN and not computed.
    note : str
        One sentence for a footnote.
    compute : function of MeasureInputs
        Returns its value, NaN where undefined.
    oracle : bool
        Whether it is an oracle under every threshold policy.
    at_threshold : bool
        Whether it is taken at one of the run's thresholds, and so is an oracle whenever the policy is.
    companion : str
        The measure that tables show next to it, as it is easily misread alone; empty: none.
    on_request : bool
        Whether reports leave it out unless it is asked for by name; it is recorded all the same.
    undefined : str
        Why it is NaN where its level and thresholds are defined.
    pro_variant : str
        The name by which a variant of PRO is requested; empty for measures that are always computed.
    """

    name: str
    label: str
    level: Literal["image", "pixel"]
    note: str
    compute: Callable[[MeasureInputs], float] = field(repr=False, compare=False)
    oracle: bool = False
    at_threshold: bool = False
    companion: str = ""
    on_request: bool = False
    undefined: str = "undefined on this test set"
    pro_variant: str = ""

    def is_oracle(self, policy: str) -> bool:
        """Whether its value, under this threshold policy, uses the ground truth of the test set.

        Examples
        --------
        >>> MEASURES["dice"].is_oracle("f1_image"), MEASURES["dice"].is_oracle("train_quantile")
        (True, False)
        """
        return self.oracle or (self.at_threshold and is_oracle(policy))


_FLAT = "the released code has no value for a constant map or a flat curve"


def _pro_up_to(data: MeasureInputs, limit: float) -> float:
    return pro(data.pixels, limit)


#: Every measure by name, in the order of the tables.
MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure(
            "image_auroc",
            "Image AUROC",
            "image",
            "Area under the ROC of image scores.",
            lambda data: image_auroc(data.labels, data.scores),
        ),
        Measure(
            "pixel_auroc",
            "Pixel AUROC",
            "pixel",
            "Area under the ROC of all test pixels, ties half.",
            lambda data: pixel_auroc(data.pixels),
        ),
        Measure(
            "pro",
            "PRO (exact)",
            "pixel",
            "Per-region overlap up to the FPR limit, exact.",
            lambda data: pro(data.pixels, data.fpr_limit),
        ),
        Measure(
            "pro_official_100",
            "PRO (official, 100 thresholds)",
            "pixel",
            "As the MVTec 3D-AD evaluation code: 100 thresholds equidistant in rank.",
            lambda data: pro_official_100(data.pixels, data.fpr_limit),
            undefined=_FLAT,
            pro_variant="official_100",
        ),
        Measure(
            "pro_per_image_200",
            "PRO (per image, 200 thresholds)",
            "pixel",
            "As the released reverse-distillation code: mean over anomalous images, FPR over its maximum.",
            lambda data: pro_per_image_200(data.maps, data.masks, data.fpr_limit),
            undefined=_FLAT,
            pro_variant="per_image_200",
        ),
        Measure(
            "pro_rescaled",
            "PRO (rescaled)",
            "pixel",
            "As the released STFPM code: the overlap itself is min-max rescaled, which inflates it.",
            lambda data: pro_rescaled(data.pixels, data.fpr_limit),
            undefined=_FLAT,
            pro_variant="rescaled",
        ),
        *(
            Measure(
                f"pro_{limit:g}",
                f"PRO (FPR ≤ {limit:g})",
                "pixel",
                f"Per-region overlap up to a false positive rate of {limit:g}, exact.",
                partial(_pro_up_to, limit=limit),
                on_request=True,
            )
            for limit in FURTHER_LIMITS
        ),
        Measure(
            "aupimo",
            "AUPIMO",
            "pixel",
            "Recall of an anomalous image's pixels over log false positive rates of normal images, 1e-5 to 1e-4; mean.",
            lambda data: aupimo(data.maps, data.masks),
            on_request=True,
            undefined="no image without an anomalous pixel",
        ),
        Measure(
            "dice",
            "Dice",
            "pixel",
            "Over all test pixels, at the pixel threshold; Dice (max) tells how much of a low value is due to it.",
            lambda data: dice(data.pixels, data.threshold),
            at_threshold=True,
            companion="dice_max",
        ),
        Measure(
            "dice_image",
            "Dice (per image)",
            "pixel",
            "Mean over anomalous images of each one's Dice, at the pixel threshold.",
            lambda data: dice_image(data.maps, data.masks, data.threshold),
            at_threshold=True,
        ),
        Measure(
            "dice_max",
            "Dice (max)",
            "pixel",
            "The largest Dice over all test pixels that any one threshold gives: the upper bound of Dice.",
            lambda data: dice_max(data.pixels)[0],
            oracle=True,
        ),
        Measure(
            "iou",
            "IoU",
            "pixel",
            "Intersection over union of all test pixels, at the pixel threshold.",
            lambda data: iou(data.pixels, data.threshold),
            at_threshold=True,
            on_request=True,
        ),
        Measure(
            "pixel_ap",
            "Pixel AP",
            "pixel",
            "Average precision of all test pixels.",
            lambda data: pixel_ap(data.pixels),
        ),
        Measure(
            "image_f1",
            "Image F1",
            "image",
            "F1 of images at the image threshold.",
            lambda data: image_f1(data.labels, data.judged_scores, data.image_threshold),
            at_threshold=True,
        ),
        Measure(
            "image_precision",
            "Image precision",
            "image",
            "Share of the images judged anomalous, at the image threshold, that are; the others are false alarms.",
            lambda data: image_precision(data.labels, data.judged_scores, data.image_threshold),
            at_threshold=True,
        ),
        Measure(
            "image_recall",
            "Image recall",
            "image",
            "Share of the anomalous images that are judged so, at the image threshold; the others are misses.",
            lambda data: image_recall(data.labels, data.judged_scores, data.image_threshold),
            at_threshold=True,
        ),
        Measure(
            "image_ap",
            "Image AP",
            "image",
            "Average precision of image scores.",
            lambda data: image_ap(data.labels, data.scores),
        ),
        Measure(
            "pg2",
            "PG2",
            "image",
            "Share of the normal images that pass where at most 2 % of the anomalous ones are missed.",
            lambda data: passed_good(data.labels, data.scores),
            oracle=True,
            on_request=True,
        ),
        Measure(
            "pb2",
            "PB2",
            "image",
            "Share of the anomalous images that are found where at most 2 % of the normal ones raise an alarm.",
            lambda data: found_bad(data.labels, data.scores),
            oracle=True,
            on_request=True,
        ),
    )
}


def with_companions(names: Iterable[str]) -> list[str]:
    """Return the names of measures, each followed by that of its companion.

    Examples
    --------
    >>> with_companions(["pro", "dice", "image_f1"])
    ['pro', 'dice', 'dice_max', 'image_f1']
    """
    pairs = ((name, MEASURES[name].companion if name in MEASURES else "") for name in names)
    return list(dict.fromkeys(name for pair in pairs for name in pair if name))


#: The variants of PRO by name; ``exact`` is the measure ``pro``, any other one ``pro_<variant>``.
PRO_VARIANTS: tuple[str, ...] = (
    "exact",
    *(each.pro_variant for each in MEASURES.values() if each.pro_variant),
)
