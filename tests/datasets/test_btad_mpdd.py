"""BTAD and MPDD: their layouts are read by `dataset=folder` with the options of their YAMLs."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from benchmark.settings.values import build
from datasets.dataset import Dataset
from datasets.errors import DatasetError
from datasets.inspection import inspect
from tests.conftest import PROJECT_ROOT
from tests.datasets.helpers import make_category
from tests.datasets.official_trees import make_btad


def from_yaml(name: str, **options: Any) -> Dataset:
    """Build a dataset as the command does."""
    values = OmegaConf.to_container(OmegaConf.load(PROJECT_ROOT / f"conf/dataset/{name}.yaml").dataset)
    assert isinstance(values, dict)
    return build("dataset", {str(key): value for key, value in values.items()} | options, Dataset)


def test_btad_has_normal_images_called_ok_and_numbers_for_names(tmp_path: Path) -> None:
    dataset = from_yaml("btad", root=str(make_btad(tmp_path)))
    assert (dataset.name, dataset.categories) == ("btad", ("01", "02", "03"))
    facts = inspect(dataset)
    assert [(each.train, each.good, each.kinds, each.masks) for each in facts] == [(4, 2, {"ko": 2}, 2)] * 3
    suffixes = [dataset.category(name).train[0].image.suffix for name in dataset.categories]
    assert suffixes == [".bmp", ".png", ".bmp"]


def test_one_product_of_btad_is_chosen_by_its_number(tmp_path: Path) -> None:
    root = str(make_btad(tmp_path))
    assert from_yaml("btad", root=root, categories=["02"]).categories == ("02",)
    with pytest.raises(DatasetError, match=r"dataset\.categories: '04' is not below"):
        from_yaml("btad", root=root, categories=["04"])


def test_btad_lacks_no_mask(tmp_path: Path) -> None:
    root = make_btad(tmp_path)
    (root / "03/ground_truth/ko/0001.png").unlink()
    with pytest.raises(DatasetError, match=r"test/ko/0001\.bmp: its ground truth is missing"):
        inspect(from_yaml("btad", root=str(root)))


def test_mpdd_is_as_mvtec_ad(tmp_path: Path) -> None:
    for name in ("bracket_black", "tubes"):
        make_category(tmp_path / name)
    dataset = from_yaml("mpdd", root=str(tmp_path))
    assert (dataset.name, dataset.categories) == ("mpdd", ("bracket_black", "tubes"))
    assert [each.masks for each in inspect(dataset)] == [2, 2]
