"""Depth: hand-made arrays with known answers, planes at any tilt, objects recovered to the pixel, bad files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import grey_dilation

from datasets import depth
from datasets.errors import DatasetError
from datasets.point_clouds import read_z
from tests.datasets.helpers import save_cloud

Array = NDArray[np.float32]
SHAPE = (40, 30)


def plane(down: float, right: float, shape: tuple[int, int] = SHAPE, level: float = 0.5) -> Array:
    """Return z of a plane; slopes in metres per pixel."""
    rows, columns = np.indices(shape)
    return (level + down * rows + right * columns).astype(np.float32)


def with_holes(z: Array, share: float = 0.05, seed: int = 0) -> Array:
    return np.where(np.random.default_rng(seed).random(z.shape) < share, 0, z).astype(np.float32)


def save(path: Path, z: NDArray[Any]) -> Path:
    return save_cloud(path, np.stack([0 * z, 0 * z, z], axis=-1))


def fill_by_loop(z: Array, rounds: int) -> Array:
    """Fill holes pixel by pixel: the definition."""
    z = z.copy()
    for _ in range(rounds):
        before = z.copy()
        for row, column in np.argwhere(before == 0):
            around = before[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            if around.any():
                z[row, column] = around[around != 0].mean()
    return z


def test_a_hole_gets_the_mean_of_its_valid_neighbours() -> None:
    z = np.array([[1, 2, 3], [4, 0, 6], [7, 0, 9]], np.float32)
    expected = [[1, 2, 3], [4, (1 + 2 + 3 + 4 + 6 + 7 + 9) / 7, 6], [7, (4 + 6 + 7 + 9) / 4, 9]]
    np.testing.assert_allclose(depth.fill_holes(z, 1), np.array(expected), rtol=1e-6)


def test_a_hole_in_a_corner_has_three_neighbours() -> None:
    z = np.array([[0, 2, 9], [4, 9, 9], [9, 9, 9]], np.float32)
    assert depth.fill_holes(z, 1)[0, 0] == 5


def test_holes_close_by_one_pixel_a_round_from_all_sides() -> None:
    z = np.zeros((9, 9), np.float32)
    z[0] = 2.0
    for rounds in range(4):
        filled = depth.fill_holes(z, rounds)
        assert (filled[: rounds + 1] == 2).all()
        assert (filled[rounds + 1 :] == 0).all()


def test_a_round_looks_at_what_the_one_before_has_left() -> None:
    z = np.array([[4, 0, 0, 8]], np.float32)
    assert depth.fill_holes(z, 1).tolist() == [[4, 4, 8, 8]]
    assert z.tolist() == [[4, 0, 0, 8]]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.98])
@pytest.mark.parametrize("shape", [SHAPE, (1, 7), (2, 2), (5, 1)], ids=str)
def test_filling_equals_the_loop_over_missing_pixels(share: float, shape: tuple[int, int]) -> None:
    z = with_holes(np.random.default_rng(1).uniform(0.4, 0.6, shape).astype(np.float32), share)
    np.testing.assert_allclose(depth.fill_holes(z), fill_by_loop(z, 3), rtol=1e-6)


def test_corners_are_the_means_of_their_valid_pixels() -> None:
    z = np.zeros((5, 6), np.float32)
    z[:2, :2] = [[1, 2], [3, 0]]
    z[:2, -2:] = 4
    z[-1, 0] = 5
    np.testing.assert_array_equal(depth.corner_depths(z), [[2, 4], [5, np.nan]])


SLOPES = [(0.0, 0.0), (1e-4, -3e-4), (5e-3, 2e-3), (-0.012, 0.009)]


@pytest.mark.parametrize(("down", "right"), SLOPES)
def test_the_surface_between_the_corners_of_a_plane_is_the_plane(down: float, right: float) -> None:
    z = plane(down, right)
    found = depth.corner_plane(depth.corner_depths(z), z.shape)
    np.testing.assert_allclose(found, z, atol=1e-6)


@pytest.mark.parametrize(("down", "right"), SLOPES)
def test_a_tilted_plane_has_no_foreground(down: float, right: float) -> None:
    prepared = depth.prepare(plane(down, right), 16)
    assert not prepared.foreground.any()
    assert not prepared.depth.any()
    assert prepared.corners


@pytest.mark.parametrize(("down", "right"), [(0.0, 0.0), (3e-4, -2e-4), (-1e-3, 1e-3)])
def test_a_tilted_plane_with_holes_has_none_either(down: float, right: float) -> None:
    assert not depth.prepare(with_holes(plane(down, right)), 16).foreground.any()


def object_on(z: Array, height: float) -> tuple[Array, NDArray[np.bool_]]:
    """Let a disc stand on a plane; return z and the disc's pixels."""
    rows, columns = np.indices(z.shape)
    disc = np.hypot(rows - 18, columns - 14) < 9
    return np.where(disc, z - height, z).astype(np.float32), disc


