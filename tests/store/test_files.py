"""The files of a cell come back as they were written; damaged ones are errors."""

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from store.files import (
    Pairs,
    Pictures,
    read_curves,
    read_maps,
    read_pairs,
    read_regions,
    read_scores,
    read_shifts,
    write_curves,
    write_maps,
    write_pairs,
    write_pictures,
    write_regions,
    write_scores,
    write_shifts,
)
from store.shifts import ShiftedMeasures, mean_aurocs

NAMES = [f"test/{kind}/{i}.png" for i, kind in enumerate(["good", "good", "dent", "scratch", "scratch"])]
ODD = 'test/NA/\udcff, nan "1".png'


def test_scores_come_back_to_the_last_bit(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).normal(size=5) * 1e-7
    rows = [(name, name.split("/")[1], int(i > 1), float(scores[i])) for i, name in enumerate(NAMES)]
    write_scores(tmp_path, rows)
    table = read_scores(tmp_path / "scores.csv")
    assert [*table.itertuples(index=False, name=None)] == rows


def test_names_that_look_like_numbers_or_hold_no_text_stay_names(tmp_path: Path) -> None:
    write_scores(tmp_path, [(ODD, "NA", 1, 0.5), ("test/001/1.png", "001", 0, 0.25)])
    table = read_scores(tmp_path / "scores.csv")
    assert table["kind"].tolist() == ["NA", "001"]
    assert table["image"].tolist() == ['test/NA/\\udcff, nan "1".png', "test/001/1.png"]


def test_curves_and_regions_come_back(tmp_path: Path) -> None:
    rates, values = np.linspace(0, 1, 7), np.linspace(0, 1, 7) ** 2
    write_curves(tmp_path, {"image_roc": ([0.0, 1.0], [0.5, 1.0]), "pro": (rates, values)})
    curves = read_curves(tmp_path / "curves.csv")
    assert curves[curves["curve"] == "pro"]["value"].tolist() == values.tolist()
    regions = [
        (NAMES[2], "dent", 25, 25 / 1024, 0.5, 1 / 3),
        (NAMES[3], "scratch", 9, 9 / 1024, float("nan"), 0.1),
    ]
    write_regions(tmp_path, regions)
    table = read_regions(tmp_path / "regions.csv")
    assert table["area"].tolist() == [25, 9]
    assert table["pro"].tolist() == [1 / 3, 0.1]
    assert table["overlap"].isna().tolist() == [False, True]  # undefined without a threshold


class Recorded:
    """Maps that are read slice by slice."""

    def __init__(self, maps: NDArray[np.float32]) -> None:
        self.maps, self.largest = maps, 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.maps.shape

    def __getitem__(self, images: slice) -> NDArray[np.float32]:
        part = self.maps[images]
        self.largest = max(self.largest, len(part))
        return part


def test_maps_are_written_slice_by_slice_and_numpy_reads_them(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).gamma(1, 1e-6, (5, 8, 6)).astype(np.float32)
    recorded = Recorded(maps)
    write_maps(tmp_path, recorded, NAMES, chunk=2)
    assert recorded.largest == 2
    with np.load(tmp_path / "maps.npz") as stored:
        scale = max(float(np.abs(maps).max()) / 2**15, float(np.finfo(np.float32).tiny))
        np.testing.assert_array_equal(stored["maps"], (maps / scale).astype(np.float16))
        assert stored["maps"].dtype == np.float16
        assert stored["scale"] == np.float32(scale)
        assert stored["images"].tolist() == NAMES
    found = read_maps(tmp_path / "maps.npz")
    assert found.images == NAMES
    assert found.maps.dtype == np.float32
    np.testing.assert_allclose(found.maps, maps, rtol=2**-10, atol=1e-9)


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_maps_without_contrast_or_above_zero_come_back(tmp_path: Path, value: float) -> None:
    write_maps(tmp_path, np.full((2, 3, 3), value, np.float32), NAMES[:2])
    assert (read_maps(tmp_path / "maps.npz").maps == value).all()


def test_pictures_hold_the_images_and_the_exact_masks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = np.broadcast_to(rng.integers(0, 256, (5, 1, 1, 3), np.uint8), (5, 32, 32, 3)).copy()
    masks = rng.random((5, 32, 32)) > 0.8
    names = [*NAMES[:4], ODD]
    write_pictures(tmp_path, images, masks, names)
    damaged: list[str] = []
    pictures = Pictures(tmp_path / "pictures.zip", damaged)
    for i, name in enumerate([*NAMES[:4], 'test/NA/\\udcff, nan "1".png']):
        image, mask = pictures.image(name), pictures.mask(name)
        assert image is not None
        assert mask is not None
        assert abs(np.asarray(image, float) - images[i]).mean() < 3  # JPEG
        np.testing.assert_array_equal(np.asarray(mask), masks[i])
    assert pictures.image("none") is None
    assert damaged == []
    write_pictures(tmp_path, images, None, names)
    assert Pictures(tmp_path / "pictures.zip", damaged).mask(NAMES[0]) is None


def made_shifts() -> list[ShiftedMeasures]:
    nan = float("nan")
    rows = [("none", 0, 0.0, 1.0, 0.0), ("blur", 1, 3.0, 0.75, 2.0), ("blur", 2, 4.0, 0.5, nan)]
    return [
        ShiftedMeasures(shift, level, strength, auroc, 0.9, nan, 0.8, misses, 1.0, 17, 6)
        for shift, level, strength, auroc, misses in rows
    ]


