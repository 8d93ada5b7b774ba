"""Decoding: one sample's files to arrays, by few modules, as every one of them is in the keys of decoded images."""

from pathlib import Path

import numpy as np
import pytest

from datasets.category import Sample
from datasets.decoding import decode
from datasets.depth import read_depth
from datasets.errors import DatasetError
from datasets.images import read_image, read_mask, resize_image, resize_mask
from store.keys import code_of, versions_of
from tests.datasets.helpers import make_category_3d, save, square_mask


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    part = make_category_3d(tmp_path / "bagel") / "test/dent"
    return Sample(part / "rgb/000.png", "dent", part / "gt/000.png", part / "xyz/000.tiff")


def test_only_these_modules_decide_what_is_decoded() -> None:
    modules = {
        f"datasets.{name}" for name in ("category", "decoding", "depth", "errors", "images", "point_clouds")
    }
    assert set(code_of(decode)) == {"datasets", *modules}
    assert set(versions_of(decode)) == {"PIL", "numpy", "scipy", "sklearn", "tifffile", "torch"}


def test_arrays_are_those_of_the_readers(sample: Sample) -> None:
    decoded = decode(sample, 8, 10)
    assert sample.mask is not None
    assert sample.xyz is not None
    expected = read_depth(sample.xyz, (16, 12), 10)
    arrays = {
        "images": resize_image(read_image(sample.image), 8),
        "masks": resize_mask(read_mask(sample.mask, (16, 12)), 8),
        "depth": expected.depth,
        "foreground": expected.foreground,
    }
    assert decoded.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(decoded.arrays[name], array)
    assert (decoded.size, decoded.has_corners) == ((16, 12), expected.corners)


def test_only_the_files_that_are_wanted_are_read(sample: Sample) -> None:
    assert set(decode(sample, 8).arrays) == {"images", "masks"}
    assert set(decode(Sample(sample.image), 8, 10).arrays) == {"images"}


def test_threshold_decides_what_is_anomalous(sample: Sample) -> None:
    assert sample.mask is not None
    save(sample.mask, square_mask() // 2)
    assert decode(sample, 8, mask_threshold=100).arrays["masks"].any()
    assert not decode(sample, 8, mask_threshold=200).arrays["masks"].any()


def test_bit_depth_decides_how_bright_16_bit_images_are(sample: Sample) -> None:
    save(sample.image, np.full((12, 16), 4095, np.uint16))
    assert (decode(sample, 8, bit_depth=12).arrays["images"] == 255).all()
    assert (decode(sample, 8).arrays["images"] == 16).all()


@pytest.mark.parametrize("name", ["image", "mask", "xyz"])
def test_damaged_file_is_named(sample: Sample, name: str) -> None:
    path: Path = getattr(sample, name)
    path.write_bytes(b"damaged")
    with pytest.raises(DatasetError, match=str(path)):
        decode(sample, 8, 10)