@pytest.mark.parametrize(("down", "right"), SLOPES)
@pytest.mark.parametrize("height", [0.008, 0.03, -0.02])
def test_an_object_is_recovered_to_the_pixel(down: float, right: float, height: float) -> None:
    z, disc = object_on(plane(down, right), height)
    background = depth.corner_plane(depth.corner_depths(z), z.shape)
    np.testing.assert_array_equal(depth.foreground(z, background), disc)


def test_what_rises_less_than_7_mm_is_background() -> None:
    z, disc = object_on(plane(0, 0), 0.0069)
    assert not depth.foreground(z, plane(0, 0).astype(np.float64)).any()
    assert depth.foreground(z, plane(0, 0).astype(np.float64), 0.0068).sum() == disc.sum()


def test_holes_that_stay_are_not_foreground() -> None:
    z, disc = object_on(plane(0, 0), 0.02)
    z[10:20, 10:20] = 0
    filled = depth.fill_holes(z)
    inside = depth.foreground(filled, plane(0, 0).astype(np.float64))
    assert not inside[13:17, 13:17].any()
    assert inside[12, 12]
    assert disc[13:17, 13:17].all()


def test_centring_gives_centimetres_off_the_mean_and_no_background() -> None:
    z = np.array([[0.50, 0.40, 0.46], [0.50, 0.0, 0.50]], np.float32)
    inside = np.array([[0, 1, 1], [0, 0, 0]], np.bool_)
    np.testing.assert_allclose(depth.centre(z, inside), [[0, -3, 3], [0, 0, 0]], atol=1e-5)


