"""Any folder in MVTec AD's layout: what is listed, and what a wrong one is told."""

import os
import shutil
from pathlib import Path

import pytest

from datasets.category import Category
from datasets.errors import DatasetError
from datasets.folder import Folder
from datasets.mvtec_layout import MVTecLayout
from tests.datasets.helpers import make_category, noise, save, square_mask


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("screw", "bottle"):
        make_category(tmp_path / "data" / name)
    return tmp_path / "data"


def bottle(root: Path, require_masks: bool = True) -> Category:
    return Folder(str(root), require_masks=require_masks).category("bottle")


def names(folder: Path, paths: list[Path]) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def test_layout_is_listed_in_order(root: Path) -> None:
    category = bottle(root)
    assert category.name == "bottle"
    assert names(root / "bottle", [sample.image for sample in category.train]) == [
        f"train/good/00{i}.png" for i in range(4)
    ]
    assert names(root / "bottle", [sample.image for sample in category.test]) == [
        f"test/{kind}/00{i}.png" for kind in ("good", "scratch") for i in range(2)
    ]
    assert category.validation == ()
    assert category.group == ""


def test_labels_follow_the_folders(root: Path) -> None:
    category = bottle(root)
    assert [sample.label for sample in category.train] == [0] * 4
    found = [(sample.kind, sample.label) for sample in category.test]
    assert found == [("good", 0), ("good", 0), ("scratch", 1), ("scratch", 1)]


def test_all_categories_are_sorted(root: Path) -> None:
    assert Folder(str(root)).categories == ("bottle", "screw")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("screw", ("screw",)),
        (["screw"], ("screw",)),
        (["screw", "bottle"], ("screw", "bottle")),
        (["screw", "bottle", "screw"], ("screw", "bottle")),
    ],
)
def test_categories_are_one_name_or_a_list(root: Path, asked: str | list[str], expected: tuple) -> None:
    assert Folder(str(root), asked).categories == expected


def test_root_may_be_one_category(root: Path) -> None:
    folder = Folder(str(root / "bottle"))
    assert folder.categories == ("bottle",)
    assert folder.category("bottle") == bottle(root)


def test_home_is_expanded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    assert MVTecLayout("~/data").root == root


@pytest.mark.parametrize("name", ["001.png", "001_mask.png", "001.bmp", "001_mask.tif", "001_mask.PNG"])
def test_mask_is_named_as_its_image(root: Path, name: str) -> None:
    truth = root / "bottle/ground_truth/scratch"
    (truth / "001_mask.png").unlink()
    save(truth / name, square_mask())
    assert bottle(root).test[-1].mask == truth / name


def test_jpg_images_have_png_masks(root: Path) -> None:
    images = root / "bottle/test/scratch"
    shutil.rmtree(images)
    save(images / "000.jpg", noise(12, 16, 3))
    sample = bottle(root).test[-1]
    assert sample.image == images / "000.jpg"
    assert sample.mask == root / "bottle/ground_truth/scratch/000_mask.png"


def test_suffixes_may_be_upper_case(root: Path) -> None:
    save(root / "bottle/train/good/900.PNG", noise(12, 16, 3))
    assert bottle(root).train[-1].image.name == "900.PNG"


def test_hidden_and_foreign_files_are_passed_over(root: Path) -> None:
    expected = bottle(root)
    for folder in ("train/good", "test/good", "test/scratch", "test", "."):
        for name in (".DS_Store", "._000.png", "Thumbs.db", "readme.txt"):
            (root / "bottle" / folder / name).touch()
    (root / "license.txt").touch()
    assert bottle(root) == expected


def test_hidden_folders_are_no_kinds_and_no_categories(root: Path) -> None:
    expected = bottle(root)
    shutil.copytree(root / "bottle", root / ".trash")
    shutil.copytree(root / "bottle/test/good", root / "bottle/test/.ipynb_checkpoints")
    assert Folder(str(root)).categories == ("bottle", "screw")
    assert bottle(root) == expected


def test_good_test_images_need_no_mask(root: Path) -> None:
    assert [sample.mask for sample in bottle(root).test if sample.label == 0] == [None, None]


def test_missing_mask_names_the_image_and_the_option(root: Path) -> None:
    (root / "bottle/ground_truth/scratch/001_mask.png").unlink()
    with pytest.raises(DatasetError, match=r"scratch/001\.png: its ground truth is missing.*require_masks"):
        bottle(root)


