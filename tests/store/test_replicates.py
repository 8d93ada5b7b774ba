"""The numbers of a cell on resamples come back as they were written."""

from pathlib import Path

import numpy as np
import pytest

from store.replicates import read_replicates, write_replicates


def test_they_come_back(tmp_path: Path) -> None:
    values = {
        "pro": np.array([0.5, np.nan, 0.75], np.float32),
        "misses/f1_image": np.array([1, 0, 2], np.float32),
    }
    write_replicates(tmp_path, values, normal=20, anomalous=63)
    found = read_replicates(tmp_path / "bootstrap.npz")
    assert {name: own.tolist() for name, own in found.values.items() if name != "pro"} == {
        "misses/f1_image": [1, 0, 2]
    }
    assert np.array_equal(found.values["pro"], values["pro"], equal_nan=True)
    assert found.images == 20


def test_of_one_class_of_images_that_one_counts(tmp_path: Path) -> None:
    write_replicates(tmp_path, {}, normal=0, anomalous=7)
    found = read_replicates(tmp_path / "bootstrap.npz")
    assert (found.values, found.images) == ({}, 7)


def test_arrays_of_several_lengths_are_refused(tmp_path: Path) -> None:
    write_replicates(tmp_path, {"pro": np.zeros(3, np.float32), "dice": np.zeros(4, np.float32)}, 1, 1)
    with pytest.raises(ValueError, match=r"expected one shape \(R,\)"):
        read_replicates(tmp_path / "bootstrap.npz")