def test_resizing_samples_between_the_nearest_pixels() -> None:
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_allclose(depth.resize(values, 2), [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(depth.resize(values, 4), values)


@pytest.mark.parametrize("size", [3, 8])
def test_dilation_grows_by_the_square(size: int) -> None:
    mask = np.zeros((30, 30), np.bool_)
    mask[12, 17] = True
    grown = depth.dilate(mask, size)
    assert grown.sum() == size**2
    assert grown[12, 17]
    random = np.random.default_rng(0).random((30, 30)) > 0.98
    footprint = np.ones((size, size))
    np.testing.assert_array_equal(depth.dilate(random, size), grey_dilation(random, footprint=footprint) > 0)


def test_preparation_takes_the_steps_in_order() -> None:
    z, _ = object_on(with_holes(plane(2e-4, 1e-4)), 0.02)
    filled = depth.fill_holes(z)
    inside = depth.foreground(filled, depth.corner_plane(depth.corner_depths(filled), z.shape))
    prepared = depth.prepare(z, 20)
    assert prepared.depth.shape == prepared.foreground.shape == (20, 20)
    np.testing.assert_array_equal(prepared.depth, depth.resize(depth.centre(filled, inside), 20))
    small = depth.resize(inside.astype(np.float32), 20) > 0
    np.testing.assert_array_equal(prepared.foreground, depth.dilate(small))
    assert small.sum() < prepared.foreground.sum() < 400


@pytest.mark.parametrize(("down", "right"), [(0.0, 0.0), (3e-4, -2e-4), (5e-3, 2e-3)])
def test_without_a_corner_the_border_tells_the_plane(down: float, right: float) -> None:
    z, disc = object_on(plane(down, right), 0.02)
    z[:8, :8] = 0
    z[15:20] -= 0.02  # something crosses the border on both sides
    prepared = depth.prepare(z, 20)
    assert not prepared.corners
    np.testing.assert_allclose(depth.border_plane(z), plane(down, right), atol=1e-5)
    inside = depth.foreground(z, depth.border_plane(z))
    np.testing.assert_array_equal(inside[20:], disc[20:])


@pytest.mark.parametrize("edge", [np.s_[0, :], np.s_[:, -1], np.s_[3:5, 0], np.s_[5, 5]], ids=str)
def test_a_border_that_spans_no_plane_is_refused(edge: Any) -> None:
    z = np.zeros((12, 12), np.float32)
    z[edge] = 0.5
    z[6:8, 6:8] = 0.5
    with pytest.raises(
        DatasetError, match=r"no depth in a corner .* pixels with depth on its border; expected"
    ):
        depth.prepare(z, 8)


def test_a_file_gives_its_z(tmp_path: Path) -> None:
    z = with_holes(plane(1e-3, 2e-3))
    np.testing.assert_array_equal(read_z(save(tmp_path / "000.tiff", z), (30, 40)), z)


def of_type(dtype: type, channels: int = 3) -> NDArray[Any]:
    values: NDArray[Any] = np.ones((40, 30, channels), dtype)
    return values[..., 0] if channels == 1 else values


def spoilt(value: float) -> Array:
    xyz = np.ones((40, 30, 3), np.float32)
    xyz[3, 4:6, 2] = value
    return xyz


@pytest.mark.parametrize(
    ("xyz", "message"),
    [
        (of_type(np.float32, 1), r"found 40x30 values of type float32; expected height x width x 3"),
        (of_type(np.float32, 4), r"found 40x30x4 values of type float32; expected height x width x 3"),
        (
            of_type(np.uint16),
            r"found 40x30x3 values of type uint16; expected .*float32 \(x, y, z in metres\)",
        ),
        (of_type(np.float64), r"found 40x30x3 values of type float64; expected .*float32"),
        (of_type(np.float32)[:, :20], r"the point cloud has 20x40 pixels, its image 30x40; expected"),
        (spoilt(np.nan), r"found 2 NaN or infinite z; expected metres, 0 where"),
        (spoilt(-np.inf), r"found 2 NaN or infinite z; expected metres, 0 where"),
        (0 * of_type(np.float32), r"every z is 0, so there is no depth; expected metres"),
    ],
    ids=["one channel", "four channels", "integers", "float64", "other size", "nan", "inf", "all zero"],
)
def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path, xyz: NDArray[Any], message: str) -> None:
    path = save_cloud(tmp_path / "000.tiff", xyz)
    with pytest.raises(DatasetError, match=rf"000\.tiff: {message}"):
        depth.read_depth(path, (30, 40), 8)


@pytest.mark.parametrize("content", [b"", b"garbage", slice(0, 60), slice(0, -1000)], ids=str)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes | slice) -> None:
    path = save(tmp_path / "000.tiff", plane(0, 0))
    path.write_bytes(path.read_bytes()[content] if isinstance(content, slice) else content)
    with pytest.raises(DatasetError, match=r"000\.tiff: not a readable TIFF file \(.*\); expected height"):
        read_z(path, (30, 40))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"000\.tiff: there is no such file"):
        read_z(tmp_path / "000.tiff", (30, 40))


def test_a_file_whose_background_is_unknown_is_named(tmp_path: Path) -> None:
    z = np.zeros(SHAPE, np.float32)
    z[15:25, 10:20] = 0.5
    with pytest.raises(DatasetError, match=r"000\.tiff: found no depth in a corner"):
        depth.read_depth(save(tmp_path / "000.tiff", z), (30, 40), 8)