def test_missing_masks_are_none_where_they_are_not_required(root: Path) -> None:
    (root / "bottle/ground_truth/scratch/001_mask.png").unlink()
    found = [sample.mask is not None for sample in bottle(root, require_masks=False).test]
    assert found == [False, False, True, False]
    shutil.rmtree(root / "bottle/ground_truth")
    assert not any(sample.mask for sample in bottle(root, require_masks=False).test)


def test_mask_threshold_and_bit_depth_are_handed_on(root: Path) -> None:
    category = Folder(str(root), mask_threshold=7, bit_depth=12).category("bottle")
    assert (category.mask_threshold, category.bit_depth) == (7, 12)


def test_mask_threshold_may_be_one_for_each_category(root: Path) -> None:
    folder = Folder(str(root), mask_threshold={"bottle": 7})
    assert {name: folder.category(name).mask_threshold for name in folder.categories} == {
        "bottle": 7,
        "screw": None,
    }
    assert Folder(str(root), "screw", mask_threshold={"bottle": 7}).category("screw").mask_threshold is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mask_threshold": {"botle": 7}},
            r"mask_threshold: found the unknown category 'botle' \(did you mean",
        ),
        (
            {"mask_threshold": -1},
            r"mask_threshold=-1; expected null, a number from 0 to 65535, or \{cat",
        ),
        ({"mask_threshold": 65536}, r"mask_threshold=65536; expected"),
        ({"mask_threshold": float("nan")}, r"mask_threshold=nan; expected"),
        ({"mask_threshold": {"screw": 70000}}, r"mask_threshold\.screw=70000; expected"),
        ({"bit_depth": 7}, r"bit_depth=7; expected null .*, or 8 to 16"),
        ({"bit_depth": 17}, r"bit_depth=17; expected null .*, or 8 to 16"),
        ({"mask_threshold": "yes"}, r"mask_threshold=yes; expected null"),
        ({"normal_names": ["good", "okk"]}, r"normal_names: no chosen category has a folder 'okk' of images"),
        ({"normal_names": []}, r"normal_names is empty; expected one name or a list"),
        ({"name": "a\nb"}, r"name=a\\nb: cannot be the name of a dataset"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(root: Path, options: dict, message: str) -> None:
    with pytest.raises(DatasetError, match=rf"^dataset\.{message}"):
        Folder(str(root), **options)


def test_the_dataset_has_the_name_of_its_folder_or_the_given_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    assert Folder(str(root)).name == Folder(".").name == "data"
    assert Folder(str(root / "bottle")).name == "bottle"
    assert Folder(str(root), name="screws & bottles").name == "screws & bottles"


def test_a_folder_whose_name_cannot_name_a_dataset_is_told_the_option(tmp_path: Path) -> None:
    make_category(tmp_path / ("a" * 101) / "bottle")
    with pytest.raises(
        DatasetError, match=r"dataset\.root=.*: the folder's name=.*expected dataset\.name of 1 to 100"
    ):
        Folder(str(tmp_path / ("a" * 101)))
    assert Folder(str(tmp_path / ("a" * 101)), name="short").name == "short"


@pytest.mark.parametrize("folder", ["OK", "normal"])
def test_normal_images_may_have_a_folder_of_another_name(root: Path, folder: str) -> None:
    expected = [(sample.image.name, sample.label) for sample in bottle(root).test]
    for part in ("train", "test"):
        (root / "bottle" / part / "good").rename(root / "bottle" / part / folder)
    category = Folder(str(root), "bottle", normal_names=folder).category("bottle")
    assert {sample.image.parent.name for sample in category.train} == {folder}
    assert sorted((sample.image.name, sample.label) for sample in category.test) == sorted(expected)
    assert {sample.kind for sample in category.test} == {"good", "scratch"}


def test_normal_images_may_lie_in_several_folders(root: Path) -> None:
    shutil.copytree(root / "bottle/test/good", root / "bottle/test/OK")
    shutil.copytree(root / "bottle/train/good", root / "bottle/train/OK")
    category = Folder(str(root), "bottle", normal_names=["good", "OK"]).category("bottle")
    assert len(category.train) == 8
    assert [sample.label for sample in category.test] == [0] * 4 + [1] * 2


@pytest.mark.parametrize("kind", ["Good", "OK", "gut", "0"])
@pytest.mark.parametrize("require_masks", [True, False])
def test_a_folder_that_seems_to_hold_normal_images_is_asked_about(
    root: Path, kind: str, require_masks: bool
) -> None:
    shutil.copytree(root / "bottle/test/good", root / "bottle/test" / kind)
    message = (
        rf"test/{kind}: found 2 images without ground truth, .* Are they normal\? Then set "
        rf"dataset\.normal_names={kind}, or 'dataset\.normal_names=\[good,{kind}\]'"
    )
    with pytest.raises(DatasetError, match=message) as caught:
        bottle(root, require_masks)
    assert "require_masks" not in str(caught.value)


def test_with_ground_truth_it_is_a_kind_of_defect(root: Path) -> None:
    for part in ("test", "ground_truth"):
        (root / "bottle" / part / "scratch").rename(root / "bottle" / part / "0")
    assert [sample.kind for sample in bottle(root).test] == ["0", "0", "good", "good"]


def test_a_train_folder_of_another_name_is_asked_about(root: Path) -> None:
    (root / "bottle/train/good").rename(root / "bottle/train/Normal")
    message = (
        r"train/good: the folder is missing.*Does .*train/Normal hold them\? Then set .*\.normal_names=Normal"
    )
    with pytest.raises(DatasetError, match=message):
        bottle(root)


def test_good_is_no_kind_of_defect(root: Path) -> None:
    for part in ("train", "test"):
        shutil.copytree(root / "bottle" / part / "good", root / "bottle" / part / "OK")
    message = r"test/good: a kind of defect cannot be called 'good'; .*'dataset\.normal_names=\[OK,good\]'"
    with pytest.raises(DatasetError, match=message):
        Folder(str(root), "bottle", normal_names="OK").category("bottle")


@pytest.mark.parametrize(
    "path",
    [
        "train/good",
        "test",
        "test/good",
        "ground_truth",
        "ground_truth/scratch",
        "ground_truth/scratch/000_mask.png",
    ],
)
def test_a_link_that_leads_nowhere_is_named_wherever_it_lies(root: Path, path: str) -> None:
    target = root / "bottle" / path
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    target.symlink_to("/mnt/gone")
    for require_masks in (True, False):
        with pytest.raises(
            DatasetError, match=rf"bottle/{path}: found a link to /mnt/gone, which does not exist"
        ):
            bottle(root, require_masks)


def test_a_category_that_is_a_link_that_leads_nowhere_is_named_if_it_is_chosen(root: Path) -> None:
    (root / "cable").symlink_to("/mnt/gone")
    for categories in ("all", "cable", ["bottle", "cable"]):
        with pytest.raises(
            DatasetError, match=r"data/cable: found a link to /mnt/gone, which does not exist"
        ):
            Folder(str(root), categories)
    assert Folder(str(root), "bottle").categories == ("bottle",)


def test_the_error_has_all_faults_of_a_category(root: Path) -> None:
    shutil.rmtree(root / "bottle/train")
    (root / "bottle/train").mkdir()
    (root / "bottle/ground_truth/scratch/001_mask.png").unlink()
    make_category(root / "other")
    (root / "other/test/scratch").rename(root / "bottle/test/dent")
    folder = Folder(str(root), "bottle")
    with pytest.raises(DatasetError) as caught:
        folder.category("bottle")
    assert [fault.split(": ")[0].removeprefix(f"{root}/bottle/") for fault in caught.value.faults] == [
        "train/good",
        "test/dent/000.png",
        "test/scratch/001.png",
    ]
    assert "(and that of 1 more of the 2 images)" in str(caught.value)


@pytest.mark.parametrize("second", ["001.png", "001.bmp", "001_mask.tif"])
def test_two_masks_of_one_image_are_refused(root: Path, second: str) -> None:
    save(root / "bottle/ground_truth/scratch" / second, square_mask())
    message = r"ground_truth/scratch: .* and .* both are the ground truth of 001\.png; expected one of them"
    with pytest.raises(DatasetError, match=message):
        bottle(root)


def test_two_images_of_one_mask_are_refused(root: Path) -> None:
    save(root / "bottle/test/scratch/001.jpg", noise(12, 16, 3))
    message = (
        r"test/scratch: 001\.jpg and 001\.png would have the same ground truth; expected images of different"
    )
    with pytest.raises(DatasetError, match=message):
        bottle(root)


def test_what_is_passed_over_is_named(root: Path) -> None:
    folder = Folder(str(root))
    assert folder.unused(bottle(root)) == ()
    for part in ("train/good/batch2", "train/bad", "validation/good", "ground_truth/crack"):
        save(root / "bottle" / part / "000.png", noise(12, 16, 3))
    save(root / "bottle/ground_truth/good/000.png", square_mask())  # normal images have no anomalous pixel
    (root / "bottle/test/crack").mkdir()
    assert list(folder.unused(bottle(root))) == [
        "ground_truth/crack: 1 image file is not used",
        "train/bad: 1 image file is not used",
        "train/good/batch2: 1 image file is not used",
        "validation/good: 1 image file is not used",
        "test/crack: it holds no image",
    ]


@pytest.mark.parametrize("root_option", [None, ""])
def test_root_that_is_not_set_is_named(root_option: str | None) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.root is not set"):
        Folder(root_option)


def test_root_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"dataset\.root={tmp_path}/typo: there is no such folder"):
        Folder(f"{tmp_path}/typo")


