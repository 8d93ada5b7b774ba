"""Streamed measures are the exact ones, to their bound on any input, whatever the chunks and processes."""

import pickle
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import metrics
from metrics import MetricError, StreamingPixels, sketches, streaming
from tests.metrics import reference

Maps = NDArray[np.floating]
Masks = NDArray[np.bool_]
LIMITS = (0.01, 0.3, 1.0)
THRESHOLDS = (0.25, 0.5, 0.75)
# the errors of the measures, in units of the sketches' error, as `StreamingPixels` states them
FACTORS = np.array([1.0, 2.0, 2.0, 2.0, 2.0, 0.75, 0.75, 0.75, 1.75])


def usual(images: int = 64, size: int = 64) -> tuple[Maps, Masks]:
    maps, masks = reference.random_test_set(0, images=images, size=size, dtype=np.float32)
    return maps, masks


def drift(maps: Maps, masks: Masks) -> Maps:
    return maps * np.geomspace(1e-9, 1e9, len(maps), dtype=maps.dtype)[:, None, None]


def in_order(maps: Maps, masks: Masks) -> Maps:
    return np.sort(maps, axis=None).reshape(maps.shape)


def mostly_tied(maps: Maps, masks: Masks) -> Maps:
    return np.where(maps < 1, np.float32(0.5), maps)


#: Scores of every kind that a summary could be bad at, from those of usual maps.
KINDS: dict[str, Callable[[Maps, Masks], Maps]] = {
    "distinct": lambda maps, masks: maps,
    "forty levels": lambda maps, masks: np.round(maps * 5),
    "two levels": lambda maps, masks: (maps > 1).astype(np.float32),
    "one level": lambda maps, masks: np.zeros_like(maps),
    "mostly one score": mostly_tied,
    "ascending": in_order,
    "descending": lambda maps, masks: -in_order(maps, masks),
    "drifting scales": drift,
    "one part in a million": lambda maps, masks: 1 + maps * np.float32(1e-6),
    "float64, one part in 1e13": lambda maps, masks: 1 + maps.astype(np.float64) * 1e-13,
    "denormal": lambda maps, masks: maps * np.float32(1e-41),
    "negative": lambda maps, masks: maps - 100,
    "huge": lambda maps, masks: maps * np.float32(1e37),
    "defects above all": lambda maps, masks: maps + np.float32(20) * masks,
    "defects below all": lambda maps, masks: maps - np.float32(20) * masks,
    "half of the defects among the highest": lambda maps, masks: np.where(masks, 4 * maps, maps),
}


def tiny(masks: Masks) -> Masks:
    """One defective pixel in each third image."""
    few = np.zeros_like(masks)
    few[::3, 5, 7] = True
    return few


def strewn(masks: Masks) -> Masks:
    """Large regions beside many single pixels: weights from 1 down to 1/1000."""
    many = masks.copy()
    many[:, ::4, ::4] = True
    many[::5, :30, :40] = True
    return many


MASKS: dict[str, Callable[[Masks], Masks]] = {
    "usual": lambda masks: masks,
    "tiny": tiny,
    "strewn": strewn,
    "nearly all": lambda masks: ~tiny(masks),
}


def exactly(maps: Maps, masks: Masks, thresholds: Maps) -> NDArray[np.float64]:
    scores = metrics.rank_pixels(maps, masks)
    pros = [metrics.pro(scores, limit) for limit in LIMITS]
    dices = [metrics.dice(scores, float(threshold)) for threshold in thresholds]
    largest = metrics.dice_max(scores)[0]
    return np.array([metrics.pixel_auroc(scores), *pros, metrics.pixel_ap(scores), *dices, largest])


def streamed(stream: StreamingPixels, thresholds: Maps) -> NDArray[np.float64]:
    pros = [stream.pro(limit) for limit in LIMITS]
    dices = [stream.dice(float(threshold)) for threshold in thresholds]
    return np.array([stream.pixel_auroc(), *pros, stream.pixel_ap(), *dices, stream.dice_max()[0]])


