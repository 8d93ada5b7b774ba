"""Listings: sorted, without what is hidden or foreign; links that lead nowhere and unusable names are reported."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.errors import DatasetError
from datasets.listing import folders, image_counts, image_files, images_below, is_folder
from tests.datasets.helpers import noise, save

RGB = noise(6, 5, 3)


def test_image_files_are_sorted_and_hidden_and_foreign_ones_ignored(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.Tiff", ".hidden.png", "._a.png", "Thumbs.db", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["a.JPG", "b.png", "c.Tiff"]


def test_links_are_followed_and_those_that_lead_nowhere_named(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere/a.png", RGB)
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").symlink_to(tmp_path / "elsewhere/a.png")
    assert [path.name for path in image_files(tmp_path / "images")] == ["a.png"]
    (tmp_path / "images/b.png").symlink_to("../annex/b.png")
    message = r"images/b\.png: found a link to \.\./annex/b\.png, which does not exist"
    with pytest.raises(DatasetError, match=message):
        image_files(tmp_path / "images")


def test_of_many_links_that_lead_nowhere_the_first_is_named_and_the_others_are_counted(
    tmp_path: Path,
) -> None:
    for i in range(3):
        (tmp_path / f"{i}.png").symlink_to("gone")
    with pytest.raises(DatasetError, match=r"0\.png: found a link to gone, .* \(and 2 more in this folder\)"):
        image_files(tmp_path)


def test_folders_are_sorted_and_hidden_ones_and_files_ignored(tmp_path: Path) -> None:
    for name in ("b", "a", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "c.txt").touch()
    assert folders(tmp_path) == ["a", "b"]


def test_a_link_instead_of_a_folder_is_followed_or_named(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").symlink_to(tmp_path / "real")
    assert folders(tmp_path / "data") == ["a"]
    (tmp_path / "data/b").symlink_to("/mnt/gone")
    with pytest.raises(DatasetError, match=r"data/b: found a link to /mnt/gone, which does not exist"):
        folders(tmp_path / "data")


@pytest.mark.parametrize("link", ["a", "a/b", "a/b/c"])
def test_no_folder_on_the_way_may_be_a_link_that_leads_nowhere(tmp_path: Path, link: str) -> None:
    (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / link).symlink_to("gone")
    with pytest.raises(DatasetError, match=rf"{tmp_path / link}: found a link to gone"):
        is_folder(tmp_path / "a/b/c", tmp_path)


def test_a_path_that_is_not_there_is_no_folder(tmp_path: Path) -> None:
    assert not is_folder(tmp_path / "a/b", tmp_path)
    assert not is_folder(tmp_path / "a")


@pytest.mark.parametrize(
    "list_folder", [folders, image_files, image_counts, lambda folder: list(images_below(folder))]
)
def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, list_folder: Callable[[Path], object]
) -> None:
    def refuse(path: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(DatasetError, match=rf"{tmp_path}: cannot be read \(Permission denied\)"):
        list_folder(tmp_path)


GBK = os.fsdecode("划痕".encode("gbk"))


@pytest.mark.parametrize(
    ("name", "shown", "reason"),
    [
        (GBK, r"\\xbb\\xae\\xba\\xdb", "is not UTF-8; expected another name"),
        ("a\nb", r"a\\nb", "holds a control character"),
        ("a\x1b[31mb", r"a\\x1b\[31mb", "holds a control character"),
    ],
    ids=["GBK", "newline", "escape"],
)
def test_names_that_no_table_can_hold_are_refused_in_one_printable_line(
    tmp_path: Path, name: str, shown: str, reason: str
) -> None:
    (tmp_path / "folders" / name).mkdir(parents=True)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / f"{name}.png").touch()
    for list_folder, part in ((folders, "folders"), (image_files, "files")):
        with pytest.raises(DatasetError, match=rf"{part}/{shown}.*: the name {reason}") as caught:
            list_folder(tmp_path / part)
        assert str(caught.value).isprintable()
        str(caught.value).encode()


@pytest.mark.parametrize(
    "name", ["划痕", "mean", "a=b", "[x]", "a,b", "<b>", "$x_1$", "50%", "it's", "ä" * 120, "0", "a b"]
)
def test_other_names_are_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    save(tmp_path / name / f"{name[:100]}.png", RGB)
    assert folders(tmp_path) == [name]
    assert [path.stem for path in image_files(tmp_path / name)] == [name[:100]]


def test_images_below_follow_links_once(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere/a.png", RGB)
    (tmp_path / "images/n0").mkdir(parents=True)
    save(tmp_path / "images/n0/b.png", RGB)
    for name, target in (("n1", "../elsewhere"), ("n2", "../elsewhere"), ("n0/up", "..")):
        (tmp_path / "images" / name).symlink_to(target)
    assert sorted(path.name for path in images_below(tmp_path / "images")) == ["a.png", "b.png"]


@pytest.mark.parametrize("name", ["b.png", "n1"])
def test_images_below_name_a_link_that_leads_nowhere(tmp_path: Path, name: str) -> None:
    save(tmp_path / "n0/a.png", RGB)
    (tmp_path / "n0" / name).symlink_to("/mnt/gone")
    with pytest.raises(DatasetError, match=rf"n0/{name}: found a link to /mnt/gone"):
        list(images_below(tmp_path))


def test_image_files_are_counted_by_folder(tmp_path: Path) -> None:
    first = save(tmp_path / "a/1.png", RGB)
    save(tmp_path / "a/b/2.png", RGB)
    save(tmp_path / "a/b/3.png", RGB)
    save(tmp_path / ".trash/4.png", RGB)
    assert image_counts(tmp_path, skip={first}) == {tmp_path / "a/b": 2}
