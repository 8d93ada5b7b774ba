"""A detector of a small cell."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmark.detector import Detector, load_detector
from benchmark.run_cell import CellResult
from tests.benchmark.test_detector import make, run


@dataclass(frozen=True)
class Trained:
    """A measured cell, and the folder of its detector."""

    result: CellResult
    folder: Path

    @property
    def test(self) -> Path:
        """The folder of its test images."""
        return self.result.stored.samples[0].image.parent.parent

    def load(self) -> Detector:
        return load_detector(self.folder, device="cpu")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a cell of STFPM on 64 pixels, with eight test images in batches of four."""
    folder = tmp_path_factory.mktemp("trained")
    result = run(make(folder), folder)
    result.detector.save(folder / "detector")
    return Trained(result, folder / "detector")
