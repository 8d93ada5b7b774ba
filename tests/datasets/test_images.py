"""One file: every mode is read to the right RGB values or booleans, everything else is refused by name."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datasets.errors import DatasetError
from datasets.images import (
    LARGE,
    Header,
    read_header,
    read_image,
    read_mask,
    read_mask_values,
    resize_image,
    resize_mask,
    value_shares,
)
from tests.datasets.helpers import noise, save, square_mask

RGB = noise(6, 5, 3)
GREY = noise(6, 5)
DEEP = np.random.default_rng(0).integers(0, 65536, (6, 5), dtype=np.uint16)
ALPHA = noise(6, 5, seed=1)


def pixels_of(path: Path) -> NDArray[np.uint8]:
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def repeated(grey: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.repeat(grey[..., None], 3, axis=-1)


def test_rgb_is_read_as_it_is(tmp_path: Path) -> None:
    np.testing.assert_array_equal(pixels_of(save(tmp_path / "a.png", RGB)), RGB)


def test_grey_is_repeated_over_the_channels(tmp_path: Path) -> None:
    np.testing.assert_array_equal(pixels_of(save(tmp_path / "a.png", GREY)), repeated(GREY))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_is_scaled(tmp_path: Path, suffix: str) -> None:
    expected = np.round(DEEP * (255 / 65535))
    np.testing.assert_array_equal(pixels_of(save(tmp_path / f"a{suffix}", DEEP)), repeated(expected))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_camera_of_fewer_bits_keeps_its_grey_levels(tmp_path: Path, bits: int) -> None:
    top = 2**bits - 1
    values = np.linspace(0, top, 256).round().astype(np.uint16).reshape(16, 16)
    path = save(tmp_path / "a.png", values)
    found = np.asarray(read_image(path, bits))[..., 0]
    np.testing.assert_array_equal(found, np.arange(256).reshape(16, 16))
    assert len(np.unique(np.asarray(read_image(path)))) == round(top / 257) + 1


def test_values_above_the_bit_depth_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[0, 4096]], np.uint16))
    message = r"a\.png: found pixels of 0 to 4096; expected at most 4095 with dataset\.bit_depth=12"
    with pytest.raises(DatasetError, match=message):
        read_image(path, 12)


def test_8_bit_images_do_not_depend_on_the_bit_depth(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", RGB)
    np.testing.assert_array_equal(np.asarray(read_image(path, 12)), RGB)


def test_a_bit_depth_of_16_bit_colours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_of_16_bits(np.stack([DEEP] * 3, axis=-1)))
    with pytest.raises(DatasetError, match=r"a\.png: found 16-bit colours.*dataset\.bit_depth=12"):
        read_image(path, 12)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (RGB, Header((5, 6), "RGB", False)),
        (GREY, Header((5, 6), "L", False)),
        (DEEP, Header((5, 6), "I;16", False)),
        (np.stack([DEEP] * 3, axis=-1), Header((5, 6), "RGB", True)),
    ],
    ids=["RGB", "grey", "16-bit grey", "16-bit RGB"],
)
def test_header_says_size_and_mode(tmp_path: Path, pixels: NDArray, expected: Header) -> None:
    path = tmp_path / "a.png"
    if expected.is_deep_colour:
        path.write_bytes(png_of_16_bits(pixels))
    else:
        save(path, pixels)
    assert read_header(path) == expected


@pytest.mark.parametrize("read", [read_image, read_header])
def test_an_image_above_the_limit_is_told_the_limit_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
) -> None:
    path = save(tmp_path / "a.png", RGB)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 14)
    message = rf"a\.png: the image is too large \(.*30 pixels.*\); expected at most {2 * LARGE} pixels: make the files"
    with pytest.raises(DatasetError, match=message):
        read(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_between_the_limit_and_its_half_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.png", RGB)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    np.testing.assert_array_equal(pixels_of(path), RGB)


def test_16_bit_rgb_is_scaled(tmp_path: Path) -> None:
    deep = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], axis=-1)
    path = tmp_path / "a.png"
    path.write_bytes(png_of_16_bits(deep))
    np.testing.assert_allclose(pixels_of(path), deep * (255 / 65535), atol=1)


def png_of_16_bits(pixels: NDArray[np.uint16]) -> bytes:
    """Encode (height, width, 3) as PNG, which Pillow does not write at this depth."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def test_1_bit_is_black_and_white(tmp_path: Path) -> None:
    bits = GREY > 127
    np.testing.assert_array_equal(pixels_of(save(tmp_path / "a.png", bits)), repeated(bits * 255))


def test_alpha_is_dropped_and_colours_stay_as_stored(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, ALPHA])
    np.testing.assert_array_equal(pixels_of(save(tmp_path / "a.png", rgba)), RGB)


def test_alpha_of_grey_is_dropped(tmp_path: Path) -> None:
    grey_alpha = Image.fromarray(np.dstack([GREY, ALPHA]), "LA")
    np.testing.assert_array_equal(pixels_of(save(tmp_path / "a.png", grey_alpha)), repeated(GREY))


