"""The interface: a class of one's own has a name without giving one."""

from pathlib import Path

import pytest

from datasets.category import Category, Sample
from datasets.dataset import Dataset
from datasets.mvtec_3d import MVTec3D
from datasets.mvtec_ad import MVTecAD
from datasets.synthetic import Synthetic, Synthetic3D
from tests.datasets.helpers import make_category, make_category_3d


class MyScrews(Dataset):
    categories = ("screw",)

    def category(self, name: str) -> Category:
        return Category(name, (Sample(Path("a.png")),), ())


class Named(MyScrews):
    name = "screws of line 3"


class NamedLater(MyScrews):
    def __init__(self) -> None:
        self.name = "later"


def test_without_a_name_it_is_that_of_the_class() -> None:
    assert MyScrews().name == "myscrews"


def test_a_name_of_the_class_or_the_object_counts() -> None:
    assert Named().name == "screws of line 3"
    assert NamedLater().name == "later"


def test_nothing_is_passed_over_unless_a_class_says_so() -> None:
    assert MyScrews().unused(MyScrews().category("screw")) == ()


@pytest.mark.parametrize(("given", "expected"), [(None, "mvtec_ad"), ("mine", "mine")])
def test_mvtec_ad_has_its_own_name(tmp_path: Path, given: str | None, expected: str) -> None:
    make_category(tmp_path / "bottle")
    assert MVTecAD(str(tmp_path), "bottle", name=given).name == expected


@pytest.mark.parametrize(("given", "expected"), [(None, "mvtec_3d"), ("mine", "mine")])
def test_mvtec_3d_has_its_own_name(tmp_path: Path, given: str | None, expected: str) -> None:
    make_category_3d(tmp_path / "bagel")
    assert MVTec3D(str(tmp_path), "bagel", name=given).name == expected


@pytest.mark.parametrize(
    ("dataset", "category", "expected"),
    [(Synthetic, "washer", "synthetic"), (Synthetic3D, "rod", "synthetic_3d")],
)
def test_generated_datasets_have_their_own_names(
    tmp_path: Path, dataset: type[Synthetic], category: str, expected: str
) -> None:
    for given, name in ((None, expected), ("mine", "mine")):
        options = {"image_size": 32, "train": 1, "test_good": 1, "test_defective": 1, "name": given}
        assert dataset(tmp_path, category, **options).name == name  # type: ignore[arg-type]
