"""Shifts of images: level 0 changes nothing, levels lead away from the image, whose content decides on the change."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmark.data.images import open_images_store
from benchmark.data.shifts import moves, shift
from datasets.category import Category
from store.shifts import LEVELS, SHIFTS

COLOURS = [name for name in SHIFTS if not moves(name)]
MOVES = [name for name in SHIFTS if moves(name)]
every_shift = pytest.mark.parametrize("name", SHIFTS)


@pytest.fixture(scope="module")
def image(washer: Category, tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.uint8]:
    """Return a generated image, 64 pixels a side."""
    return np.array(open_images_store(washer, "test", 64, tmp_path_factory.mktemp("cache")).images[0])


def grey(value: int, side: int = 56) -> NDArray[np.uint8]:
    return np.full((side, side, 3), value, np.uint8)


def square(side: int = 56) -> NDArray[np.bool_]:
    mask = np.zeros((side, side), np.bool_)
    mask[8:20, 24:46] = True
    return mask


@every_shift
def test_level_0_is_the_image_itself(image: NDArray[np.uint8], name: str) -> None:
    mask = square(64)
    unchanged, own = shift(name, 0, image, mask)
    assert unchanged is image
    assert own is mask


@every_shift
def test_each_level_is_farther_from_the_image_and_has_its_form(image: NDArray[np.uint8], name: str) -> None:
    found = [shift(name, level, image)[0] for level in LEVELS]
    assert {each.shape for each in found} == {image.shape}
    assert {each.dtype for each in found} == {np.dtype(np.uint8)}
    distances = [np.square(each.astype(float) - image).mean() for each in found]
    assert distances == sorted(distances)
    assert len({0.0, *distances}) == 1 + len(LEVELS)


@every_shift
@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_images_stay_within_8_bits(name: str, value: int) -> None:
    changed = shift(name, 5, grey(value))[0].astype(int)
    expected = {"brightness": 76, "darkness": 0}.get(name, value) if value == 0 else 255
    expected = 255 - 76 if (name, value) == ("darkness", 255) else expected
    assert abs(changed.mean() - expected) <= (12 if name == "noise" else 1)  # half of the noise is cut off


@every_shift
def test_an_image_alone_decides_how_it_changes(image: NDArray[np.uint8], name: str) -> None:
    other = image[::-1].copy()
    first = [shift(name, 3, each)[0] for each in (image, other)]
    second = [shift(name, 3, each)[0] for each in (other, np.asfortranarray(image))]
    np.testing.assert_array_equal(first[0], second[1])
    np.testing.assert_array_equal(first[1], second[0])


@pytest.mark.parametrize("name", COLOURS)
def test_masks_stay_where_colours_alone_change(name: str) -> None:
    mask = square()
    assert shift(name, 5, grey(100), mask)[1] is mask


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("level", LEVELS)
def test_masks_move_with_the_image(name: str, level: int) -> None:
    mask, image = square(), grey(50)
    image[mask] = 250
    moved, own = shift(name, level, image, mask)
    assert own is not None
    assert (own != mask).any()
    differing = np.abs(moved[..., 0].astype(int) - np.where(own, 250, 50)) > 100
    assert differing.sum() <= 4  # the corners, which the image interpolates and the mask does not
    assert own.sum() == pytest.approx(mask.sum(), rel=0.15)
    assert shift(name, level, image)[1] is None


def test_what_enters_from_outside_is_mirrored_with_its_mask() -> None:
    """A defect at the border appears a second time where the image has moved away from it."""
    found = set()
    for value in range(8):  # grey values draw different directions
        image, mask = grey(value, side=50), np.zeros((50, 50), np.bool_)
        mask[:, 1] = True
        image[mask] = 250
        moved, own = shift("translation", 5, image, mask)
        assert own is not None
        np.testing.assert_array_equal(moved[..., 0] == 250, own)
        found.add(tuple(np.flatnonzero(own.any(axis=0)).tolist()))
    assert found <= {(1,), (4, 6), ()}
    assert (4, 6) in found


def test_the_value_of_hsv_is_raised_and_hue_and_saturation_are_kept() -> None:
    image = np.full((8, 8, 3), (100, 50, 20), np.uint8)
    for name, sign in (("brightness", 1), ("darkness", -1)):
        changed = shift(name, 2, image)[0]
        before, after = (np.array(Image.fromarray(each).convert("HSV"))[0, 0] for each in (image, changed))
        assert after.astype(int) - before == pytest.approx([0, 0, sign * 0.1 * 255], abs=1.5)


def test_contrast_is_scaled_about_the_mean_colour() -> None:
    image = np.concatenate([grey(100), grey(200)])[:56]
    image = np.hstack([image[:, :28], image[:, :28] + 100]).astype(np.uint8)
    changed = shift("contrast", 2, image)[0]
    assert np.unique(changed).tolist() == [125, 175]


def test_blur_spreads_a_point_over_a_disk_of_the_radius_of_its_level() -> None:
    image = np.zeros((224, 224, 3), np.uint8)
    image[100:124, 100:124] = 255
    for level, radius in zip(LEVELS, SHIFTS["blur"].levels, strict=True):
        lit = shift(name := "blur", level, image)[0][112, :, 0] > 0
        assert lit.sum() == pytest.approx(24 + 2 * radius, abs=2), name
    smaller = shift("blur", 5, image[::2, ::2].copy())[0]
    larger = shift("blur", 5, image)[0][::2, ::2]
    assert np.abs(smaller.astype(int) - larger).mean() < 2  # the radius follows the size of the image


def test_blur_is_the_convolution_with_a_disk() -> None:
    from scipy.ndimage import convolve

    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    radius = 10 * 40 / 224
    steps = np.arange(-2, 3)
    disk = np.clip(radius + 0.5 - np.hypot(steps[:, None], steps), 0, 1)
    expected = [
        convolve(channel / 255, disk / disk.sum(), mode="reflect") for channel in np.moveaxis(image, 2, 0)
    ]
    np.testing.assert_allclose(shift("blur", 5, image)[0], 255 * np.stack(expected, 2), atol=0.5001)


def test_noise_has_the_deviation_of_its_level() -> None:
    for level, deviation in zip(LEVELS, SHIFTS["noise"].levels, strict=True):
        noise = shift("noise", level, grey(128))[0].astype(float) - 128
        assert noise.std() == pytest.approx(255 * deviation, rel=0.03)


def test_a_rotation_turns_by_its_degrees() -> None:
    side = 101
    image = np.zeros((side, side, 3), np.uint8)
    image[50, 60:95] = 255  # to the right of the centre
    for level, degrees in zip(LEVELS, SHIFTS["rotation"].levels, strict=True):
        rows, columns = np.nonzero(shift("rotation", level, image)[0][..., 0] > 100)
        slope = np.rad2deg(np.arctan(np.polyfit(columns, rows, 1)[0]))
        assert abs(slope) == pytest.approx(degrees, abs=0.6)