@pytest.mark.parametrize("transparency", [None, 3, bytes(range(30))], ids=["none", "one", "each"])
def test_palette_is_looked_up(tmp_path: Path, transparency: int | bytes | None) -> None:
    indexed = Image.fromarray(np.arange(30, dtype=np.uint8).reshape(6, 5))
    indexed.putpalette(RGB.tobytes())
    indexed.save(tmp_path / "a.png", transparency=transparency)
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.png"), RGB)


def test_cmyk_is_converted(tmp_path: Path) -> None:
    red = Image.new("RGB", (8, 8), (250, 10, 20)).convert("CMYK")
    np.testing.assert_allclose(pixels_of(save(tmp_path / "a.jpg", red))[4, 4], (250, 10, 20), atol=4)


def test_truncated_image_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", noise(40, 40, 3))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DatasetError, match=rf"{path}: not a readable image \(.*truncated"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no image at all", "cannot identify image file"), (b"", "the file is empty"), (None, "no such file")],
    ids=["text", "empty", "missing"],
)
def test_file_that_is_no_image_is_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"{path}: .*{reason}"):
        read_image(path)


@pytest.mark.parametrize(
    ("pixels", "found"),
    [(GREY.astype(np.float32), "floating-point"), (DEEP.astype(np.int32) + 65536, r"pixels of \d+ to \d+")],
)
def test_pixels_of_unknown_range_are_refused(tmp_path: Path, pixels: NDArray, found: str) -> None:
    path = save(tmp_path / "a.tif", pixels)
    with pytest.raises(DatasetError, match=rf"{path}: found {found}.*expected 8- or 16-bit"):
        read_image(path)


MASK = square_mask(6, 5) > 0


@pytest.mark.parametrize(
    "stored",
    [
        MASK * np.uint8(255),
        MASK * np.uint8(1),
        MASK,
        MASK * np.uint16(65535),
        repeated(MASK * np.uint8(255)),
        MASK.astype(np.float32),
    ],
    ids=["0 and 255", "0 and 1", "1 bit", "16 bits", "RGB", "float"],
)
def test_mask_of_two_values_is_read(tmp_path: Path, stored: NDArray) -> None:
    path = save(tmp_path / "mask.tif", stored)
    mask = read_mask(path, (5, 6))
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, MASK)


@pytest.mark.parametrize("transparency", [None, bytes([0, 128])], ids=["opaque", "transparent"])
def test_palette_mask_is_read_by_its_colours(tmp_path: Path, transparency: bytes | None) -> None:
    indexed = Image.fromarray(MASK.astype(np.uint8))
    indexed.putpalette([0, 0, 0, 128, 0, 0])
    indexed.save(tmp_path / "mask.png", transparency=transparency)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", (5, 6)), MASK)


@pytest.mark.parametrize(("value", "expected"), [(0, False), (255, True)])
def test_mask_of_one_value_is_read(tmp_path: Path, value: int, expected: bool) -> None:
    path = save(tmp_path / "mask.png", np.full((6, 5), value, np.uint8))
    assert (read_mask(path, (5, 6)) == expected).all()


SOFT = np.array([[0, 60, 120], [180, 240, 255]], np.uint8)


def test_mask_of_many_values_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.png", SOFT)
    message = (
        rf"{path}: the mask is not binary, found 6 values: 0 \(16\.7 %\), 60 .*, 240 \(16\.7 %\), \.\.\.; .*"
    )
    with pytest.raises(DatasetError, match=message + r"dataset\.mask_threshold"):
        read_mask(path, (3, 2))


def test_mask_without_a_zero_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.png", np.where(MASK, 255, 1).astype(np.uint8))
    with pytest.raises(DatasetError, match=r"found 2 values: 1 \(46\.7 %\), 255 \(53\.3 %\)"):
        read_mask(path, (5, 6))


@pytest.mark.parametrize("threshold", [0, 120, 254, 255])
def test_above_the_threshold_is_defective(tmp_path: Path, threshold: int) -> None:
    mask = read_mask(save(tmp_path / "mask.png", SOFT), (3, 2), threshold)
    np.testing.assert_array_equal(mask, np.greater(SOFT, threshold))


def test_threshold_takes_1_bit_as_0_and_255(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_mask(save(tmp_path / "mask.png", MASK), (5, 6), 127), MASK)


