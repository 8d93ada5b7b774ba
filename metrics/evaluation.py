"""All measures of one test set in one call."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import binary_array, finite_array, fraction, known_name
from metrics.errors import MetricError
from metrics.images import best_f1_threshold, image_ap, image_auroc, image_f1
from metrics.names import MEASURES, THRESHOLD_POLICIES, is_oracle
from metrics.pixels import PixelScores
from metrics.pooled import EXACT_PIXELS, ExactPixels, StreamedPixels
from metrics.pro_variants import POOLED_PRO_VARIANTS, PRO_VARIANTS

__all__ = ["THRESHOLD_POLICIES", "Evaluation", "evaluate", "is_oracle"]


@dataclass(frozen=True)
class Evaluation:
    """The measures of one test set.

    Attributes
    ----------
    values : dict of str to float
        Every measure by name, in the order of `MEASURES`; NaN where undefined.
    threshold : float
        The pixel threshold, of ``dice`` and ``dice_image``; NaN where undefined.
    image_threshold : float
        The image threshold, of ``image_f1``; by the policy ``dice_max`` it is the pixel threshold. NaN where
        undefined.
    dice_max_threshold : float
        The threshold at which the pooled Dice is ``dice_max``; NaN where undefined.
    missing : dict of str to str
        For each measure that is NaN, a sentence that names the cause.
    pixels : PixelScores
        The ranked pixels, for curves and regions; none where there are no masks or where not ``exact``.
    exact : bool
        Whether the pixel measures are exact, as they are up to `EXACT_PIXELS`; beyond, they are those of
        `StreamingPixels`, which err by less than 1e-4.
    """

    values: dict[str, float]
    threshold: float
    image_threshold: float
    dice_max_threshold: float
    missing: dict[str, str]
    pixels: PixelScores = field(repr=False, compare=False)
    exact: bool = True


def evaluate(
    maps: ArrayLike,
    masks: ArrayLike | None,
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    threshold_policy: str = "f1_image",
    validation_scores: ArrayLike | None = None,
    validation_peaks: ArrayLike | None = None,
    quantile: float = 0.995,
    fpr_limit: float = 0.3,
    pro_variants: Collection[str] = ("exact",),
) -> Evaluation:
    """Compute every measure of one test set, sorting its pixels once.

    Above `EXACT_PIXELS`, they are read a few maps at a time (`StreamingPixels`): the memory needed beside the
    maps then stays the same, there are no curves and no single regions, and the PRO variants that rank all
    pixels, ``official_100`` and ``rescaled``, are NaN.

    One policy chooses two thresholds: one for pixels, in units of the maps, and one for images, in units of
    their scores. They are one number where every image's score is its peak, the largest pixel of its map.
    Otherwise images and pixels are linked by the peaks: an image is defective if any of its pixels is.

    Parameters
    ----------
    maps : float array (N, H, W)
        Anomaly maps; a higher score means more anomalous.
    masks : bool or {0, 1} array (N, H, W), or None
        True where a pixel is defective; None where the dataset has no masks.
    labels : bool or {0, 1} array (N,)
        True where an image is defective.
    scores : float array (N,)
        Image scores; a higher score means more anomalous.
    threshold_policy : str
        ``f1_image``: the image threshold maximises F1 on the test images by their scores, the pixel
        threshold by their peaks (oracle). ``dice_max``: the pixel threshold maximises Dice on the test
        pixels and judges the images too, by their peaks instead of their scores (oracle).
        ``train_quantile``: quantiles of ``validation_scores`` and of ``validation_peaks``.
    validation_scores, validation_peaks : float arrays (V,), optional
        Image scores and peaks of held-out defect-free train images.
    quantile : float
        The quantile of ``train_quantile``, in (0, 1], interpolated linearly between scores.
    fpr_limit : float
        The limit of the false positive rate of PRO, in (0, 1].
    pro_variants : collection of str
        Names in `PRO_VARIANTS`. ``pro`` is always the exact one; each other one is ``pro_<variant>``.

    Raises
    ------
    MetricError
        If an array cannot be measured, a policy or variant is unknown, or ``train_quantile`` lacks its
        scores or peaks.

    Examples
    --------
    >>> maps = np.array([[[0.125, 0.25]], [[0.25, 0.75]]])
    >>> result = evaluate(maps, None, labels=[0, 1], scores=maps.mean(axis=(1, 2)))
    >>> result.threshold, result.image_threshold, result.values["image_f1"]
    (0.75, 0.5, 1.0)
    >>> result.values["dice"], result.missing["dice"]
    (nan, 'no masks')
    """
    scores = finite_array("scores", scores, ndim=1)
    labels = binary_array("labels", labels, scores.shape)
    known_name("threshold_policy", threshold_policy, THRESHOLD_POLICIES)
    variants = {known_name("pro_variants", name, PRO_VARIANTS) for name in pro_variants} - {"exact"}

    pixels = (ExactPixels if np.size(maps) <= EXACT_PIXELS else StreamedPixels)(maps, masks)
    peaks = pixels.peaks
    if len(peaks) != len(scores):
        raise MetricError(f"scores: found {len(scores)}; accepted are {len(peaks)}, one for each map")
    best_dice, best_dice_threshold = pixels.dice_max()
    if threshold_policy == "f1_image":
        threshold = best_f1_threshold(labels, peaks)
        image_threshold = best_f1_threshold(labels, scores)
    elif threshold_policy == "dice_max":
        threshold = image_threshold = best_dice_threshold
    else:
        image_threshold = _train_quantile("validation_scores", validation_scores, quantile)
        threshold = _train_quantile("validation_peaks", validation_peaks, quantile)
    # Image scores may have another unit than pixels, so a threshold found on pixels judges peaks.
    judged = peaks if threshold_policy == "dice_max" else scores

    values = {
        "image_auroc": image_auroc(labels, scores),
        "pixel_auroc": pixels.pixel_auroc(),
        "pro": pixels.pro(fpr_limit),
        "dice": pixels.dice(threshold),
        "dice_image": pixels.dice_image(threshold),
        "dice_max": best_dice,
        "pixel_ap": pixels.pixel_ap(),
        "image_f1": image_f1(labels, judged, image_threshold),
        "image_ap": image_ap(labels, scores),
    }
    for name in variants:
        values[f"pro_{name}"] = pixels.pro_variant(name, fpr_limit)
    values = {name: values[name] for name in MEASURES if name in values}

    causes = {
        "image": _image_cause(labels),
        "pixel": "no masks" if masks is None else _pixel_cause(pixels),
    }
    missing = _missing(values, causes, threshold_policy)
    if not pixels.exact:
        ranked = {f"pro_{name}" for name in POOLED_PRO_VARIANTS} & missing.keys()
        cause = f"the maps have more than {EXACT_PIXELS} pixels, which are not ranked at once"
        missing |= dict.fromkeys(ranked, causes["pixel"] or cause)
    return Evaluation(
        values, threshold, image_threshold, best_dice_threshold, missing, pixels.ranked, pixels.exact
    )


def _train_quantile(name: str, values: ArrayLike | None, quantile: float) -> float:
    array = finite_array(name, [] if values is None else values, ndim=1)
    if array.size == 0:
        raise MetricError(
            f"{name}: found none; threshold_policy 'train_quantile' needs those of held-out defect-free "
            "train images: hold out a part of the train images for validation, or set threshold_policy to "
            "'f1_image' or 'dice_max'"
        )
    return float(np.quantile(array.astype(np.float64), fraction("quantile", quantile)))


def _image_cause(labels: NDArray[np.bool_]) -> str:
    """Return why no image measure is defined, or the empty string."""
    if labels.size == 0:
        return "no images in the test set"
    if labels.all():
        return "only defective images in the test set"
    return "" if labels.any() else "only normal images in the test set"


def _pixel_cause(pixels: ExactPixels | StreamedPixels) -> str:
    """Return why no pixel measure is defined, or the empty string."""
    if pixels.defective_pixels == 0:
        return "no defective pixel in any mask"
    return "" if pixels.normal_pixels else "no defect-free pixel in any mask"


def _missing(values: dict[str, float], causes: dict[str, str], policy: str) -> dict[str, str]:
    """Name the cause for each measure that is NaN."""
    threshold_cause = {"f1_image": causes["image"], "dice_max": causes["pixel"]}.get(policy, "")
    missing = {}
    for name in (name for name, value in values.items() if np.isnan(value)):
        if cause := causes[MEASURES[name].level]:
            missing[name] = cause
        elif MEASURES[name].at_threshold:
            missing[name] = f"no threshold by the policy {policy!r}: {threshold_cause}"
        else:
            missing[name] = "the released code has no value for a constant map or a flat curve"
    return missing
