"""All measures of one test set in one call."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import binary_array, checked_images, fraction, known_name
from metrics.confusion import Confusion, count_verdicts
from metrics.dice import dice_max
from metrics.errors import MetricError
from metrics.f1 import best_f1_threshold
from metrics.held_out import held_out_thresholds
from metrics.pixels import PixelCounts, count_pixels
from metrics.policies import HELD_OUT_POLICIES, JUDGES_MAPS, THRESHOLD_POLICIES
from metrics.registry import MEASURES, PRO_VARIANTS, Measure, MeasureInputs
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
        The pixel and the image threshold by every policy under which they are defined; by those in `HELD_OUT_POLICIES`
        only if the held-out values that they need were given.
    by_policy : dict of str to dict of str to float
        The values of the measures at a threshold, by every policy in ``thresholds``.
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
    by_policy: dict[str, dict[str, float]]
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
    validation_maps: Stack | None = None,
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
        ``validation_scores`` and of ``validation_max``. ``mean_3std``: three standard deviations above the means of
        ``validation_scores`` and of the pixels of ``validation_maps``.
    validation_scores, validation_max : float arrays (V,), optional
        Image scores, and the largest pixel of each map, of held-out normal train images.
    validation_maps : float array (V, H, W), or a reader of it, optional
        Their maps.
    quantile : float
        The quantile of ``train_quantile``, in (0, 1], interpolated linearly between scores.
    fpr_limit : float
        The limit of the false positive rate of PRO, in (0, 1].
    pro_variants : collection of str
        Names in `PRO_VARIANTS`. ``pro`` is always the exact one; each other one is ``pro_<variant>``.

    Raises
    ------
    MetricError
        If an array cannot be measured, a policy or variant is unknown, or the policy lacks its held-out values.

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
    held_out = held_out_thresholds(
        validation_scores, validation_max, validation_maps, quantile, required=threshold_policy
    )
    maps, masks, image_max, pixels = _counted(
        map_stack, masks, has_truth, [pixel for pixel, _ in held_out.values()]
    )
    dice_max_threshold = dice_max(pixels)[1]
    thresholds = {
        "f1_image": (best_f1_threshold(labels, image_max), best_f1_threshold(labels, scores)),
        JUDGES_MAPS: (dice_max_threshold, dice_max_threshold),
        **dict.fromkeys(HELD_OUT_POLICIES, (np.nan, np.nan)),
        **held_out,
    }
    # Image scores may have another unit than pixels, so a threshold found on pixels judges maxima of maps.
    judged_scores = dict.fromkeys(thresholds, scores) | {JUDGES_MAPS: image_max}
    inputs = {
        policy: MeasureInputs(
            labels=labels,
            scores=scores,
            pixels=pixels,
            maps=maps,
            masks=() if masks is None else masks,
            fpr_limit=fpr_limit,
            threshold=pixel,
            image_threshold=image,
            judged_scores=judged_scores[policy],
        )
        for policy, (pixel, image) in thresholds.items()
    }
    data = inputs[threshold_policy]
    causes = {"image": _image_cause(labels), "pixel": "no masks" if masks is None else _pixel_cause(pixels)}
    wanted = [measure for measure in MEASURES.values() if measure.pro_variant in variants]
    measured = [each for each in wanted if not causes[each.level]]
    values = dict.fromkeys((each.name for each in wanted), np.nan) | {
        each.name: each.compute(data) for each in measured
    }
    missing = {
        each.name: _cause(each, causes, threshold_policy) for each in wanted if np.isnan(values[each.name])
    }
    defined = {policy: pair for policy, pair in thresholds.items() if not np.isnan(pair).any()}
    return Measures(
        values,
        *thresholds[threshold_policy],
        dice_max_threshold,
        defined,
        {
            policy: {
                each.name: values[each.name] if policy == threshold_policy else each.compute(inputs[policy])
                for each in measured
                if each.at_threshold
            }
            for policy in defined
        },
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
    return measure.undefined
