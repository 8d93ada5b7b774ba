"""Folders that lie anywhere: what is normal, anomalous and tested, which masks belong to it, and what is refused."""

import shutil
from pathlib import Path

import pytest

from datasets.category import Category
from datasets.errors import DatasetError
from datasets.folder import Folder
from datasets.inspection import inspect
from datasets.loose_layout import LooseLayout
from tests.datasets.helpers import noise, save, square_mask


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """Return a folder with 10 normal images in `ok`, and anomalous ones with masks in `ng` and `masks`."""
    folder = tmp_path / "line3"
    for i in range(10):
        save(folder / "ok" / f"{i}.png", noise(12, 16, 3, seed=i))
    for seed, kind in enumerate(("scratch", "dent"), 10):
        save(folder / "ng" / kind / "0.png", noise(12, 16, 3, seed=seed))
        save(folder / "masks" / kind / "0_mask.png", square_mask())
    return folder


def read(line: Path, **options: object) -> Category:
    """Return the category of `ok`, with the folders of a name below `line` for those options that name one."""
    given = {
        name: str(line / str(value)) if name.endswith("_dir") else value for name, value in options.items()
    }
    dataset = Folder(normal_dir=str(line / "ok"), **given)  # type: ignore[arg-type]
    return dataset.category(dataset.name)


