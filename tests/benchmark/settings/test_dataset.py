"""The options that every dataset has: types, ranges, defaults, and what a cell is said to be trained on."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.errors import BenchmarkError
from benchmark.settings.dataset import TrainingSet, build_dataset, read_training_set, with_drawn_images
from datasets.training_sets import DrawnTrainImages
from tests.conftest import PROJECT_ROOT
from tests.datasets.helpers import make_category


def test_defaults_are_those_of_the_configuration() -> None:
    configured = yaml.safe_load((PROJECT_ROOT / "conf" / "config.yaml").read_text())["dataset"]
    assert read_training_set(configured) == TrainingSet() == read_training_set({"root": "data"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_images": 0}, "dataset.train_images=0: expected a whole number, 1 to 100000000"),
        ({"train_images": "8"}, "dataset.train_images=8: expected"),
        ({"train_images": 2.5}, "dataset.train_images=2.5: expected"),
        ({"contamination": 0.6}, "dataset.contamination=0.6: expected a number, 0 to 0.5"),
        ({"contamination": None}, "dataset.contamination=null: expected a number"),
        ({"pool": "some"}, "dataset.pool=some: expected category, all"),
    ],
)
def test_other_values_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        read_training_set(options)


def test_a_dataset_is_built_without_them_and_its_images_are_drawn_if_asked_for(tmp_path: Path) -> None:
    make_category(tmp_path / "bolt")
    options = {"_target_": "datasets.folder.Folder", "root": str(tmp_path), "train_images": 2, "pool": "all"}
    whole = build_dataset(options)
    assert len(whole.category("bolt").train) == 4
    drawn = with_drawn_images(whole, read_training_set(options), seed=0)
    assert isinstance(drawn, DrawnTrainImages)
    assert len(drawn.category("bolt").train) == 2
    assert with_drawn_images(whole, TrainingSet(pool="all"), seed=0) is whole


def test_a_mistyped_one_is_named(tmp_path: Path) -> None:
    make_category(tmp_path / "bolt")
    options = {"_target_": "datasets.folder.Folder", "root": str(tmp_path), "trian_images": 2}
    with pytest.raises(BenchmarkError, match=r"dataset.trian_images: there is no such option.*train_images"):
        build_dataset(options)


def test_nothing_is_said_of_all_train_images() -> None:
    assert TrainingSet().describe(60, 4) == ""
    every = TrainingSet(8, 0.25, "all")
    assert every.describe(8, 4) == (
        "8 train images; 2 of 8 train images are defective; one model for all 4 categories"
    )
