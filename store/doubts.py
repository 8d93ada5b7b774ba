"""Signs that a training ended too early or taught nothing, or that a threshold comes from too few images.

There is one rule for the log of a cell and for its reports.
"""

import math
from collections.abc import Sequence
from typing import Literal

MIN_STEPS = 100
"""Fewer optimiser steps than this are too few for a stage.

Published schedules take 200 steps or more on the smallest category of MVTec AD (toothbrush, 60 train images: 200 of
STFPM and of the thesis' methods, 800 of RD, 1920 of AST, 4800 of uninformed students), and half of the fewest has
nearly their result: STFPM as published, but with 17 images of MVTec AD's bottle and so one step per epoch, reaches
after 15, 30, 50 and 100 steps image AUROC .35, .99, 1.00 and 1.00, pixel AUROC .59, .85, .97 and .98, PRO .28, .72, .93
and .95.
"""
MIN_IMAGES = 60
"""Train images of the smallest category of MVTec AD (toothbrush), on which the schedules were published.

Most schedules count epochs, so they take fewer optimiser steps on fewer images: STFPM 200 instead of 400 on 17 images.
"""
PIXEL_CHANCE = 0.6
"""Up to this pixel AUROC, maps hardly tell anomalous pixels from others.

The pixels of an image are not independent, so there is no limit as for images. Defects are seldom at the edge of an
image: maps that are equal for all images and merely fall off from the middle have a pixel AUROC above 0.5.
"""
LAST_PART = 5
"""The end of a training is the last 1/5 of its epochs; it is compared with the 1/5 before."""
MIN_VALUES = 5
"""From fewer values nothing is concluded."""
STILL_FALLING = 0.15
"""A curve still falls if the mean of its last part is lower by this share of the curve's whole range.

A straight line falls by about 0.2. STFPM's held-out value, with 100 epochs, falls by less than 0.01 at
the end (17 and 60 images of MVTec AD's bottle), but by 0.35 after 15 epochs of 17 images, and by 0.2 after 30. Of 901
curves of held-out values and losses of all methods under the quick protocol, with 5 to 30 epochs, one falls by 0.15 or
more, and half of them by less than 0.02. A share of the range depends neither on the unit of a loss nor on its sign,
which for a likelihood may be negative.
"""
NORMAL_QUANTILE = 1.645
"""One in 20 values that are normally distributed lies more than this many standard deviations above the mean."""

Verdict = Literal["", "no better than chance", "worse than chance"]


def too_few_steps(steps: int) -> bool:
    """Tell whether a stage took so few optimiser steps that its network has hardly been trained."""
    return steps < MIN_STEPS


def few_images(images: int) -> bool:
    """Tell whether a category has fewer train images than any on which the schedules were published."""
    return images < MIN_IMAGES


def still_improving(values: Sequence[float], best: int) -> bool:
    """Tell whether a stage ended while its curve was still falling.

    Parameters
    ----------
    values
        The held-out value of every epoch or, where none chooses the epoch, the training loss.
    best
        The epoch whose weights were kept, from 1: if it is not among the last ones, more epochs were of no use.
    """
    part = max(len(values) // LAST_PART, 1)
    if len(values) < MIN_VALUES or best <= len(values) - part:
        return False
    before, last = values[-2 * part : -part], values[-part:]
    fall = (sum(before) - sum(last)) / part
    return fall > STILL_FALLING * (max(values) - min(values))


def chance_auroc(positives: int, negatives: int) -> float:
    """Return the image AUROC that scores without any information exceed in one of 20 cases.

    Such an AUROC has the mean 1/2 and the variance (p + n + 1) / (12 p n), as it is the Mann-Whitney statistic divided
    by p n; for many images it is normally distributed. NaN if one of the two kinds is missing.

    >>> round(chance_auroc(60, 20), 3)
    0.623
    """
    if not positives or not negatives:
        return math.nan
    variance = (positives + negatives + 1) / (12 * positives * negatives)
    return min(0.5 + NORMAL_QUANTILE * math.sqrt(variance), 1.0)


def pixel_chance_level(pixel_auroc: float) -> Literal["", "worse than chance", "close to chance"]:
    """Compare a pixel AUROC with 0.5; an undefined one has no verdict.

    >>> pixel_chance_level(0.549)
    'close to chance'
    """
    if pixel_auroc < 0.5:
        return "worse than chance"
    return "close to chance" if pixel_auroc <= PIXEL_CHANCE else ""


def false_alarm_odds(images: int, quantile: float) -> int:
    """Return n if about one of n normal images exceeds a threshold that too few held-out images give; otherwise 0.

    They are too few if the quantile lies between their two largest scores; the quantile 1 asks for the largest. A
    further normal image has a score above all of them with the probability 1 / (images + 1).

    >>> false_alarm_odds(6, 0.995), false_alarm_odds(400, 0.995)
    (7, 0)
    """
    is_between = quantile < 1 and (images - 1) * (1 - quantile) < 1
    return images + 1 if images and is_between else 0


def chance_level(image_auroc: float, limit: float) -> Verdict:
    """Compare an image AUROC with the limit of `chance_auroc`; an undefined one has no verdict."""
    if image_auroc < 0.5:
        return "worse than chance"
    return "no better than chance" if image_auroc <= limit and image_auroc < 1 else ""
