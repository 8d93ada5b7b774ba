"""Images and settings of trainings that are interrupted."""

from pathlib import Path

import pytest

from benchmark.training.loop import TrainingData
from tests.benchmark.training.interruption import EPOCHS, Dice, Setting, images_of


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return images_of(tmp_path_factory.mktemp("images"))


@pytest.fixture
def toy(data: TrainingData) -> Setting:
    return Setting(Dice, EPOCHS, data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "below" / "cell.checkpoint"
