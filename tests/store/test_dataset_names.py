"""Datasets of equal name are distinguished by their contents, their folders, and the settings that read them."""

import pytest

from store.dataset_names import dataset_names, name_of_earlier

A, B, C = "/data/a/part", "/data/b/part", "/data/plates"


def params(*roots: str, **settings: str) -> list[dict[str, str]]:
    return [{"dataset.root": root, **{f"dataset.{k}": v for k, v in settings.items()}} for root in roots]


@pytest.mark.parametrize(
    ("digests", "roots", "names"),
    [
        # known contents
        (("1", "2"), (A, C), ["parts (part)", "parts (plates)"]),
        (("1", "2"), (A, B), ["parts (a/part)", "parts (b/part)"]),
        (("1", "1"), (A, C), ["parts", "parts"]),
        (("1", "2"), (A, A), ["parts", "parts"]),
        # unknown contents
        (("", ""), (A, C), ["parts (part)", "parts (plates)"]),
        (("", ""), (A, B), ["parts", "parts"]),
        (("1", ""), (A, C), ["parts (part)", "parts (plates)"]),
        (("", "2"), ("", A), ["parts", "parts"]),
    ],
)
def test_folders_with_a_category_of_the_same_name(
    digests: tuple[str, str], roots: tuple[str, str], names: list[str]
) -> None:
    assert dataset_names([("parts", "screw", digest) for digest in digests], params(*roots)) == names


def test_a_dataset_that_is_named_after_its_folder_is_told_apart_by_the_path() -> None:
    cells = [("part", "screw", "1"), ("part", "screw", "2"), ("part", "screw", "3")]
    assert dataset_names(cells, params(A, B, "/else/part")) == ["a/part", "b/part", "else/part"]


def test_a_dataset_in_folders_of_its_own_is_told_apart_by_that_of_the_normal_images() -> None:
    own = [{"dataset.root": "None", "dataset.normal_dir": f"/data/{line}/ok"} for line in ("line1", "line2")]
    assert dataset_names([("ok", "ok", "1"), ("ok", "ok", "2")], own) == ["line1/ok", "line2/ok"]
    same = [{**params, "dataset.abnormal_dir": path} for params, path in zip([own[0]] * 2, "ab", strict=True)]
    assert dataset_names([("ok", "ok", "1"), ("ok", "ok", "1")], same) == ["ok", "ok"]


def test_folders_without_a_common_category_are_one_dataset() -> None:
    assert dataset_names([("parts", "part", "1"), ("parts", "plate", "2")], params(A, C)) == [
        "parts",
        "parts",
    ]


def test_cells_of_one_folder_have_one_name() -> None:
    cells = [("x", "part", "1"), ("x", "part", ""), ("x", "part", "2"), ("mvtec_ad", "part", "3")]
    names = dataset_names(cells, params(A, A, C, C))
    assert names == ["x (part)", "x (part)", "x (plates)", "mvtec_ad"]


def test_other_settings_of_one_category_are_another_ground_truth() -> None:
    cells = [("parts", "screw", "1f")] * 2
    own = [*params(A, mask_threshold="0"), *params(A, mask_threshold="127")]
    assert dataset_names(cells, own) == [
        "parts (dataset.mask_threshold=0)",
        "parts (dataset.mask_threshold=127)",
    ]


@pytest.mark.parametrize("option", ["require_masks", "root", "name", "categories", "download", "_target_"])
def test_settings_that_leave_images_and_masks_alone_tell_nothing_apart(option: str) -> None:
    own = [{f"dataset.{option}": value} for value in ("a", "b")]
    assert dataset_names([("parts", "screw", "1f")] * 2, own) == ["parts"] * 2


def test_each_category_may_have_settings_of_its_own() -> None:
    cells = [("parts", "screw", "1f"), ("parts", "plate", "2e")]
    own = [*params(A, mask_threshold="0"), *params(A, mask_threshold="127")]
    assert dataset_names(cells, own) == ["parts", "parts"]


def test_an_option_that_earlier_cells_did_not_know_tells_nothing_apart() -> None:
    assert (
        dataset_names([("parts", "screw", "1f")] * 2, [*params(A), *params(A, bit_depth="None")])
        == ["parts"] * 2
    )


@pytest.mark.parametrize(
    ("choice", "root", "name"),
    [
        *(("folder", "/data/screws", "screws"), ("folder_3d", "screws/", "screws"), ("folder", "", "folder")),
        *(("mvtec_ad", "/data/screws", "mvtec_ad"), ("synthetic", "", "synthetic")),
    ],
)
def test_earlier_cells_are_named_after_the_folder_of_data_of_the_users_own(
    choice: str, root: str, name: str
) -> None:
    assert name_of_earlier(choice, {"dataset.root": root}) == name