def names(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


def test_normal_images_alone_are_trained_on(line: Path) -> None:
    category = read(line)
    assert (len(category.train), category.test, category.validation) == (10, (), ())


def test_folders_of_anomalous_images_are_kinds_and_their_masks_are_found(line: Path) -> None:
    category = read(line, abnormal_dir="ng", mask_dir="masks")
    anomalous = [(sample.kind, sample.mask) for sample in category.test if sample.label]
    assert anomalous == [(kind, line / "masks" / kind / "0_mask.png") for kind in ("dent", "scratch")]


def test_anomalous_images_of_the_folder_itself_are_of_the_kind_that_it_names(line: Path) -> None:
    save(line / "ng/7.png", noise(12, 16, 3, seed=20))
    save(line / "masks/7.png", square_mask())
    samples = {sample.kind: sample for sample in read(line, abnormal_dir="ng", mask_dir="masks").test}
    assert samples["ng"].mask == line / "masks/7.png"
    assert set(samples) == {"good", "ng", "scratch", "dent"}


def test_masks_may_lie_in_one_folder_as_long_as_their_images_have_different_names(line: Path) -> None:
    flat = line / "flat"
    save(flat / "0.png", square_mask())
    with pytest.raises(
        DatasetError, match=r"/ng: dent/0\.png and scratch/0\.png would have the same ground truth"
    ):
        read(line, abnormal_dir="ng", mask_dir="flat")
    (line / "ng/dent/0.png").rename(line / "ng/dent/1.png")
    save(flat / "1_mask.png", square_mask())
    found = {sample.kind: sample.mask for sample in read(line, abnormal_dir="ng", mask_dir="flat").test}
    assert found == {"good": None, "dent": flat / "1_mask.png", "scratch": flat / "0.png"}


def test_a_missing_mask_is_an_error_only_if_there_is_a_folder_of_masks(line: Path) -> None:
    (line / "masks/dent/0_mask.png").unlink()
    with pytest.raises(DatasetError, match=r"dent/0\.png: its ground truth is missing.*require_masks=false"):
        read(line, abnormal_dir="ng", mask_dir="masks")
    for options in ({"mask_dir": "masks", "require_masks": False}, {}):
        found = [
            sample.mask is None for sample in read(line, abnormal_dir="ng", **options).test if sample.label
        ]
        assert found == [True, not options]


def test_a_share_of_the_normal_images_is_tested_and_never_trained_on(line: Path) -> None:
    category = read(line, abnormal_dir="ng")
    tested = {sample.image for sample in category.test if not sample.label}
    assert (len(category.train), len(tested)) == (8, 2)
    assert not tested & {sample.image for sample in category.train}
    assert read(line, abnormal_dir="ng") == category
    assert [sample.label for sample in read(line, abnormal_dir="ng", test_fraction=0).test] == [1, 1]
    shares = {
        tuple(names([s.image for s in read(line, abnormal_dir="ng", test_seed=seed).test]))
        for seed in range(5)
    }
    assert len(shares) > 1


def test_images_that_are_added_or_moved_leave_most_others_in_their_part(line: Path) -> None:
    def tested(folder: Path) -> set[str]:
        category = read(folder, abnormal_dir="ng", test_fraction=0.5)
        return {sample.image.name for sample in category.test if not sample.label}

    before = tested(line)
    shutil.copytree(line, line.parent / "moved")
    assert tested(line.parent / "moved") == before
    save(line / "ok/new.png", noise(12, 16, 3, seed=30))
    assert len(before - tested(line)) <= 1


def test_normal_test_images_may_have_a_folder_of_their_own(line: Path) -> None:
    save(line / "later/0.png", noise(12, 16, 3, seed=40))
    category = read(line, abnormal_dir="ng", normal_test_dir="later")
    assert len(category.train) == 10
    assert [sample.image for sample in category.test if not sample.label] == [line / "later/0.png"]
    assert [sample.label for sample in read(line, normal_test_dir="later").test] == [0]


def test_images_are_found_at_any_depth_and_what_is_not_used_is_named(line: Path) -> None:
    save(line / "ok/2024-01/day 2/0.png", noise(12, 16, 3, seed=50))
    save(line / "ng/dent/2024-01/1.png", noise(12, 16, 3, seed=51))
    (line / "ng/crack").mkdir()
    save(line / "masks/9.png", square_mask())
    dataset = LooseLayout(
        str(line / "ok"), str(line / "ng"), mask_dir=str(line / "masks"), require_masks=False
    )
    category = dataset.category("ok")
    assert len(category.train) + len(category.test) == 11 + 3
    assert [sample.kind for sample in category.test if sample.label] == ["dent", "dent", "scratch"]
    assert dataset.unused(category) == (
        f"{line}/masks: 1 image file is not used",
        f"{line}/ng/crack: it holds no image",
    )


def test_dataset_and_category_have_the_name_of_the_folder_or_the_given_one(
    line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(line / "ok")
    for folder in (".", str(line / "ok"), "../ok/"):
        dataset = Folder(normal_dir=folder)
        assert (dataset.name, dataset.categories) == ("ok", ("ok",))
    assert Folder(normal_dir=".", name="screws").categories == ("screws",)


def test_all_checks_of_a_dataset_run_on_it(line: Path) -> None:
    folders = {"abnormal_dir": str(line / "ng"), "mask_dir": str(line / "masks")}
    (facts,) = inspect(Folder(normal_dir=str(line / "ok"), **folders))  # type: ignore[arg-type]
    assert (facts.category, facts.train, facts.good, facts.kinds) == (
        "ok",
        8,
        2,
        {"dent": 1, "scratch": 1},
    )
    save(line / "masks/dent/0_mask.png", square_mask(10, 10))
    (line / "ok/3.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"^found 2 faults: 'ok': ") as caught:
        inspect(Folder(normal_dir=str(line / "ok"), **folders))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": "ok"}, r"dataset\.root and dataset\.normal_dir are both set; expected one of them"),
        ({"normal_names": "OK"}, r"dataset\.normal_names=OK names folders below dataset\.root"),
        ({"mask_dir": "masks"}, r"dataset\.mask_dir=.*/masks goes with dataset\.abnormal_dir"),
        ({"abnormal_dir": "none"}, r"dataset\.abnormal_dir=.*/none: there is no such folder"),
        (
            {"abnormal_dir": "ok"},
            r"dataset\.normal_dir=.* is the same folder as dataset\.abnormal_dir=.*/ok, so",
        ),
        ({"abnormal_dir": "."}, r"dataset\.normal_dir=.*/ok lies in dataset\.abnormal_dir=.*/line3"),
        (
            {"abnormal_dir": "ng", "mask_dir": "ng/dent"},
            r"dataset\.mask_dir=.*/dent lies in dataset\.abnormal_dir=.*; expected folders that do not overlap",
        ),
        (
            {"abnormal_dir": "empty"},
            r"dataset\.abnormal_dir=.*/empty: found no image at any depth; expected \.bmp",
        ),
        ({"test_seed": 1}, r"dataset\.test_fraction and dataset\.test_seed .* needs dataset\.abnormal_dir"),
        (
            {"abnormal_dir": "ng", "test_fraction": 1.0},
            r"dataset\.test_fraction=1; expected 0, or a fraction below 1",
        ),
        ({"categories": ["bad"]}, r"dataset\.categories: 'bad' is not in "),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(line: Path, options: dict, message: str) -> None:
    (line / "empty").mkdir()
    with pytest.raises(DatasetError, match=rf"^{message}") as caught:
        read(line, **options)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "option", ["abnormal_dir", "normal_test_dir", "mask_dir", "test_fraction", "test_seed"]
)
def test_options_that_need_the_folder_of_normal_images_are_refused_without_it(option: str) -> None:
    with pytest.raises(
        DatasetError, match=rf"^dataset\.{option}=1 goes with dataset\.normal_dir, .* not set$"
    ):
        Folder(root="parts", **{option: 1})  # type: ignore[arg-type]


def test_links_cannot_make_an_image_normal_and_anomalous(line: Path) -> None:
    (line / "ok/more").symlink_to(line / "ng/dent")
    with pytest.raises(
        DatasetError, match=r"ng/dent/0\.png: the same file as .*ok/more/0\.png, which is normal"
    ):
        read(line, abnormal_dir="ng")


def test_a_folder_that_seems_to_hold_more_than_normal_images_is_asked_about(line: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"found the folders ok and masks.*Then set dataset\.normal_dir=.*/ok$"
    ):
        Folder(normal_dir=str(line))
    save(line / "train/good/0.png", noise(12, 16, 3))
    with pytest.raises(
        DatasetError, match=r"found a folder train, as in MVTec AD's layout; .*dataset\.root="
    ):
        Folder(normal_dir=str(line))


def test_good_is_no_kind_of_defect(line: Path) -> None:
    save(line / "ng/good/0.png", noise(12, 16, 3))
    with pytest.raises(DatasetError, match=r"ng/good: a kind of defect cannot be called 'good'"):
        read(line, abnormal_dir="ng")
