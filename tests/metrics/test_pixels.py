"""The counts equal loops over all pixels, in slices of any size, from memory and from disk, in bounded memory."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, DTypeLike, NDArray

from metrics import (
    MEASURES,
    PRO_VARIANTS,
    MetricError,
    PixelCounts,
    count_pixels,
    dice_max,
    evaluate,
    pixel_ap,
    pixel_auroc,
    pro,
)
from metrics.slices import Stack
from tests.metrics import reference

LEVELS = pytest.mark.parametrize("levels", [None, 2, 5, 40])
SLICES = pytest.mark.parametrize("slice_pixels", [1, 300, 2**20])


class Reader:
    """A stack of images that only offers its shape and slices, and remembers the pixels of the largest one."""

    def __init__(self, images: NDArray[Any]) -> None:
        self.shape = images.shape
        self.largest = 0
        self._images = images

    def __getitem__(self, images: slice) -> NDArray[Any]:
        part = self._images[images].copy()
        self.largest = max(self.largest, part.size)
        return part


class Drawn:
    """Maps or masks that are drawn whenever they are read, as if they lay on disk."""

    def __init__(self, images: int, side: int, masks: bool) -> None:
        self.shape = (images, side, side)
        self._masks = masks

    def __getitem__(self, images: slice) -> NDArray[Any]:
        return np.stack(list(self._draw(images)))

    def _draw(self, images: slice) -> Iterator[NDArray[Any]]:
        for image in range(images.start, images.stop):
            if self._masks:
                yield np.arange(self.shape[1] ** 2).reshape(self.shape[1:]) < 10
            else:
                rng = np.random.default_rng(image)
                yield rng.normal(size=self.shape[1:]).astype(np.float32)


def assert_equal(pixels: PixelCounts, expected: PixelCounts) -> None:
    for field in fields(PixelCounts):
        np.testing.assert_array_equal(getattr(pixels, field.name), getattr(expected, field.name), field.name)


def all_measures(maps: Stack, masks: Stack) -> list[float]:
    pixels = count_pixels(maps, masks)
    return [pixel_auroc(pixels), pro(pixels), pixel_ap(pixels), dice_max(pixels)[0]]


@SLICES
@LEVELS
@pytest.mark.parametrize("seed", range(3))
def test_counts_equal_a_loop_over_the_pixels(seed: int, levels: int | None, slice_pixels: int) -> None:
    maps, masks = reference.random_test_set(seed, levels=levels)
    thresholds = [float(np.median(maps)), -100, 100, 0.3]
    pixels = count_pixels(maps, masks, thresholds, slice_pixels=slice_pixels)
    normal, anomalous = maps[~masks], np.sort(maps[masks])
    assert pixels.scores.tolist() == anomalous.tolist()
    assert pixels.normal_above.tolist() == [np.sum(normal > score) for score in anomalous]
    assert pixels.normal_at_or_above.tolist() == [np.sum(normal >= score) for score in anomalous]
    assert pixels.anomalous_at_or_above.tolist() == [np.sum(anomalous >= score) for score in anomalous]
    assert (pixels.normal_pixels, pixels.anomalous_pixels) == (normal.size, anomalous.size)
    assert pixels.image_max.tolist() == maps.max(axis=(1, 2)).tolist()
    assert pixels.lowest == maps.min()
    known = np.array([*thresholds, *pixels.image_max, *anomalous])
    assert pixels.false_positives(known).tolist() == [np.sum(normal >= threshold) for threshold in known]
    assert pixels.true_positives(known).tolist() == [np.sum(anomalous >= threshold) for threshold in known]


@LEVELS
def test_each_pixel_belongs_to_its_region(levels: int | None) -> None:
    maps, masks = reference.random_test_set(3, levels=levels)
    pixels = count_pixels(maps, masks, slice_pixels=1)
    own = [pixels.scores[pixels.region == k].tolist() for k in range(pixels.regions)]
    assert pixels.areas.tolist() == list(map(len, own))
    regions = [(r[0][0], sorted(float(maps[pixel]) for pixel in r)) for r in reference.regions_of(masks)]
    assert sorted(zip(pixels.images.tolist(), own, strict=True)) == sorted(regions)


@SLICES
@LEVELS
def test_the_size_of_slices_changes_nothing(levels: int | None, slice_pixels: int) -> None:
    maps, masks = reference.random_test_set(1, images=9, levels=levels, dtype=np.float32)
    expected = count_pixels(maps, masks, [0.1])
    assert_equal(count_pixels(maps, masks, [0.1], slice_pixels=slice_pixels), expected)


@LEVELS
def test_many_anomalous_pixels_are_looked_up_in_many_batches(levels: int | None) -> None:
    # several blocks of anomalous scores, and several batches of normal ones
    rng = np.random.default_rng(0)
    maps, masks = rng.normal(size=(90, 64, 64)).astype(np.float32), rng.random((90, 64, 64)) < 0.06
    maps = maps if levels is None else np.round(maps * levels / 4)
    pixels = count_pixels(maps, masks, slice_pixels=1)
    normal = np.sort(maps[~masks])
    places = [np.searchsorted(normal, pixels.scores, side) for side in ("left", "right")]
    np.testing.assert_array_equal(normal.size - places[0], pixels.normal_at_or_above)
    np.testing.assert_array_equal(normal.size - places[1], pixels.normal_above)


def test_maps_and_masks_may_lie_on_disk(tmp_path: Path) -> None:
    maps, masks = reference.random_test_set(0, images=40, dtype=np.float32)
    np.save(tmp_path / "maps.npy", maps)
    np.save(tmp_path / "masks.npy", masks)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("maps", "masks")]
    labels, scores = masks.any(axis=(1, 2)), maps.mean(axis=(1, 2))
    expected = evaluate(maps, masks, labels, scores, pro_variants=PRO_VARIANTS)
    stacks: list[tuple[Stack, Stack]] = [(mapped[0], mapped[1]), (Reader(maps), Reader(masks))]
    for maps_on_disk, masks_on_disk in stacks:
        measures = evaluate(maps_on_disk, masks_on_disk, labels, scores, pro_variants=PRO_VARIANTS)
        assert asdict(measures) | {"pixels": None} == asdict(expected) | {"pixels": None}
        assert_equal(measures.pixels, expected.pixels)
    assert set(expected.values) == set(MEASURES)


def test_no_more_than_a_slice_is_read_at_once() -> None:
    maps, masks = map(Reader, reference.random_test_set(0, images=40))
    count_pixels(maps, masks, slice_pixels=1000)
    assert maps.largest == masks.largest == 3 * 16 * 16


def test_memory_does_not_grow_with_the_normal_pixels() -> None:
    peaks = []
    for images in (16, 64):
        maps, masks = Drawn(images, 256, masks=False), Drawn(images, 256, masks=True)
        tracemalloc.start()
        pixels = count_pixels(maps, masks, slice_pixels=2**16)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert pixels.anomalous_pixels == 10 * images
        assert pixels.normal_pixels == images * (256**2 - 10)
    batch = 4 * 8 * 2**16
    assert peaks[1] < 1.1 * peaks[0] < 4 * batch < 4 * images * 256**2


def test_memory_follows_the_anomalous_pixels() -> None:
    rng = np.random.default_rng(0)
    maps, masks = rng.normal(size=(200, 64, 64)).astype(np.float32), rng.random((200, 64, 64)) < 0.1
    tracemalloc.start()
    pixels = count_pixels(maps, masks, slice_pixels=2**12)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120 * pixels.anomalous_pixels


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_a_threshold_is_compared_exactly_in_float32_maps(offset: int) -> None:
    maps = np.array([[[0.1, 0.3, 0.3]]], np.float32)
    threshold = float(maps[0, 0, 1]) + offset * 1e-12
    pixels = count_pixels(maps, [[[0, 0, 1]]], [threshold])
    assert pixels.false_positives(threshold) == pixels.true_positives(threshold) == (offset < 1)


def test_thresholds_beyond_the_range_of_float32_count_all_or_none() -> None:
    maps, masks = reference.random_test_set(0, dtype=np.float32)
    pixels = count_pixels(maps, masks, [-1e300, 1e300])
    assert pixels.false_positives([-1e300, 1e300]).tolist() == [np.sum(~masks), 0]


def test_a_threshold_at_which_nothing_was_counted_is_refused() -> None:
    pixels = count_pixels(*reference.random_test_set(0), [0.5])
    with pytest.raises(MetricError, match=r"threshold: found 0\.25, at which no normal pixels were counted"):
        pixels.false_positives([0.5, 0.25])


@LEVELS
def test_a_monotone_change_of_the_scores_changes_nothing(levels: int | None) -> None:
    maps, masks = reference.random_test_set(4, levels=levels)
    assert all_measures(np.exp(maps / 10) - 7, masks) == pytest.approx(all_measures(maps, masks), abs=1e-12)


def test_the_order_of_the_images_changes_nothing() -> None:
    maps, masks = reference.random_test_set(5, levels=20)
    order = np.random.default_rng(0).permutation(len(maps))
    assert all_measures(maps[order], masks[order]) == pytest.approx(all_measures(maps, masks), abs=1e-12)


def test_the_layout_in_memory_changes_nothing() -> None:
    maps, masks = reference.random_test_set(6, levels=20)
    for a, b in ((maps[:, ::2, ::-1], masks[:, ::2, ::-1]), map(np.asfortranarray, (maps, masks))):
        assert all_measures(a, b) == all_measures(a.copy("C"), b.copy("C"))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_every_precision_keeps_its_ties(dtype: DTypeLike) -> None:
    maps, masks = reference.random_test_set(7, levels=30, dtype=dtype)
    assert all_measures(maps, masks) == all_measures(maps.astype(np.float64), masks)


def test_masks_of_zeros_and_ones_equal_boolean_masks() -> None:
    maps, masks = reference.random_test_set(8)
    assert all_measures(maps, masks.astype(np.uint8)) == all_measures(maps, masks)


def test_the_inputs_are_left_as_they_were() -> None:
    maps, masks = reference.random_test_set(9)
    before = maps.copy(), masks.copy()
    all_measures(maps, masks)
    np.testing.assert_array_equal(maps, before[0])
    np.testing.assert_array_equal(masks, before[1])


def test_one_single_image() -> None:
    maps, masks = reference.random_test_set(3, images=1)
    assert pro(count_pixels(maps, masks)) == pytest.approx(reference.exact(maps, masks, 0.3))


def test_no_image_is_undefined() -> None:
    assert np.isnan(all_measures(np.empty((0, 4, 4)), np.empty((0, 4, 4), bool))).all()


def test_without_masks_no_pixel_has_a_class() -> None:
    maps, _ = reference.random_test_set(0)
    pixels = count_pixels(maps, None)
    assert (pixels.normal_pixels, pixels.anomalous_pixels, pixels.regions) == (0, 0, 0)
    assert pixels.image_max.tolist() == maps.max(axis=(1, 2)).tolist()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@SLICES
def test_nan_and_infinity_are_refused(value: float, slice_pixels: int) -> None:
    maps, masks = reference.random_test_set(0)
    maps[1, 2, 3] = value
    with pytest.raises(
        MetricError, match=r"maps: found NaN or infinity in 1 of 256 pixels of map 1; expected"
    ):
        count_pixels(maps, masks, slice_pixels=slice_pixels)


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (np.zeros((4, 4)), np.zeros((4, 4)), r"maps: found shape \(4, 4\); expected \(N, H, W\)"),
        (
            np.zeros((2, 0, 4)),
            np.zeros((2, 0, 4)),
            r"maps: found shape \(2, 0, 4\); expected images of at least",
        ),
        (np.zeros((1, 2, 2)), np.zeros((1, 2, 3)), r"masks: found shape \(1, 2, 3\); expected \(1, 2, 2\)"),
        (
            np.zeros((1, 2, 2), complex),
            np.zeros((1, 2, 2)),
            "maps: found dtype complex128; expected real numbers",
        ),
        *(
            (
                np.zeros((1, 2, 2)),
                np.full((1, 2, 2), value),
                "masks: found the value .*; expected booleans or",
            )
            for value in (255, 0.5, np.nan)
        ),
    ],
)
def test_maps_and_masks_that_do_not_fit_are_refused(maps: ArrayLike, masks: ArrayLike, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        count_pixels(maps, masks)


def test_a_reader_that_returns_another_shape_is_refused() -> None:
    reader = Reader(np.zeros((3, 4, 4)))
    reader.shape = (5, 4, 4)
    with pytest.raises(MetricError, match=r"maps\[0:5\]: found shape \(3, 4, 4\); expected \(5, 4, 4\)"):
        count_pixels(reader, np.zeros((5, 4, 4)))


@pytest.mark.parametrize("thresholds", [[np.nan], [np.inf], [[0.5]]])
def test_thresholds_that_are_no_finite_row_are_refused(thresholds: ArrayLike) -> None:
    with pytest.raises(MetricError, match="thresholds: found"):
        count_pixels(*reference.random_test_set(0), thresholds)
