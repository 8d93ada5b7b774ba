"""One model for several categories: one training key for all of its cells, and each category's own held-out images."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.cell import Cell
from benchmark.identity import content_digests, keys_of
from benchmark.inference_cost import InferenceCosts
from benchmark.run_cell import CellResult, run_cell
from datasets.category import Category
from datasets.pooled import pool
from datasets.synthetic import Synthetic
from tests.benchmark.conftest import make_training
from tests.benchmark.test_detector import make

NAMES = ("granite", "washer", "weave")


@pytest.fixture(scope="module")
def categories(tmp_path_factory: pytest.TempPathFactory) -> list[Category]:
    folder = tmp_path_factory.mktemp("generated")
    dataset = Synthetic(folder, list(NAMES), image_size=32, train=4, test_good=1, test_defective=1)
    return [dataset.category(name) for name in NAMES]


@pytest.fixture
def cells(categories: list[Category], tmp_path: Path) -> list[Cell]:
    """Return the cells of one model for all three."""
    usual = make(tmp_path, training=make_training(image_size=32, epochs=1))
    pooled = pool(categories)
    return [
        replace(
            usual, name=f"stfpm {each.name}", category=each, pooled=pooled, trained_as=f"stfpm {pooled.name}"
        )
        for each in categories
    ]


def test_cells_share_their_training_and_nothing_else(cells: list[Cell]) -> None:
    keys = [keys_of(cell) for cell in cells]
    assert len({trained for trained, _ in keys}) == 1
    assert len({identity for _, identity in keys}) == 3
    assert len({content_digests(cell)["test"] for cell in cells}) == 3


def test_the_training_depends_on_the_categories_and_not_on_their_order(
    cells: list[Cell], categories: list[Category]
) -> None:
    trained, identity = keys_of(cells[0])
    assert keys_of(replace(cells[0], pooled=pool(categories[::-1]))) == (trained, identity)
    fewer = keys_of(replace(cells[0], pooled=pool(categories[:2])))
    alone = keys_of(replace(cells[0], pooled=None))
    assert len({trained, fewer[0], alone[0]}) == 3
    assert len({identity, fewer[1], alone[1]}) == 3


def test_categories_of_the_same_images_keep_cells_of_their_own(cells: list[Cell]) -> None:
    twin = replace(cells[0].category, name="twin")
    pooled = pool([cells[0].category, twin])
    first, second = (keys_of(replace(cells[0], category=own, pooled=pooled)) for own in pooled.parts)
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_held_out_images_are_the_categorys_and_all_are_left_out_of_the_training(cells: list[Cell]) -> None:
    images = cells[0].open_images()
    split = cells[0].trained_on.hold_out(0.25, 0)
    every = cells[0].held_out_batches(images, of_training=True)
    assert every is not None
    assert every.samples == split.validation
    for cell in cells:
        own = cell.held_out_batches(images)
        assert own is not None
        assert own.samples == cell.held_out == cell.category.hold_out(0.25, 0).validation
        assert set(own.samples) < set(every.samples)
        assert not set(own.samples) & set(split.train)


def test_it_is_trained_once_and_each_category_has_thresholds_of_its_own(
    cells: list[Cell], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    key, costs = keys_of(cells[0])[0], InferenceCosts()
    results = [run_cell(cell, key, tmp_path / "results", costs) for cell in cells]
    assert caplog.text.count("trains for") == 1
    assert "stfpm all 3 categories: student trains for 1 epochs on 9 images" in caplog.text
    assert caplog.text.count("stfpm all 3 categories: trained before, detector loaded from") == 2
    assert len({str(result.detector.thresholds["train_quantile"]) for result in results}) == 3
    for cell, result in zip(cells, results, strict=True):
        assert isinstance(result, CellResult)
        assert result.stored.samples == cell.category.test
        about = result.detector.about
        assert (about["name"], about["category"]) == (cell.name, cell.category.name)
        assert about["categories"] == list(NAMES)