def test_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.tar.xz").touch()
    with pytest.raises(
        DatasetError, match=r"dataset\.root=.*data\.tar\.xz: this is a file; expected a folder"
    ):
        Folder(f"{tmp_path}/data.tar.xz")


def test_root_that_is_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("/mnt/gone")
    with pytest.raises(DatasetError, match=r"data: found a link to /mnt/gone, which does not exist"):
        Folder(f"{tmp_path}/data")


@pytest.mark.parametrize(
    "root_option", ["~nobody-of-this-name/data", "a\0b", os.fsdecode(b"/data/\xbb"), "a\nb"]
)
def test_root_that_is_no_path_is_named(root_option: str) -> None:
    with pytest.raises(DatasetError, match=r"^dataset\.root=") as caught:
        Folder(root_option)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("below", ["bottle/train", "bottle/test"])
def test_root_in_the_wrong_place_is_told_the_layout(root: Path, below: str) -> None:
    message = r"dataset\.root=.*: found no category; expected .*<category>/train/good"
    with pytest.raises(DatasetError, match=message):
        Folder(str(root / below))


def test_unknown_category_is_told_the_near_and_the_known(root: Path) -> None:
    message = r"dataset\.categories: 'botle' .*\(did you mean 'bottle'\?\); found: bottle, screw"
    with pytest.raises(DatasetError, match=message):
        Folder(str(root), ["screw", "botle"])


