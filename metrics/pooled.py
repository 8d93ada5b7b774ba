"""The pixel measures of one test set: exact, or streamed where it is large."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import binary_array, finite_array
from metrics.pixels import (
    PixelScores,
    dice,
    dice_image,
    dice_max,
    dice_of_each,
    pixel_ap,
    pixel_auroc,
    pro,
    rank_pixels,
)
from metrics.pro_variants import POOLED_PRO_VARIANTS, PRO_VARIANTS
from metrics.streaming import StreamingPixels, slices

#: Up to so many pixels, pixel measures are exact and have curves; beyond, `StreamingPixels` takes them.
#: Every category of MVTec AD at 1024 x 1024 pixels is below (167 maps at most). Ranking takes 1.3 times the
#: memory of float32 maps beside them, 1.4 GB here; streaming took 0.08 GB of 100 such maps.
EXACT_PIXELS = 2**28


class ExactPixels:
    """All pixel measures of maps and masks, from one sort.

    Parameters
    ----------
    maps : float array (N, H, W)
        Anomaly maps; a higher score means more anomalous.
    masks : bool or {0, 1} array (N, H, W), or None
        True where a pixel is defective; None leaves every measure undefined.

    Attributes
    ----------
    peaks : float array (N,)
        The highest score of each map.
    ranked : PixelScores
        The ranked pixels, for curves.
    normal_pixels, defective_pixels : int
        Pixels of each class.
    """

    exact = True

    def __init__(self, maps: ArrayLike, masks: ArrayLike | None) -> None:
        maps = finite_array("maps", maps, ndim=3)
        self.peaks = maps.max(axis=(1, 2))
        # Without masks no pixel has a class, which leaves every measure undefined by its own rule.
        self._maps = maps[:0] if masks is None else maps
        truth = np.zeros(self._maps.shape, bool) if masks is None else masks
        self._masks = binary_array("masks", truth, self._maps.shape)
        self.ranked = rank_pixels(self._maps, self._masks)
        self.normal_pixels, self.defective_pixels = self.ranked.normal.size, self.ranked.defect.size

    def pixel_auroc(self) -> float:
        """As `metrics.pixel_auroc`."""
        return pixel_auroc(self.ranked)

    def pro(self, fpr_limit: float) -> float:
        """As `metrics.pro`."""
        return pro(self.ranked, fpr_limit)

    def pixel_ap(self) -> float:
        """As `metrics.pixel_ap`."""
        return pixel_ap(self.ranked)

    def dice(self, threshold: float) -> float:
        """As `metrics.dice`."""
        return dice(self.ranked, threshold)

    def dice_max(self) -> tuple[float, float]:
        """As `metrics.dice_max`."""
        return dice_max(self.ranked)

    def dice_image(self, threshold: float) -> float:
        """As `metrics.dice_image`."""
        return dice_image(self._maps, self._masks, threshold)

    def pro_variant(self, name: str, fpr_limit: float) -> float:
        """Return PRO by one of `PRO_VARIANTS`."""
        if name in POOLED_PRO_VARIANTS:
            return POOLED_PRO_VARIANTS[name](self.ranked, fpr_limit)
        return PRO_VARIANTS[name](self._maps, self._masks, fpr_limit)


class StreamedPixels(StreamingPixels):
    """The same of a large test set, a few maps at a time; without ranked pixels."""

    exact = False

    def __init__(self, maps: ArrayLike, masks: ArrayLike | None) -> None:
        super().__init__()
        maps = np.asarray(maps)
        self.peaks = np.concatenate(
            [finite_array("maps", maps[part], ndim=3).max(axis=(1, 2)) for part in slices(maps)]
        )
        self._maps = maps[:0] if masks is None else maps
        self._masks = np.zeros(self._maps.shape, bool) if masks is None else np.asarray(masks)
        self.add(self._maps, self._masks)

    @property
    def ranked(self) -> PixelScores:
        """No pixels: ranking them all is what is avoided here."""
        return rank_pixels(np.empty((0, 0, 0), np.float32), np.empty((0, 0, 0), bool))

    def dice_image(self, threshold: float) -> float:
        """See `metrics.dice_image`; exact."""
        if self.one_class or np.isnan(threshold):
            return np.nan
        return float(np.mean([dice_of_each(m[None], k[None], threshold) for m, k in self._defective()]))

    def pro_variant(self, name: str, fpr_limit: float) -> float:
        """Return PRO by one of `PRO_VARIANTS`; NaN for those that rank all pixels at once."""
        if name in POOLED_PRO_VARIANTS or self.one_class:
            return np.nan
        measure = PRO_VARIANTS[name]
        return float(np.mean([measure(m[None], k[None], fpr_limit) for m, k in self._defective()]))

    def _defective(self) -> Iterator[tuple[NDArray[np.floating], NDArray[np.bool_]]]:
        """Go through the maps and masks of defective images."""
        for scores, mask in zip(self._maps, self._masks, strict=True):
            if mask.any():
                yield scores, mask.astype(bool)