def test_measures_of_shifted_images_come_back_with_their_means(tmp_path: Path) -> None:
    measured = made_shifts()
    write_shifts(tmp_path, measured)
    table = read_shifts(tmp_path / "shifts.csv")
    assert table["shift"].tolist() == ["none", "blur", "blur"]
    assert table["image_auroc"].tolist() == [1.0, 0.75, 0.5]
    assert table["misses"].isna().tolist() == [False, False, True]
    assert table["anomalous"].tolist() == [17] * 3
    assert mean_aurocs(measured) == {"shifted_image_auroc/blur": 0.625}
    undefined = replace(measured[0], shift="blur", image_auroc=float("nan"))
    assert np.isnan(mean_aurocs([*measured, undefined])["shifted_image_auroc/blur"])


def made_pairs() -> Pairs:
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 30, 2)).astype(np.float32)
    distance = np.square(teacher - student).mean(1)
    return Pairs(teacher, student, distance, distance > 1)


def test_pairs_come_back(tmp_path: Path) -> None:
    pairs = made_pairs()
    write_pairs(tmp_path, pairs)
    found = read_pairs(tmp_path / "pairs.npz")
    for name, values in vars(pairs).items():
        np.testing.assert_array_equal(getattr(found, name), values)


def test_pairs_of_the_first_format_are_read(tmp_path: Path) -> None:
    pairs = made_pairs()
    values = {**vars(pairs), "defective": pairs.anomalous}
    values.pop("anomalous")
    np.savez_compressed(tmp_path / "outputs.npz", **values)
    np.testing.assert_array_equal(read_pairs(tmp_path / "outputs.npz").anomalous, pairs.anomalous)


def write_all(folder: Path) -> None:
    write_scores(folder, [(name, name.split("/")[1], i % 2, i / 7) for i, name in enumerate(NAMES)])
    write_curves(folder, {"pro": (np.linspace(0, 1, 5), np.linspace(0, 1, 5))})
    write_regions(folder, [(name, "dent", 25, 0.25, 0.5, 0.3) for name in NAMES])
    write_shifts(folder, made_shifts())
    maps = np.random.default_rng(0).random((5, 16, 16)).astype(np.float32)
    write_maps(folder, maps, NAMES)
    write_pairs(folder, made_pairs())


READERS: dict[str, Callable[[Path], Any]] = {
    "scores.csv": read_scores,
    "curves.csv": read_curves,
    "regions.csv": read_regions,
    "shifts.csv": read_shifts,
    "maps.npz": read_maps,
    "pairs.npz": read_pairs,
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_was_cut_is_an_error(tmp_path: Path, name: str) -> None:
    write_all(tmp_path)
    content = (tmp_path / name).read_bytes()
    for size in (0, 1, len(content) // 3, len(content) // 2, len(content) - 1):
        (tmp_path / name).write_bytes(content[:size])
        with pytest.raises(Exception):  # noqa: B017, PT011 (of any kind)
            READERS[name](tmp_path / name)


@pytest.mark.parametrize("name", ["maps.npz", "pairs.npz"])
def test_a_changed_byte_is_an_error_or_changes_nothing(tmp_path: Path, name: str) -> None:
    write_all(tmp_path)
    content, intact = (tmp_path / name).read_bytes(), READERS[name](tmp_path / name)
    errors = 0
    for place in np.random.default_rng(0).choice(len(content), 200, replace=False):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        (tmp_path / name).write_bytes(changed)
        try:
            found = READERS[name](tmp_path / name)
        except Exception:
            errors += 1
            continue
        for field, values in vars(intact).items():
            np.testing.assert_array_equal(getattr(found, field), values)
    assert errors > 100


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("maps.npz", {"maps": np.zeros((2, 3)), "scale": 1.0, "images": ["a", "b"]}),
        ("maps.npz", {"maps": np.zeros((2, 3, 3)), "scale": 1.0, "images": ["a"]}),
        ("maps.npz", {"maps": np.array([["a"]]), "scale": 1.0, "images": ["a"]}),
        ("maps.npz", {"scale": 1.0}),
        ("pairs.npz", {**vars(made_pairs()), "distance": np.zeros((30, 2))}),
        ("pairs.npz", {**vars(made_pairs()), "anomalous": np.zeros(30)}),
    ],
)
def test_arrays_of_another_kind_are_errors(tmp_path: Path, name: str, values: dict[str, Any]) -> None:
    np.savez_compressed(tmp_path / name, **values)
    with pytest.raises((ValueError, KeyError, TypeError)):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        "image,kind,label\r\na,b,1\r\n",
        "image,kind,label,score\r\na,b,1,zero\r\n",
        "image,kind,label,score\r\na,b,1,\r\n",
        "image,kind,label,score\r\na,b,1.5,0\r\n",
        "image,kind,label,score\r\na,b,1,0,5\r\n",
        "image,kind,label,score\r\na,b\r\n",
    ],
)
def test_a_table_of_another_form_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "scores.csv").write_text(text, newline="")
    with pytest.raises(ValueError, match=r"incomplete|missing|invalid literal|could not convert"):
        read_scores(tmp_path / "scores.csv")


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, np.zeros((2, 8, 8, 3), np.uint8), None, NAMES[:2])
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path) as archive:
        start = archive.infolist()[0].header_offset
    content = bytearray(path.read_bytes())
    content[start + 60 : start + 90] = bytes(30)
    path.write_bytes(content)
    damaged: list[str] = []
    pictures = Pictures(path, damaged)
    assert pictures.image(NAMES[0]) is None
    assert pictures.image(NAMES[1]) is not None
    (line,) = damaged
    assert line.startswith(f"{path}, {NAMES[0]}.jpg: ")
