"""Datasets of equal name are distinguished by their contents, and by their folders where contents are not known."""

import pytest

from store.dataset_names import dataset_names

A, B, C = "/data/a/part", "/data/b/part", "/data/plates"


@pytest.mark.parametrize(
    ("digests", "roots", "names"),
    [
        # known contents
        (("1", "2"), (A, C), ["folder part", "folder plates"]),
        (("1", "2"), (A, B), ["folder a/part", "folder b/part"]),
        (("1", "1"), (A, C), ["folder", "folder"]),
        (("1", "2"), (A, A), ["folder", "folder"]),
        # unknown contents
        (("", ""), (A, C), ["folder part", "folder plates"]),
        (("", ""), (A, B), ["folder", "folder"]),
        (("1", ""), (A, C), ["folder part", "folder plates"]),
        (("", "2"), ("", A), ["folder", "folder"]),
    ],
)
def test_folders_with_a_category_of_the_same_name(
    digests: tuple[str, str], roots: tuple[str, str], names: list[str]
) -> None:
    assert dataset_names([("folder", "part", digest) for digest in digests], roots) == names


def test_folders_without_a_common_category_are_one_dataset() -> None:
    assert dataset_names([("folder", "part", "1"), ("folder", "plate", "2")], [A, C]) == ["folder", "folder"]


def test_cells_of_one_folder_have_one_name() -> None:
    cells = [
        ("folder", "part", "1"),
        ("folder", "part", ""),
        ("folder", "part", "2"),
        ("mvtec_ad", "part", "3"),
    ]
    names = dataset_names(cells, [A, A, C, C])
    assert names == ["folder part", "folder part", "folder plates", "mvtec_ad"]