def streaming_of(maps: Maps, masks: Masks, chunk: int = 1) -> StreamingPixels:
    stream = StreamingPixels()
    for start in range(0, len(maps), chunk):
        stream.add(maps[start : start + chunk], masks[start : start + chunk])
    return stream


def coarse(monkeypatch: pytest.MonkeyPatch, cell: float, leaf: int) -> None:
    """Let few pixels go through several levels, as billions do."""
    monkeypatch.setattr(sketches, "CELL", cell)
    monkeypatch.setattr(sketches, "BAND", leaf // 8)
    for name in ("NORMAL_LEAF", "DEFECT_LEAF"):
        monkeypatch.setattr(streaming, name, leaf)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("region", MASKS)
@pytest.mark.parametrize(("cell", "leaf"), [(2**-6, 2**10), (2**-9, 2**13)])
def test_no_measure_errs_by_more_than_its_bound(
    monkeypatch: pytest.MonkeyPatch, kind: str, region: str, cell: float, leaf: int
) -> None:
    coarse(monkeypatch, cell, leaf)
    maps, masks = usual()
    masks = MASKS[region](masks)
    maps = KINDS[kind](maps, masks)
    thresholds = np.quantile(maps, THRESHOLDS, method="nearest")
    stream = streaming_of(maps, masks)
    error = np.abs(streamed(stream, thresholds) - exactly(maps, masks, thresholds))
    d = max(stream._normal.levels, stream._counts.levels) * cell / 2
    assert d > 0
    # to first order in d; the second order is below d * d for each
    np.testing.assert_array_less(error, FACTORS * (d + d * d) + 1e-12)
    threshold = stream.dice_max()[1]
    assert metrics.dice(metrics.rank_pixels(maps, masks), threshold) >= metrics.dice_max(
        metrics.rank_pixels(maps, masks)
    )[0] - 2 * FACTORS[-1] * (d + d * d)


@pytest.mark.parametrize("kind", KINDS)
def test_with_the_real_cells_every_measure_is_within_1e_4(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for name in ("NORMAL_LEAF", "DEFECT_LEAF"):
        monkeypatch.setattr(streaming, name, 2**16)
    maps, masks = usual(images=160, size=128)
    maps = KINDS[kind](maps, masks)
    thresholds = np.quantile(maps, THRESHOLDS, method="nearest")
    stream = streaming_of(maps, masks, chunk=4)
    assert stream._normal.levels == 2
    error = np.abs(streamed(stream, thresholds) - exactly(maps, masks, thresholds))
    assert error.max() < 1e-4
    # typically by far less: cells err to both sides
    assert np.median(error) < 1e-6


@pytest.mark.parametrize("chunk", [1, 7, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_below_one_leaf_the_measures_are_exact(kind: str, chunk: int) -> None:
    maps, masks = usual()
    maps = KINDS[kind](maps, masks)
    thresholds = np.quantile(maps, THRESHOLDS, method="nearest")
    found = streamed(streaming_of(maps, masks, chunk), thresholds)
    np.testing.assert_allclose(found, exactly(maps, masks, thresholds), rtol=0, atol=1e-12)


def test_few_distinct_scores_stay_exact_however_many_pixels_have_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coarse(monkeypatch, 2**-6, 2**10)
    maps, masks = usual()
    maps = np.clip(np.round(maps), -3, 6)
    found = streamed(streaming_of(maps, masks), np.arange(3.0))
    np.testing.assert_allclose(found, exactly(maps, masks, np.arange(3.0)), rtol=0, atol=1e-12)


def test_the_size_of_slices_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, masks = usual()
    whole = streaming_of(maps, masks, len(maps))
    monkeypatch.setattr(streaming, "SLICE", 100)
    assert streaming_of(maps, masks, len(maps)).pro() == whole.pro()


@pytest.mark.parametrize("parts", [2, 9])
def test_pickled_parts_of_several_processes_merge(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    coarse(monkeypatch, 2**-9, 2**13)
    maps, masks = usual()
    whole = StreamingPixels()
    for part in np.array_split(np.arange(len(maps)), parts):
        other = pickle.loads(pickle.dumps(streaming_of(maps[part], masks[part])))
        before = streamed(other, np.arange(3.0))
        whole.merge(other)
        np.testing.assert_array_equal(streamed(other, np.arange(3.0)), before)
    assert (whole.normal_pixels, whole.defective_pixels) == (np.sum(~masks), np.sum(masks))
    assert whole.regions == metrics.rank_pixels(maps, masks).regions
    d = whole._normal.levels * 2**-10
    error = np.abs(streamed(whole, np.arange(3.0)) - exactly(maps, masks, np.arange(3.0)))
    np.testing.assert_array_less(error, FACTORS * (d + d * d))


def test_what_is_kept_hardly_grows_with_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    coarse(monkeypatch, 2**-6, 2**10)
    maps, masks = usual()
    stream, sizes = StreamingPixels(), []
    for _ in range(16):
        stream.add(maps, strewn(masks))
        sizes.append(len(pickle.dumps(stream)))
    # of both classes, and of the defects by area, the same number of summaries however many pixels there are
    cells = (1 + np.log(16 * maps.size * 2**-6)) * 2**6
    assert max(sizes) < 3 * sketches.SUMMARIES * cells * 16 + 16 * 2**10
    assert stream._normal.levels <= 2 + np.log(16 * maps.size / 2**10) / np.log(8)


def test_memory_is_constant_in_the_number_of_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    coarse(monkeypatch, 2**-9, 2**13)
    monkeypatch.setattr(streaming, "SLICE", 2**12)
    maps, masks = usual()
    peaks = []
    for times in (8, 32):
        tracemalloc.start()
        stream = StreamingPixels()
        for time in range(times):
            stream.add(maps * np.float32(1 + time / 1000), masks)
        streamed(stream, np.arange(3.0))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # cells grow with the logarithm
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("value", [0, 1])
def test_with_one_class_of_pixels_nothing_is_defined(value: int) -> None:
    stream = StreamingPixels()
    assert np.isnan(streamed(stream, np.zeros(1))).all()
    stream.add(np.zeros((2, 3, 3)), np.full((2, 3, 3), value))
    assert np.isnan(streamed(stream, np.zeros(1))).all()
    assert np.isnan(stream.dice_max()).all()


def test_dice_without_a_threshold_is_undefined() -> None:
    assert np.isnan(streaming_of(*usual(4)).dice(np.nan))


def test_a_threshold_is_compared_exactly_with_float32_scores() -> None:
    stream = StreamingPixels()
    stream.add(np.array([[[0.1, 0.2]]], np.float32), [[[0, 1]]])
    # the nearest float32 of 0.2 is above it, that of 0.7 below
    assert stream.dice(0.2) == 1
    assert stream.dice(float(np.nextafter(np.float32(0.2), np.float32(1)))) == 0


@pytest.mark.parametrize(
    ("maps", "masks", "problem"),
    [
        (np.full((1, 2, 2), np.nan), np.zeros((1, 2, 2)), "maps: found NaN"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "maps: found shape"),
        (np.zeros((1, 2, 2)), np.zeros((1, 2, 3)), "masks: found shape"),
        (np.zeros((1, 2, 2)), np.full((1, 2, 2), 3), "masks: found the value"),
    ],
)
def test_what_cannot_be_measured_is_refused(maps: Maps, masks: Masks, problem: str) -> None:
    with pytest.raises(MetricError, match=problem):
        StreamingPixels().add(maps, masks)


def test_a_limit_outside_its_range_is_refused() -> None:
    with pytest.raises(MetricError, match="fpr_limit"):
        streaming_of(*usual(4)).pro(0)
