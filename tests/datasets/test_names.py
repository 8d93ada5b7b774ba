"""Names: how options choose among them, and which ones a dataset and a category can have."""

import unicodedata

import pytest

from datasets.errors import DatasetError
from datasets.names import check_category_name, check_dataset_name, choose, looks_normal

ODD = (
    "mean",
    "nan",
    "null",
    "all",
    "a,b",
    "a=b",
    "[x]",
    "-1",
    "1e3",
    "it's",
    "50%",
    "ä" * 100,
    "<b>",
    "$x_1$",
    "1",
)


def chosen(value: object, known: tuple[str, ...] = ODD) -> tuple[str, ...]:
    return choose("dataset.categories", value, known, "below /data")


def test_all_chooses_all() -> None:
    assert chosen("all") == ODD


@pytest.mark.parametrize("name", [name for name in ODD if name != "all"])
def test_every_name_can_be_chosen_as_text_and_in_a_list(name: str) -> None:
    assert chosen(name) == (name,)
    assert chosen([name, name, "mean"]) == tuple(dict.fromkeys([name, "mean"]))


def test_in_a_list_all_is_a_name_like_others() -> None:
    assert chosen(["all"]) == ("all",)
    with pytest.raises(
        DatasetError, match=r"'all' is not below /data .*\(dataset\.categories=all, without brackets"
    ):
        chosen(["all"], ("bottle",))


@pytest.mark.parametrize(("value", "name"), [(1, "1"), (-1, "-1")])
def test_a_whole_number_is_a_name(value: int, name: str) -> None:
    assert chosen([value]) == (name,)


@pytest.mark.parametrize("value", [1000.0, float("nan"), True, None], ids=str)
def test_what_yaml_reads_as_something_else_is_told_to_use_quotes(value: object) -> None:
    with pytest.raises(
        DatasetError, match=r"found .*, which is no text; expected all, .*'dataset\.categories=\[\"1e3\"\]'"
    ):
        chosen([value])


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, r"dataset\.categories=null; expected all, or some of mean, nan"),
        ([["mean"]], r"dataset\.categories=\[\['mean'\]\]; expected"),
        ({"mean": 1}, r"dataset\.categories=.*; expected"),
        ("", r"dataset\.categories: found an empty name; expected"),
        (["mean", ""], r"dataset\.categories: found an empty name; expected"),
        ([], r"dataset\.categories is empty; expected"),
        (
            "mean,nan",
            r"'mean,nan' is not below /data.*\(several names go into brackets: 'dataset\.categories=\[mean,nan\]'",
        ),
        ("..", r"'\.\.' is not below /data"),
    ],
)
def test_what_is_no_choice_is_refused(value: object, found: str) -> None:
    with pytest.raises(DatasetError, match=found):
        chosen(value)


def test_accents_may_be_composed_otherwise() -> None:
    composed, parted = (unicodedata.normalize(form, "Gehäuse") for form in ("NFC", "NFD"))
    assert composed != parted
    assert chosen([composed], (parted,)) == (parted,)
    assert chosen([composed], (parted, composed)) == (composed,)


def test_of_many_names_some_are_shown() -> None:
    with pytest.raises(DatasetError, match=r"found: c0, c1, .*c19 and 280 more$"):
        chosen("x", tuple(f"c{i}" for i in range(300)))


@pytest.mark.parametrize("name", ["good", "Good", "OK", "gut", "0", "pass", "Normal"])
def test_names_of_folders_of_normal_images_are_known(name: str) -> None:
    assert looks_normal(name)


@pytest.mark.parametrize("name", ["scratch", "ng", "bad", "goods", "1"])
def test_other_folders_are_not_taken_for_normal_ones(name: str) -> None:
    assert not looks_normal(name)


@pytest.mark.parametrize("name", ["screws 2024", "划痕", "a" * 100, "<b>", "50 %"])
def test_names_of_datasets(name: str) -> None:
    assert check_dataset_name(name) == name


@pytest.mark.parametrize("name", ["", " ", "a" * 101, "a\nb", "a\udcbb", "a/b", "..", 3, None])
def test_what_cannot_name_a_dataset_is_refused(name: object) -> None:
    with pytest.raises(
        DatasetError, match=r"dataset\.name=.*: cannot be the name of a dataset; expected"
    ) as caught:
        check_dataset_name(name)
    assert str(caught.value).isprintable()
    str(caught.value).encode()


@pytest.mark.parametrize("name", ["..", "", "a/b", "a\nb", "a" * 256])
def test_what_cannot_name_a_category_is_refused(name: str) -> None:
    with pytest.raises(DatasetError, match=r"category '.*': cannot be used as a name"):
        check_category_name(name)