def test_no_categories_are_refused(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.categories is empty; expected all, or some of bottle"):
        Folder(str(root), [])


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def test_missing_train_images_are_named(root: Path) -> None:
    empty(root / "bottle/train/good")
    with pytest.raises(DatasetError, match=r"bottle/train/good: found no image; expected \.bmp, "):
        bottle(root)
    (root / "bottle/train/good").rmdir()
    with pytest.raises(DatasetError, match=r"bottle/train/good: the folder is missing"):
        bottle(root)


@pytest.mark.parametrize("left", ["empty kinds", "an empty folder", "nothing"])
def test_without_test_images_a_category_can_be_trained(root: Path, left: str) -> None:
    for kind in ("good", "scratch"):
        empty(root / "bottle/test" / kind)
    if left != "empty kinds":
        shutil.rmtree(root / "bottle/test")
    if left == "an empty folder":
        (root / "bottle/test").mkdir()
    folder = Folder(str(root))
    category = folder.category("bottle")
    assert (len(category.train), category.test) == (4, ())
    assert len(folder.unused(category)) == (
        3 if left == "empty kinds" else 1
    )  # masks, and kinds without images


@pytest.mark.parametrize("misplaced", ["test", "test/good/batch1"])
def test_test_images_that_lie_elsewhere_are_not_taken_for_none(root: Path, misplaced: str) -> None:
    shutil.rmtree(root / "bottle/test")
    save(root / "bottle" / misplaced / "000.png", noise(12, 16, 3))
    message = r"bottle/test: found 1 image file, but no test images; expected image files in test/good and test/<name"
    with pytest.raises(DatasetError, match=message):
        bottle(root)


def test_a_folder_of_images_alone_is_told_the_option_for_it(root: Path) -> None:
    for wrong in (str(root / "bottle/train/good"), None):
        with pytest.raises(
            DatasetError, match=r"dataset\.root.* normal images alone is dataset\.normal_dir$"
        ):
            Folder(wrong)
