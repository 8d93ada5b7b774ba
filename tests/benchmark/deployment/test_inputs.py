"""Images from files and folders: each once, in a test set's order, with labels and point clouds where known."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmark.deployment.inputs import check_clouds, list_inputs
from datasets.errors import DatasetError


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def names(folder: Path, places: Sequence[Path], skip: Path | None = None) -> list[str]:
    return [str(each.file.relative_to(folder)) for each in list_inputs(places, skip=skip)]


def test_a_folder_gives_its_images_at_any_depth_in_the_order_of_a_test_set(tmp_path: Path) -> None:
    fill(tmp_path, "good/001.png", "good/000.JPG", "broken/0.tif", "note.txt", ".hidden.png", ".git/a.png")
    assert names(tmp_path, [tmp_path]) == ["broken/0.tif", "good/000.JPG", "good/001.png"]


def test_files_keep_their_order_and_count_once_however_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "b.png", "a.png")
    monkeypatch.chdir(tmp_path)
    found = list_inputs([Path("b.png"), tmp_path / "b.png", Path()])
    assert [each.file for each in found] == [Path("b.png"), Path("a.png")]


def test_a_file_that_is_named_counts_whatever_its_suffix(tmp_path: Path) -> None:
    fill(tmp_path, "photo.dat")
    assert names(tmp_path, [tmp_path / "photo.dat"]) == ["photo.dat"]


def test_links_round_in_circles_end(tmp_path: Path) -> None:
    fill(tmp_path, "a/0.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert names(tmp_path, [tmp_path]) == ["a/0.png"]


def test_names_of_any_spelling_and_links_that_lead_nowhere_are_listed(tmp_path: Path) -> None:
    """What cannot be read is found when it is read, and costs only itself."""
    fill(tmp_path, "a\nb.png", "größe 日本.png", "<b>&'\".png")
    (tmp_path / "dead.png").symlink_to("nowhere")
    assert len(names(tmp_path, [tmp_path])) == 4


def test_masks_and_point_clouds_next_to_images_are_no_images(tmp_path: Path) -> None:
    fill(tmp_path, "2d/test/good/0.png", "2d/test/dent/0.png", "2d/ground_truth/dent/0_mask.png")
    fill(tmp_path, "3d/good/rgb/0.png", "3d/good/xyz/0.tiff", "3d/good/gt/0.png")
    expected = ["2d/test/dent/0.png", "2d/test/good/0.png", "3d/good/rgb/0.png"]
    assert names(tmp_path, [tmp_path]) == expected


def test_a_folder_of_output_is_left_out_and_nothing_in_it_can_be_named(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "out/heat_maps/a.png")
    out = tmp_path / "out"
    assert names(tmp_path, [tmp_path], skip=out) == ["a.png"]
    with pytest.raises(DatasetError, match=r"heat_maps/a.png: lies in the folder of the output"):
        list_inputs([out / "heat_maps" / "a.png"], skip=out)


@pytest.mark.parametrize("name", ["missing", "missing.png", "empty"])
def test_a_place_without_an_image_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DatasetError, match=f"{name}: (there is no such file or folder|found no image; expected)"
    ):
        list_inputs([tmp_path / name])


def test_labels_come_from_the_names_of_folders_next_to_each_other(tmp_path: Path) -> None:
    fill(tmp_path, "test/good/0.png", "test/dent/1.png", "test/dent/deep/2.png", "test/3.png")
    found = list_inputs([tmp_path], ["Good"])
    labels = {str(each.file.relative_to(tmp_path)): each.is_anomalous for each in found}
    assert labels == {
        "test/good/0.png": False,
        "test/dent/1.png": True,
        "test/dent/deep/2.png": True,
        "test/3.png": None,
    }


def test_without_a_folder_of_normal_images_nothing_is_labelled(tmp_path: Path) -> None:
    """Nor does the name of a given folder say anything: the folders next to it may hold anything."""
    fill(tmp_path, "good/0.png", "today/1.png")
    assert [each.is_anomalous for each in list_inputs([tmp_path], ["ok"])] == [None, None]
    places = [tmp_path / "good", tmp_path / "today"]
    assert [each.is_anomalous for each in list_inputs(places, ["good"])] == [None, None]


def test_point_clouds_are_found_in_the_layout_of_mvtec_3d_ad_or_in_a_folder_of_their_own(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "good/rgb/0.png", "good/xyz/0.tiff", "photos/a/1.jpg", "clouds/a/1.tif")
    (with_cloud,) = list_inputs([tmp_path / "good"])
    assert with_cloud.xyz == tmp_path / "good/xyz/0.tiff"
    (named,) = list_inputs([tmp_path / "photos"], clouds=tmp_path / "clouds")
    assert named.xyz == tmp_path / "clouds/a/1.tif"
    check_clouds([with_cloud, named], "depth")


def test_images_without_point_clouds_are_refused_with_the_ways_out(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{i}.png" for i in range(7)))
    with pytest.raises(
        DatasetError, match=r"4.png: found no point cloud; the detector needs depth .*--xyz.*; and 2 more"
    ):
        check_clouds(list_inputs([tmp_path]), "rgbd")
