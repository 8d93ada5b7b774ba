"""The synthetic 3D dataset: layout, determinism, what each defect changes, and a depth sensor's habits."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from datasets.errors import DatasetError
from datasets.synthetic import RGBDGenerator, Synthetic3D, generate_3d
from datasets.synthetic.rgbd import Picture3D, Scan
from datasets.synthetic.sensor import Sensor
from store.keys import code_of

GENERATOR = RGBDGenerator()
draw = GENERATOR.draw
CATEGORIES = tuple(GENERATOR.scenes)

DEPTH_ONLY = [("biscuit", "dent"), ("rod", "swelling")]
COLOUR_ONLY = [("biscuit", "stain"), ("rod", "paint")]
BOTH = [("biscuit", "lump"), ("rod", "glue")]
EVERY_KIND = DEPTH_ONLY + COLOUR_ONLY + BOTH
SIZES = pytest.mark.parametrize(("size", "count"), [(32, 6), (128, 4)])


def generate_tiny(
    root: Path, categories: tuple[str, ...] = CATEGORIES, train: int = 2, seed: int = 0
) -> Path:
    counts = {"train": train, "validation": 1, "test_good": 2, "test_defective": 1}
    return generate_3d(root, categories, 32, seed, **counts)


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files of a dataset, without the digests."""
    files = (path for path in folder.rglob("*.*") if path.is_file() and path.name != "digests.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def pairs(category: str, kind: str, size: int, count: int) -> Iterator[tuple[Picture3D, Picture3D]]:
    """Draw images of a kind and the same scenes without the defect."""
    for index in range(count):
        exposure, _ = GENERATOR.set_up(category, "test", kind, index, image_size=size, seed=3)
        yield draw(category, "test", kind, index, image_size=size, seed=3), exposure.normal()


def height_above_ground(xyz: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Fit a plane to the picture's border; give each pixel's height over it, in metres, and where it is valid."""
    valid = xyz[..., 2] > 0
    border = valid.copy()
    border[2:-2, 2:-2] = False
    points = xyz.astype(np.float64)
    sides = np.concatenate([points[..., :2], np.ones((*valid.shape, 1))], axis=-1)
    plane, *_ = np.linalg.lstsq(sides[border], points[border, 2], rcond=None)
    return sides @ plane - points[..., 2], valid


def body_of(category: str, kind: str, index: int, size: int) -> NDArray[np.floating]:
    exposure, _ = GENERATOR.set_up(category, "test", kind, index, image_size=size, seed=3)
    assert isinstance(exposure, Scan)
    return exposure.scene.body


def test_layout_is_that_of_mvtec_3d_ad(tmp_path: Path) -> None:
    folder = generate_tiny(tmp_path, ("rod",))
    parts = {"train/good": 2, "validation/good": 1, "test/good": 2}
    parts |= {f"test/{kind}": 1 for kind in ("swelling", "paint", "glue")}
    expected = {
        f"rod/{part}/{name}"
        for part, count in parts.items()
        for i in range(count)
        for name in (f"rgb/00{i}.png", f"xyz/00{i}.tiff", f"gt/00{i}.png")
    }
    assert set(files_of(folder)) == expected
    assert folder.name.startswith("synthetic-3d-")


def test_files_hold_what_is_drawn(tmp_path: Path) -> None:
    folder = generate_tiny(tmp_path)
    for path in folder.rglob("rgb/*.png"):
        category, split, kind = path.relative_to(folder).parts[:3]
        drawn = draw(category, split, kind, int(path.stem), image_size=32, seed=0)
        with Image.open(path) as image, Image.open(path.parents[1] / "gt" / path.name) as mask:
            assert (image.mode, mask.mode) == ("RGB", "L")
            assert np.array_equal(np.asarray(image), drawn.image)
            assert np.array_equal(np.asarray(mask), drawn.mask)
        assert set(np.unique(drawn.mask)) == ({0} if kind == "good" else {0, 255})
        with tifffile.TiffFile(path.parents[1] / "xyz" / f"{path.stem}.tiff") as tiff:
            assert len(tiff.pages) == 1
            assert tiff.pages.first.compression == tifffile.COMPRESSION.NONE
            xyz = tiff.asarray()
        assert (xyz.shape, xyz.dtype) == ((32, 32, 3), np.float32)
        assert np.array_equal(xyz, drawn.xyz)


def test_same_arguments_give_the_same_files(tmp_path: Path) -> None:
    first, second = generate_tiny(tmp_path / "a"), generate_tiny(tmp_path / "b", CATEGORIES[::-1])
    assert first.name == second.name
    assert files_of(first) == files_of(second)


def test_an_image_does_not_depend_on_counts_or_on_other_categories(tmp_path: Path) -> None:
    few = files_of(generate_tiny(tmp_path, ("rod",), train=1))
    assert few.items() < files_of(generate_tiny(tmp_path, ("rod",), train=3)).items()
    assert few.items() < files_of(generate_tiny(tmp_path, train=1)).items()


@pytest.mark.parametrize("category", CATEGORIES)
def test_seeds_splits_and_indices_give_different_scenes(category: str) -> None:
    keys = [("train", 0, 0), ("train", 1, 0), ("validation", 0, 0), ("test", 0, 0), ("train", 0, 1)]
    drawn = [draw(category, split, "good", index, image_size=32, seed=seed) for split, index, seed in keys]
    assert len({picture.image.tobytes() for picture in drawn}) == len(keys)
    assert len({picture.xyz.tobytes() for picture in drawn}) == len(keys)


def test_kinds_are_those_that_are_tested() -> None:
    known = {(name, kind) for name, solid in GENERATOR.scenes.items() for kind in solid.kinds}
    assert known == set(EVERY_KIND)


@SIZES
@pytest.mark.parametrize(("category", "kind"), EVERY_KIND)
def test_a_defect_changes_what_it_should_and_nothing_else(
    category: str, kind: str, size: int, count: int
) -> None:
    for marred, clean in pairs(category, kind, size, count):
        assert np.array_equal(marred.image, clean.image) == ((category, kind) in DEPTH_ONLY)
        assert np.array_equal(marred.xyz, clean.xyz) == ((category, kind) in COLOUR_ONLY)
        outside = marred.mask == 0
        assert np.array_equal(marred.image[outside], clean.image[outside])
        assert np.array_equal(marred.xyz[outside], clean.xyz[outside])
        assert np.array_equal(marred.xyz == 0, clean.xyz == 0)
        assert not clean.mask.any()


@SIZES
@pytest.mark.parametrize(("category", "kind"), EVERY_KIND)
def test_defects_are_clear_and_within_the_solid(category: str, kind: str, size: int, count: int) -> None:
    for index, (marred, clean) in enumerate(pairs(category, kind, size, count)):
        inside = marred.mask > 0
        assert 0.008 <= inside.mean() <= 0.06
        assert body_of(category, kind, index, size)[inside].max() < -0.02
        if (category, kind) not in DEPTH_ONLY:
            contrast = np.abs(marred.image.astype(int) - clean.image)[inside]
            assert contrast.mean() >= 35
            assert np.any(contrast, axis=1).mean() > 0.95
        if (category, kind) not in COLOUR_ONLY:
            shift = np.abs(marred.xyz - clean.xyz)[inside & (clean.xyz[..., 2] > 0), 2]
            assert shift.mean() >= 0.0025
            assert 0.004 <= shift.max() <= 0.010


@SIZES
@pytest.mark.parametrize("category", CATEGORIES)
def test_ground_is_a_tilted_plane(category: str, size: int, count: int) -> None:
    for index in range(count):
        xyz = draw(category, "test", "good", index, image_size=size, seed=3).xyz
        height, valid = height_above_ground(xyz)
        ground = valid & (body_of(category, "good", index, size) > 0.05)
        assert 0.0001 < np.std(height[ground]) < 0.0002
        assert np.ptp(xyz[ground, 2]) > 0.010
        assert abs(np.median(xyz[ground, 2]) - 0.5) < 0.02
        assert abs(np.ptp(xyz[valid, 0]) - 0.14) < 0.14 * 0.08


@SIZES
@pytest.mark.parametrize(("category", "kind"), [*((name, "good") for name in CATEGORIES), *DEPTH_ONLY, *BOTH])
def test_solid_stands_out_from_the_ground(category: str, kind: str, size: int, count: int) -> None:
    for index, (picture, _) in enumerate(pairs(category, kind, size, count)):
        height, valid = height_above_ground(picture.xyz)
        inside = body_of(category, kind, index, size) < 0
        foreground = valid & (height > 0.007)
        assert foreground[valid & inside].mean() > 0.92
        assert not foreground[~inside].any()
        assert 0.25 < foreground.mean() < 0.45
        assert not inside[[0, -1]].any()
        assert not inside[:, [0, -1]].any()
        assert 0.015 < height[valid].max() < 0.033


@SIZES
@pytest.mark.parametrize("category", CATEGORIES)
def test_solids_vary_in_place_size_and_height(category: str, size: int, count: int) -> None:
    pictures = [draw(category, "train", "good", index, image_size=size, seed=3) for index in range(count)]
    heights = [height_above_ground(picture.xyz) for picture in pictures]
    areas = [np.mean(height > 0.007) for height, _ in heights]
    tops = [np.percentile(height[valid], 99) for height, valid in heights]
    assert np.ptp(areas) > 0.02 * np.mean(areas)
    assert 0.0005 < np.ptp(tops) < 0.005


@pytest.mark.parametrize(("category", "size"), [(name, size) for name in CATEGORIES for size in (32, 128)])
def test_holes_are_few_and_tell_nothing_of_defects(category: str, size: int) -> None:
    kinds = ("good", *GENERATOR.scenes[category].kinds)
    shares = {}
    for kind in kinds:
        clouds = [draw(category, "test", kind, index, image_size=size, seed=3).xyz for index in range(10)]
        for xyz in clouds:
            missing = xyz[..., 2] == 0
            assert 0.01 < missing.mean() < 0.12
            assert not xyz[missing].any()
            assert (xyz[~missing, 2] > 0.4).all()
        shares[kind] = np.mean([np.mean(xyz[..., 2] == 0) for xyz in clouds])
    assert max(shares.values()) - min(shares.values()) < 0.006


@pytest.mark.parametrize("category", CATEGORIES)
def test_holes_lie_beside_the_solid_where_the_light_does_not_reach(category: str) -> None:
    for index in range(4):
        xyz = draw(category, "test", "good", index, image_size=128, seed=3).xyz
        missing = xyz[..., 2] == 0
        body = body_of(category, "good", index, 128)
        near = (body > 0) & (body < 0.03)
        right = np.arange(128) > 64
        assert missing[:, right][near[:, right]].mean() > 0.2
        assert missing[:, ~right][near[:, ~right]].mean() < 0.1


def test_corners_have_depth() -> None:
    for seed in range(200):
        sensor = Sensor.sample(np.random.default_rng(seed), np.zeros((32, 32)), (5.0, 5.0))
        assert not sensor.holes[::31, ::31].any()


def test_second_call_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = generate_tiny(tmp_path)
    monkeypatch.setattr(RGBDGenerator, "draw", None)
    assert generate_tiny(tmp_path) == folder


def test_simultaneous_calls_write_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def counted(
        _: RGBDGenerator, category: str, split: str, kind: str, index: int, **options: int
    ) -> Picture3D:
        drawn.append(kind)
        return draw(category, split, kind, index, **options)

    monkeypatch.setattr(RGBDGenerator, "draw", counted)
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(generate_tiny, [tmp_path] * 4))
    assert len(folders) == 1
    assert len(drawn) == 2 * (2 + 1 + 2 + 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"categories": ["biscut"]},
            r"'biscut' is not a generated category \(did you mean 'biscuit'\?\); found: biscuit, rod",
        ),
        ({"categories": []}, r"categories is empty; expected all, or some of biscuit, rod"),
        ({"image_size": 31}, "image_size=31; expected 32 to 2048"),
        ({"validation": 0}, "validation=0; expected 1 to 10000"),
        ({"test_defective": 0}, "test_defective=0; expected 1 to 10000"),
        ({"test_defective": 10**9}, "test_defective=1000000000; expected 1 to 10000"),
        ({"image_size": 10**6}, "image_size=1000000; expected 32 to 2048"),
        ({"seed": -1}, "seed=-1; expected 0 to 4294967295"),
        ({"seed": 2**32}, "seed=4294967296; expected 0 to 4294967295"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        generate_3d(tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_code_of_all_scenes_is_in_the_key() -> None:
    drawn_by = {"drawing", "generator", "rgbd", "sensor", "solids"}
    assert {f"datasets.synthetic.{name}" for name in drawn_by} <= set(code_of(RGBDGenerator))


@pytest.mark.parametrize("asked", ["all", "rod", ["rod"]])
def test_ordinary_loader_reads_it(tmp_path: Path, asked: str | list[str]) -> None:
    dataset = Synthetic3D(tmp_path, asked, 32, train=2, validation=1, test_good=2, test_defective=1)
    assert dataset.categories == (CATEGORIES if asked == "all" else ("rod",))
    category = dataset.category("rod")
    assert (len(category.train), len(category.validation)) == (2, 1)
    assert [sample.kind for sample in category.test] == ["glue", "good", "good", "paint", "swelling"]
    for sample in (*category.train, *category.validation, *category.test):
        assert sample.xyz is not None
        assert sample.xyz.is_file()
        assert (sample.mask is not None) == (sample.kind != "good")
