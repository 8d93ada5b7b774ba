"""A submission to MVTec AD 2's server: what its files hold, and what the check refuses."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from benchmark.deployment.submission import (
    official_names,
    private_images,
    scale_of,
    write_pair,
)
from benchmark.deployment.submission_check import Size, check_submission
from datasets.errors import DatasetError
from datasets.mvtec_ad_2 import MVTecAD2
from tests.datasets.helpers import noise, save
from tests.datasets.official_trees import make_mvtec_ad_2

NAMES: dict[str, Size | None] = {
    "can/test_private/000_regular": (30, 20),
    "can/test_private_mixed/000_mixed": (31, 20),
}
MAP = "anomaly_images/can/test_private/000_regular.tiff"
THRESHOLDED = "anomaly_images_thresholded/can/test_private/000_regular.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a submission of two images."""
    spare = tmp_path / "spare"
    spare.mkdir()
    anomaly_map = np.random.default_rng(0).random((8, 8), np.float32)
    for name, size in NAMES.items():
        assert size is not None
        write_pair(tmp_path / "submission", name, anomaly_map, size, 0.5, spare)
    assert [*spare.iterdir()] == []
    return tmp_path / "submission"


def test_a_map_has_the_size_of_its_image_and_is_marked_from_the_threshold_on(folder: Path) -> None:
    values, pixels = tifffile.imread(folder / MAP), np.asarray(Image.open(folder / THRESHOLDED))
    assert (values.shape, values.dtype) == ((20, 30), np.float16)
    assert (pixels.shape, pixels.dtype) == ((20, 30), np.uint8)
    assert set(np.unique(pixels)) == {0, 255}
    assert scale_of(0.5) == 2
    away = np.abs(values.astype(float) - 1) > 1e-3
    np.testing.assert_array_equal((values >= 1)[away], (pixels == 255)[away])