def test_threshold_may_lie_between_floating_point_values(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.tif", np.where(MASK, 0.9, 0.2).astype(np.float32))
    np.testing.assert_array_equal(read_mask(path, (5, 6), 0.5), MASK)


def test_mask_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.tif", np.where(MASK, np.nan, 0).astype(np.float32))
    with pytest.raises(DatasetError, match="the mask holds NaN or infinite values"):
        read_mask(path, (5, 6))


@pytest.mark.parametrize("colour", [(1, 0, 0), (0, 0, 1), (0, 0, 200)])
def test_dark_colours_are_anomalous_too(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    path = save(tmp_path / "mask.png", MASK[..., None] * np.array(colour, np.uint8))
    np.testing.assert_array_equal(read_mask(path, (5, 6)), MASK)


def with_alpha(grey: NDArray[np.generic], alpha: NDArray[np.generic]) -> NDArray[np.uint8]:
    return np.dstack([repeated(grey), alpha]).astype(np.uint8)


WHITE, BLACK = np.full((6, 5), 255), np.zeros((6, 5))
OTHER = square_mask(6, 5)[:, ::-1] > 0


@pytest.mark.parametrize("grey", [WHITE, BLACK], ids=["white", "black"])
@pytest.mark.parametrize("region", [MASK, BLACK > 0], ids=["region", "none"])
def test_regions_in_the_alpha_channel_are_read_where_the_colours_are_constant(
    tmp_path: Path, grey: NDArray, region: NDArray
) -> None:
    path = save(tmp_path / "mask.png", with_alpha(grey, region * 255))
    np.testing.assert_array_equal(read_mask(path, (5, 6)), region)
    assert read_mask_values(path, (5, 6)).from_alpha


def test_regions_in_the_alpha_channel_of_grey_are_read(tmp_path: Path) -> None:
    image = Image.fromarray(np.dstack([WHITE, MASK * 255]).astype(np.uint8), "LA")
    np.testing.assert_array_equal(read_mask(save(tmp_path / "mask.png", image), (5, 6)), MASK)


@pytest.mark.parametrize("alpha", [WHITE, BLACK, MASK * 255], ids=["opaque", "transparent", "the same"])
def test_regions_in_the_colours_are_read_where_alpha_says_nothing_else(
    tmp_path: Path, alpha: NDArray
) -> None:
    path = save(tmp_path / "mask.png", with_alpha(MASK * 255, alpha))
    np.testing.assert_array_equal(read_mask(path, (5, 6)), MASK)
    assert not read_mask_values(path, (5, 6)).from_alpha


def test_colours_and_alpha_of_different_regions_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.png", with_alpha(MASK * 255, OTHER * 200))
    message = (
        r"mask\.png: the mask's colours and its alpha channel mark different regions, found grey values "
        r"0 \(46\.7 %\), 255 \(53\.3 %\) and alpha 0 \(46\.7 %\), 200 \(53\.3 %\)"
    )
    with pytest.raises(DatasetError, match=message):
        read_mask(path, (5, 6))


def test_soft_alpha_is_refused_as_such(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.png", with_alpha(WHITE, ALPHA))
    with pytest.raises(
        DatasetError, match=r"found \d+ values in its alpha channel: .*dataset\.mask_threshold"
    ):
        read_mask(path, (5, 6))
    np.testing.assert_array_equal(read_mask(path, (5, 6), 127), ALPHA > 127)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_shares_of_values_add_up(dtype: type[np.generic]) -> None:
    values = np.array([[0, 0, 0], [3, 200, 200]], dtype)
    assert value_shares(values) == pytest.approx({0: 1 / 2, 3: 1 / 6, 200: 1 / 3})


def test_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.png", square_mask(6, 5))
    with pytest.raises(DatasetError, match=rf"{path}: the mask has 5x6 pixels, its image 6x5"):
        read_mask(path, (6, 5))


def test_missing_mask_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"mask\.png: there is no such file"):
        read_mask(tmp_path / "mask.png", (6, 5))


@pytest.mark.parametrize("side", [4, 7, 30])
def test_resized_image_is_that_of_pillow(side: int) -> None:
    image = Image.fromarray(noise(20, 15, 3))
    expected = image.resize((side, side), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize_image(image, side), np.asarray(expected))


def test_shrinking_averages() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    np.testing.assert_allclose(resize_image(Image.fromarray(stripes), 8), 127.5, atol=5)


def test_same_size_changes_nothing() -> None:
    image, mask = noise(9, 9, 3), noise(9, 9) > 200
    np.testing.assert_array_equal(resize_image(Image.fromarray(image), 9), image)
    np.testing.assert_array_equal(resize_mask(mask, 9), mask)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 2), (3, 3)])
def test_2x2_block_becomes_its_pixel_at_half_the_size(row: int, column: int) -> None:
    expected = np.zeros((4, 4), np.bool_)
    expected[row, column] = True
    block = np.kron(expected, np.ones((2, 2))).astype(np.bool_)
    np.testing.assert_array_equal(resize_mask(block, 4), expected)


@pytest.mark.parametrize("side", [32, 50, 100, 300])
def test_resized_mask_keeps_its_area(side: int) -> None:
    y, x = np.mgrid[:100, :120]
    disc = np.hypot(y - 40, x - 70) < 25
    resized = resize_mask(disc, side)
    assert resized.dtype == np.bool_
    assert resized.shape == (side, side)
    assert resized.mean() == pytest.approx(disc.mean(), rel=0.05)
