"""Heat maps: the image's size, one scale for all, and a line around what reaches the pixel threshold."""

import numpy as np
import pytest
from PIL import Image

from store.heat_maps import CONTOUR, colour_scale, heat_map, outline, preview
from store.predictions import ColourScale

GREY = (90, 90, 90)
SCALE = ColourScale(0.0, 2.0, contour=1.0)


def drawn(values: np.ndarray, size: tuple[int, int] = (64, 32), scale: ColourScale = SCALE) -> np.ndarray:
    return np.asarray(heat_map(Image.new("RGB", size, GREY), values.astype(np.float32), scale))


@pytest.mark.parametrize("size", [(64, 32), (1, 1), (3, 500), (2000, 1000)])
def test_it_has_the_size_of_its_image(size: tuple[int, int]) -> None:
    assert drawn(np.random.default_rng(0).random((16, 16)) * 2, size).shape == (size[1], size[0], 3)


def test_what_is_normal_leaves_the_image_as_it_is() -> None:
    assert (drawn(np.full((16, 16), -5.0)) == GREY).all()
    assert (drawn(np.zeros((16, 16))) == GREY).all()


def test_stronger_values_are_brighter_and_the_scale_ends() -> None:
    red = [
        int(drawn(np.full((8, 8), value), scale=ColourScale(0.0, 2.0))[0, 0, 0])
        for value in (0.5, 1.5, 2, 99)
    ]
    assert red[0] < red[1] < red[2] == red[3]


def test_a_line_encloses_the_pixels_that_reach_the_threshold() -> None:
    values = np.zeros((32, 64))
    values[8:24, 16:48] = 1.0
    found = (drawn(values) == CONTOUR).all(-1)
    assert found[8, 16:48].all()
    assert found[8:24, 16].all()
    assert not found[9:23, 17:47].any()
    assert not found[:8].any()


def test_the_line_is_wider_on_larger_images() -> None:
    values = np.zeros((10, 10))
    values[2:8, 2:8] = 2.0
    found = (drawn(values, (1600, 1600)) == CONTOUR).all(-1)
    assert found[800, :800].sum() == 4


def test_the_scale_has_the_pixel_threshold_in_its_middle_and_begins_at_the_median() -> None:
    maps = [np.array([[0.25, 0.25], [0.25, 3.0]], np.float32)]
    assert colour_scale(maps, 1.0) == ColourScale(0.25, 1.75, 1.0)
    assert colour_scale(maps, 1.0).position(1.0) == 0.5


@pytest.mark.parametrize("pixel", [None, -7.0, 0.5, 100.0])
@pytest.mark.parametrize("values", [[0.5] * 100, np.linspace(-3, 4, 100)])
def test_every_map_and_threshold_has_a_scale(pixel: float | None, values: list[float]) -> None:
    maps = [np.array(values, np.float32).reshape(10, 10)]
    scale = colour_scale(maps, pixel)
    assert scale.low < scale.high
    assert scale.contour == pixel
    assert drawn(maps[0], scale=scale).shape == (32, 64, 3)


def test_a_preview_shows_image_and_heat_map_side_by_side() -> None:
    image, other = Image.new("RGB", (400, 800), "black"), Image.new("RGB", (400, 800), "white")
    small = np.asarray(preview(image, other))
    assert small.shape == (176, 2 * 88 + 3, 3)
    assert small[:, :88].max() == 0
    assert small[:, -88:].min() == 255


def test_undefined_pixels_do_not_count_for_the_scale_and_are_transparent() -> None:
    maps = [np.array([[0.25, 0.25], [np.nan, 3.0]], np.float32)]
    assert colour_scale(maps, 1.0) == ColourScale(0.25, 1.75, 1.0)
    assert colour_scale([np.full((2, 2), np.nan, np.float32)], None) == ColourScale(0.0, 1.0)
    assert (drawn(np.full((16, 16), np.nan)) == GREY).all()


def test_an_outline_is_the_inner_border_of_a_region() -> None:
    region = np.zeros((8, 8), bool)
    region[2:7, 2:7] = True
    expected = region.copy()
    expected[3:6, 3:6] = False
    np.testing.assert_array_equal(outline(region, 1), expected)