def test_a_pixel_of_the_thresholds_value_is_anomalous(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", np.full((4, 4), 0.7, np.float32), (4, 4), float(np.float32(0.7)), tmp_path)
    assert np.asarray(Image.open(tmp_path / "anomaly_images_thresholded/a.png")).min() == 255
    # no float32 lies between this and the values of the map
    above = float(np.nextafter(np.float64(np.float32(0.7)), 1))
    write_pair(tmp_path, "b", np.full((4, 4), 0.7, np.float32), (4, 4), above, tmp_path)
    assert np.asarray(Image.open(tmp_path / "anomaly_images_thresholded/b.png")).max() == 0


@pytest.mark.parametrize("magnitude", [1e-9, 1e-6, 1.0, 1e7])
def test_maps_of_any_magnitude_keep_the_order_of_their_pixels(tmp_path: Path, magnitude: float) -> None:
    steps = np.geomspace(0.01, 100, 64).reshape(8, 8)
    write_pair(tmp_path, "a", (magnitude * steps).astype(np.float32), (8, 8), magnitude, tmp_path)
    values = tifffile.imread(tmp_path / "anomaly_images/a.tiff")
    assert (np.diff(values.ravel()) > 0).all()
    np.testing.assert_allclose(values.ravel() / values[0, 0], (steps / steps[0, 0]).ravel(), rtol=2e-3)


def test_values_beyond_float16_become_its_largest(tmp_path: Path) -> None:
    wide = np.array([[1, 1e4], [1e6, -1e6]], np.float32)
    write_pair(tmp_path, "a", wide, (2, 2), 1.0, tmp_path)
    largest = np.finfo(np.float16).max
    assert tifffile.imread(tmp_path / "anomaly_images/a.tiff").tolist() == [[1, 1e4], [largest, -largest]]


def test_the_official_submission_has_2045_images_of_each_split() -> None:
    names = official_names()
    assert len(names) == len({*names}) == 2 * 2045
    assert names.count("sheet_metal/test_private/141_regular") == 1
    assert "sheet_metal/test_private/142_regular" not in names


def test_private_images_are_named_as_in_the_submission(tmp_path: Path) -> None:
    root = make_mvtec_ad_2(tmp_path, ["can"])
    found = private_images(MVTecAD2(str(root), ["can"]))
    assert [*found] == [
        *("can/test_private/000_regular", "can/test_private/001_regular"),
        *("can/test_private_mixed/000_mixed", "can/test_private_mixed/001_mixed"),
    ]
    assert found["can/test_private/001_regular"] == root / "can/test_private/001_regular.png"


def test_private_images_that_are_missing_or_named_otherwise_are_refused(tmp_path: Path) -> None:
    root = make_mvtec_ad_2(tmp_path, ["can"])
    save(root / "can/test_private/7.png", noise(4, 4))
    for path in (root / "can/test_private_mixed").iterdir():
        path.unlink()
    with pytest.raises(DatasetError) as caught:
        private_images(MVTecAD2(str(root), ["can"]))
    other, none = caught.value.faults
    assert other == f"{root}/can/test_private/7.png: expected a name as 000_regular.png"
    assert none.startswith(f"{root}/can/test_private_mixed: found no private test image")


def test_what_is_written_is_accepted_with_and_without_the_sizes_of_the_images(folder: Path) -> None:
    counts: list[int] = []
    assert check_submission(folder, NAMES, counts.append) == []
    assert sum(counts) == len(NAMES)
    assert check_submission(folder, dict.fromkeys(NAMES)) == []


def rewritten(values: np.ndarray) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        path = folder / (MAP if values.dtype != np.uint8 else THRESHOLDED)
        if values.dtype == np.uint8:
            Image.fromarray(values).save(path)
        else:
            tifffile.imwrite(path, values, photometric="minisblack")

    return write


def unlink(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, content: bytes = b"") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return change


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing map": (
        unlink(MAP),
        "anomaly_images/can/test_private: 1 of 1 files are missing (the first is 000_regular",
    ),
    "missing mask": (unlink(THRESHOLDED), "thresholded/can/test_private: 1 of 1 files are missing"),
    "other file": (write("readme.txt"), "readme.txt: not a part of a submission"),
    "hidden file": (
        write("anomaly_images/can/.lock"),
        "anomaly_images/can/.lock: not a part of a submission",
    ),
    "another image": (
        write("anomaly_images/can/test_private/001_regular.tiff"),
        "001_regular.tiff: not a part",
    ),
    "empty folder": (
        lambda folder: (folder / "anomaly_images/jar").mkdir(),
        "anomaly_images/jar: not a part",
    ),
    "damaged map": (write(MAP, b"II*"), f"{MAP}: not a readable TIFF file"),
    "damaged mask": (write(THRESHOLDED, b"PNG"), f"{THRESHOLDED}: not a readable image"),
    "float32": (
        rewritten(np.zeros((20, 30), np.float32)),
        "found float32 of shape (20, 30); expected float16",
    ),
    "three channels": (rewritten(np.zeros((20, 30, 3), np.float16)), "found float16 of shape (20, 30, 3)"),
    "not finite": (
        rewritten(np.full((20, 30), np.nan, np.float16)),
        "found values that are no finite numbers",
    ),
    "map of another size": (
        rewritten(np.zeros((20, 31), np.float16)),
        f"{MAP}: found 31x20 pixels; its image has 30x20, which is expected",
    ),
    "mask of another size": (
        rewritten(np.zeros((8, 8), np.uint8)),
        f"{THRESHOLDED}: found 8x8 pixels; its image",
    ),
    "mask of colours": (
        rewritten(np.zeros((20, 30, 3), np.uint8)),
        "found PNG of mode RGB; expected PNG of one",
    ),
    "mask of other values": (
        rewritten(np.full((20, 30), 1, np.uint8)),
        "found the value 1; expected 0 and 255",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_everything_that_the_server_would_refuse_is_named(folder: Path, fault: str) -> None:
    change, message = FAULTS[fault]
    change(folder)
    (found,) = check_submission(folder, NAMES)
    assert found.startswith(f"{folder}/")
    assert message in found


def test_without_sizes_the_two_files_of_an_image_must_agree(folder: Path) -> None:
    rewritten(np.zeros((8, 8), np.uint8))(folder)
    (found,) = check_submission(folder, dict.fromkeys(NAMES))
    assert found.endswith("000_regular.png: found 8x8 pixels; its map has 30x20, which is expected")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert check_submission(tmp_path / "gone", NAMES) == [f"{tmp_path}/gone: there is no such folder"]
