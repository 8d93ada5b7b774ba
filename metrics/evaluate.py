"""All measures of one test set in one call."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import binary_array, checked_images, finite_array, fraction, known_name
from metrics.confusion import Confusion, count_verdicts
from metrics.dice import dice_max
from metrics.errors import MetricError
from metrics.f1 import best_f1_threshold
from metrics.pixels import PixelCounts, count_pixels
from metrics.quantiles import quantile_thresholds
from metrics.registry import (
    FROM_HELD_OUT,
    JUDGES_MAPS,
    MEASURES,
    PRO_VARIANTS,
    THRESHOLD_POLICIES,
    Measure,
    MeasureInputs,
)
from metrics.slices import Selection, Sliceable, Stack, map_maxima, open_stack, open_stacks


@dataclass(frozen=True)
class Measures:
    """The measures of one test set.

    Attributes
    ----------
    values : dict of str to float
        Every measure by name, in the order of `MEASURES`; NaN where undefined.
    threshold : float
        The pixel threshold, of ``dice`` and ``dice_image``; NaN where undefined.
    image_threshold : float
        The image threshold, of ``image_f1``; by the policy ``dice_max`` it is the pixel threshold. NaN where undefined.
    dice_max_threshold : float
        The threshold at which the pooled Dice is ``dice_max``; NaN where undefined.
    thresholds : dict of str to (float, float)
        The pixel and the image threshold by every policy under which they are defined; by ``train_quantile`` only if
        ``validation_scores`` and ``validation_max`` were given.
    confusions : dict of str to Confusion
        Right and wrong verdicts on the images by every policy in ``thresholds``.
    missing : dict of str to str
        For each measure that is NaN, a sentence that names the cause.
    pixels : PixelCounts
        The counted pixels of the images with ground truth, for curves and regions; of no class without masks.
    """

    values: dict[str, float]
    threshold: float
    image_threshold: float
    dice_max_threshold: float
    thresholds: dict[str, tuple[float, float]]
    confusions: dict[str, Confusion]
    missing: dict[str, str]
    pixels: PixelCounts = field(repr=False, compare=False)


def evaluate(
    maps: Stack,
    masks: Stack | None,
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    has_truth: ArrayLike | None = None,
    threshold_policy: str = "f1_image",
    validation_scores: ArrayLike | None = None,
    validation_max: ArrayLike | None = None,
    quantile: float = 0.995,
    fpr_limit: float = 0.3,
    pro_variants: Collection[str] = ("exact",),
) -> Measures:
    """Compute every measure of one test set, from one count of its pixels (`metrics.count_pixels`).

    One policy chooses two thresholds: one for pixels, in units of the maps, and one for images, in units of their
    scores. They are one number where every image's score is the largest pixel of its map. Otherwise images and pixels
    are linked by these maxima: an image is anomalous if any of its pixels is.

    Parameters
    ----------
    maps : float array (N, H, W), or a reader of it
        Anomaly maps; a higher score means more anomalous. They may lie on disk, see `metrics.count_pixels`.
    masks : bool or {0, 1} array (N, H, W), a reader of it, or None
        True where a pixel is anomalous; None where the dataset has no masks.
    labels : bool or {0, 1} array (N,)
        True where an image is anomalous.
    scores : float array (N,)
        Image scores; a higher score means more anomalous.
    has_truth : bool or {0, 1} array (N,), optional
        True where ``masks`` holds the ground truth of an image: pixel measures, and the threshold of ``dice_max``, are
        taken of these images alone. None: of all images.
    threshold_policy : str
        ``f1_image``: the image threshold maximises F1 on the test images by their scores, the pixel threshold by the
        maxima of their maps (oracle). ``dice_max``: the pixel threshold maximises Dice on the test pixels and judges
        the images too, by the maxima of their maps instead of their scores (oracle). ``train_quantile``: quantiles of
        ``validation_scores`` and of ``validation_max``.
    validation_scores, validation_max : float arrays (V,), optional
        Image scores, and the largest pixel of each map, of held-out normal train images.
    quantile : float
        The quantile of ``train_quantile``, in (0, 1], interpolated linearly between scores.
    fpr_limit : float
        The limit of the false positive rate of PRO, in (0, 1].
    pro_variants : collection of str
        Names in `PRO_VARIANTS`. ``pro`` is always the exact one; each other one is ``pro_<variant>``.

    Raises
    ------
    MetricError
        If an array cannot be measured, a policy or variant is unknown, or ``train_quantile`` lacks its scores or
        maxima.

    Examples
    --------
    >>> maps = np.array([[[0.125, 0.25]], [[0.25, 0.75]]])
    >>> measures = evaluate(maps, None, labels=[0, 1], scores=maps.mean(axis=(1, 2)))
    >>> measures.threshold, measures.image_threshold, measures.values["image_f1"]
    (0.75, 0.5, 1.0)
    >>> measures.values["dice"], measures.missing["dice"]
    (nan, 'no masks')
    """
    labels, scores, _ = checked_images(labels, scores)
    known_name("threshold_policy", threshold_policy, THRESHOLD_POLICIES)
    variants = {"", *(known_name("pro_variants", name, PRO_VARIANTS) for name in pro_variants)}
    map_stack = open_stack("maps", maps)
    if map_stack.shape[0] != len(scores):
        raise MetricError(f"scores: found {len(scores)}; expected {map_stack.shape[0]}, one for each map")
    fraction("fpr_limit", fpr_limit)
    held_out = {"validation_scores": validation_scores, "validation_max": validation_max}
    quantiles = _train_quantiles(held_out, quantile, required=threshold_policy == FROM_HELD_OUT)

    maps, masks, image_max, pixels = _counted(map_stack, masks, has_truth, quantiles[:1])
    dice_max_threshold = dice_max(pixels)[1]
    thresholds = {
        "f1_image": (best_f1_threshold(labels, image_max), best_f1_threshold(labels, scores)),
        JUDGES_MAPS: (dice_max_threshold, dice_max_threshold),
        FROM_HELD_OUT: quantiles or (np.nan, np.nan),
    }
    threshold, image_threshold = thresholds[threshold_policy]
    # Image scores may have another unit than pixels, so a threshold found on pixels judges maxima of maps.
    judged_scores = dict.fromkeys(thresholds, scores) | {JUDGES_MAPS: image_max}
    data = MeasureInputs(
        labels=labels,
        scores=scores,
        pixels=pixels,
        maps=maps,
        masks=() if masks is None else masks,
        fpr_limit=fpr_limit,
        threshold=threshold,
        image_threshold=image_threshold,
        judged_scores=judged_scores[threshold_policy],
    )
    causes = {"image": _image_cause(labels), "pixel": "no masks" if masks is None else _pixel_cause(pixels)}
    wanted = [measure for measure in MEASURES.values() if measure.pro_variant in variants]
    values = {each.name: np.nan if causes[each.level] else each.compute(data) for each in wanted}
    missing = {
        each.name: _cause(each, causes, threshold_policy) for each in wanted if np.isnan(values[each.name])
    }
    defined = {policy: pair for policy, pair in thresholds.items() if not np.isnan(pair).any()}
    return Measures(
        values,
        threshold,
        image_threshold,
        dice_max_threshold,
        defined,
        {policy: count_verdicts(labels, judged_scores[policy], pair[1]) for policy, pair in defined.items()},
        missing,
        pixels,
    )


def _counted(
    maps: Sliceable, masks: Stack | None, has_truth: ArrayLike | None, thresholds: Sequence[float]
) -> tuple[Sliceable, Stack | None, NDArray[np.floating], PixelCounts]:
    """Count the pixels of the images with ground truth.

    Returns
    -------
    Maps and masks of these images, the largest score of every map, and the counts.
    """
    if masks is None or has_truth is None:
        pixels = count_pixels(maps, masks, thresholds)
        return maps, masks, pixels.image_max, pixels
    maps, masks = open_stacks(maps, masks)
    chosen = binary_array("has_truth", has_truth, (maps.shape[0],))
    others = map_maxima(Selection(maps, ~chosen))
    maps, masks = Selection(maps, chosen), Selection(masks, chosen)
    # the threshold of all images may be the maximum of a map without ground truth
    pixels = count_pixels(maps, masks, [*thresholds, *others.tolist()])
    image_max = np.empty(chosen.size, np.result_type(pixels.image_max, others))
    image_max[chosen], image_max[~chosen] = pixels.image_max, others
    return maps, masks, image_max, pixels


def _train_quantiles(
    held_out: dict[str, ArrayLike | None], quantile: float, required: bool
) -> tuple[float, float] | tuple[()]:
    """Return the thresholds by the scores and maxima of held-out images; nothing if either is not given."""
    arrays = {
        name: finite_array(name, [] if values is None else values, ndim=1)
        for name, values in held_out.items()
    }
    absent = [name for name, array in arrays.items() if array.size == 0]
    if absent and required:
        raise MetricError(
            f"{absent[0]}: found none; threshold_policy 'train_quantile' needs those of held-out normal train images: "
            "hold out a part of the train images for validation, or set threshold_policy to 'f1_image' or 'dice_max'"
        )
    return () if absent else quantile_thresholds(**arrays, quantile=quantile)


def _image_cause(labels: NDArray[np.bool_]) -> str:
    """Return why no image measure is defined, or the empty string."""
    if labels.size == 0:
        return "no images in the test set"
    if labels.all():
        return "only anomalous images in the test set"
    return "" if labels.any() else "only normal images in the test set"


def _pixel_cause(pixels: PixelCounts) -> str:
    """Return why no pixel measure is defined, or the empty string."""
    if pixels.anomalous_pixels == 0:
        return "no anomalous pixel in any mask"
    return "" if pixels.normal_pixels else "no normal pixel in any mask"


def _cause(measure: Measure, causes: dict[str, str], policy: str) -> str:
    """Return why a measure is NaN."""
    if cause := causes[measure.level]:
        return cause
    if measure.at_threshold:
        threshold_cause = {"f1_image": causes["image"], "dice_max": causes["pixel"]}.get(policy, "")
        if threshold_cause:
            return f"no threshold by the policy {policy!r}: {threshold_cause}"
        return "no image is judged anomalous"
    if measure.pro_variant:
        return "the released code has no value for a constant map or a flat curve"
    return "undefined on this test set"
