"""Shifts of test images: their names and levels, and the measures of a detector under them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean

from store.tags import SHIFTED


@dataclass(frozen=True)
class Shift:
    """One kind of change.

    Attributes
    ----------
    parameter
        What the numbers of the levels are.
    levels
        The numbers of the levels 1 to 5; level 0 is the image itself.
    """

    parameter: str
    levels: tuple[float, float, float, float, float]


# Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019:
# the levels of CIFAR-10-C, and the radius of blur of ImageNet-C. Their images get only brighter and stay in place:
# darkness has the levels of brightness; rotation and translation end at 10 degrees and at 10 % of the side, the largest
# translation of Engstrom et al., "Exploring the Landscape of Spatial Robustness", ICML 2019.
SHIFTS: Mapping[str, Shift] = {
    "brightness": Shift("added to the value of HSV, 0 to 1", (0.05, 0.1, 0.15, 0.2, 0.3)),
    "darkness": Shift("subtracted from the value of HSV, 0 to 1", (0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": Shift("factor of the difference from the mean colour", (0.75, 0.5, 0.4, 0.3, 0.15)),
    "blur": Shift("radius of the defocused disk, pixels of 224 a side", (3, 4, 6, 8, 10)),
    "noise": Shift("standard deviation of Gaussian noise, of values 0 to 1", (0.04, 0.06, 0.08, 0.09, 0.1)),
    "jpeg": Shift("quality of the compression", (80, 65, 58, 50, 40)),
    "rotation": Shift("degrees, to either side", (2, 4, 6, 8, 10)),
    "translation": Shift("part of the side, in one of four directions", (0.02, 0.04, 0.06, 0.08, 0.1)),
}
"""The shifts by name, in the order of tables and figures."""

LEVELS = (1, 2, 3, 4, 5)
ALL = "all"
"""Stands for all shifts."""
UNSHIFTED = "none"
"""Stands in place of a shift where images are as they are, at level 0."""


@dataclass(frozen=True)
class ShiftedMeasures:
    """The measures of a cell's test images at one level of a shift.

    Attributes
    ----------
    shift, level, strength
        Name, level, and the number of the level; `UNSHIFTED`, 0 and 0 for the images as they are.
    image_auroc, pixel_auroc, pro
        NaN where undefined.
    image_f1, misses, false_alarms
        At the image threshold of the images as they are; NaN without a threshold.
    anomalous, normal
        Numbers of anomalous and normal images.
    """

    shift: str
    level: int
    strength: float
    image_auroc: float
    pixel_auroc: float
    pro: float
    image_f1: float
    misses: float
    false_alarms: float
    anomalous: int
    normal: int


SHIFT_COLUMNS: Mapping[str, type] = {field.name: field.type for field in fields(ShiftedMeasures)}  # type: ignore[misc]
"""Columns of the file of these measures: those of `ShiftedMeasures`."""


def names_in(option: str | Sequence[str]) -> Sequence[str]:
    """Return the names in `evaluation.shifts`, which is one or a list of them."""
    return [option] if isinstance(option, str) else option


def named_shifts(option: str | Sequence[str]) -> tuple[str, ...]:
    """Return the shifts that `evaluation.shifts` asks for.

    Examples
    --------
    >>> named_shifts("blur"), named_shifts("all")[:3], named_shifts([])
    (('blur',), ('brightness', 'darkness', 'contrast'), ())
    """
    names = names_in(option)
    return tuple(SHIFTS if ALL in names else names)


def mean_aurocs(measured: Iterable[ShiftedMeasures]) -> dict[str, float]:
    """Return the metrics of a cell: for each shift the mean image AUROC over its levels, NaN where undefined."""
    values: dict[str, list[float]] = {}
    for each in measured:
        if each.shift != UNSHIFTED:
            values.setdefault(each.shift, []).append(each.image_auroc)
    return {
        SHIFTED + name: math.nan if any(map(math.isnan, own)) else fmean(own) for name, own in values.items()
    }
