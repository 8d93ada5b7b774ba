"""The names of the measures, for tables: what each is called and what it may be compared with."""

from dataclasses import dataclass
from typing import Literal

from metrics.checks import known_name

#: How a run's thresholds are chosen, and whether that choice looks at the test labels or masks.
_POLICIES = {"f1_image": True, "dice_max": True, "train_quantile": False}

THRESHOLD_POLICIES: tuple[str, ...] = tuple(_POLICIES)


def is_oracle(policy: str) -> bool:
    """Whether a threshold policy uses the ground truth of the test set, which production does not have.

    Raises
    ------
    MetricError
        If the policy is unknown.

    Examples
    --------
    >>> is_oracle("f1_image"), is_oracle("train_quantile")
    (True, False)
    """
    return _POLICIES[known_name("threshold_policy", policy, _POLICIES)]


@dataclass(frozen=True)
class Measure:
    """One measure, as a report presents it.

    Attributes
    ----------
    name : str
        The key in results.
    label : str
        What a table heading prints.
    level : 'image' or 'pixel'
        Whether it needs labels of images or masks.
    note : str
        One sentence for a footnote.
    oracle : bool
        Whether it is an oracle under every threshold policy.
    at_threshold : bool
        Whether it is taken at one of the run's thresholds, and so is an oracle whenever the policy is.
    """

    name: str
    label: str
    level: Literal["image", "pixel"]
    note: str
    oracle: bool = False
    at_threshold: bool = False

    def is_oracle(self, policy: str) -> bool:
        """Whether its value, under this threshold policy, uses the ground truth of the test set.

        Examples
        --------
        >>> MEASURES["dice"].is_oracle("f1_image"), MEASURES["dice"].is_oracle("train_quantile")
        (True, False)
        """
        return self.oracle or (self.at_threshold and is_oracle(policy))


#: Every measure by name, in the order of the tables.
MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("image_auroc", "Image AUROC", "image", "Area under the ROC of image scores."),
        Measure("pixel_auroc", "Pixel AUROC", "pixel", "Area under the ROC of all test pixels, ties half."),
        Measure("pro", "PRO (exact)", "pixel", "Per-region overlap up to the FPR limit, exact."),
        Measure(
            "pro_official_100",
            "PRO (official, 100 thresholds)",
            "pixel",
            "As the MVTec 3D-AD evaluation code: 100 thresholds equidistant in rank.",
        ),
        Measure(
            "pro_per_image_200",
            "PRO (per image, 200 thresholds)",
            "pixel",
            "As the released reverse-distillation code: mean over defective images, FPR over its maximum.",
        ),
        Measure(
            "pro_rescaled",
            "PRO (rescaled)",
            "pixel",
            "As the released STFPM code: the overlap itself is min-max rescaled, which inflates it.",
        ),
        Measure("dice", "Dice", "pixel", "Over all test pixels, at the pixel threshold.", at_threshold=True),
        Measure(
            "dice_image",
            "Dice (per image)",
            "pixel",
            "Mean over defective images of each one's Dice, at the pixel threshold.",
            at_threshold=True,
        ),
        Measure("dice_max", "Dice (max)", "pixel", "The largest Dice over all thresholds.", oracle=True),
        Measure("pixel_ap", "Pixel AP", "pixel", "Average precision of all test pixels."),
        Measure("image_f1", "Image F1", "image", "F1 of images at the image threshold.", at_threshold=True),
        Measure("image_ap", "Image AP", "image", "Average precision of image scores."),
    )
}
