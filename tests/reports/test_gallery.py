"""The gallery: which images it shows, in which order, and what its tiles show and say."""

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from reports.naming import slug
from reports.page.gallery import THUMBNAIL, gallery
from store.artifacts import Artifacts
from store.files import write_pictures, write_scores
from store.tags import PICTURES
from tests.reports.made import NAN, cells

SIZE = 160
IMAGES = ["test/good/000.png", "test/crack/000.png", "test/crack/001.png"]


class Files(Artifacts):
    """Files of cells that are in no store: a folder for each run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.damaged = folder, []

    def path(self, run_id: str, name: str) -> Path | None:
        path = self.folder / run_id / name
        return path if path.exists() else None

    def add_scores(self, run: str, scores: Sequence[float], images: Sequence[str] = IMAGES) -> None:
        (self.folder / run).mkdir(parents=True, exist_ok=True)
        kinds = [name.split("/")[1] for name in images]
        labels = [int(kind != "good") for kind in kinds]
        write_scores(self.folder / run, zip(images, kinds, labels, scores, strict=True))

    def add_maps(self, run: str, maps: NDArray[np.float32], images: Sequence[str] = IMAGES) -> None:
        path = self.folder / run / "maps.npz"
        np.savez_compressed(path, maps=maps.astype(np.float16), scale=np.float32(1), images=np.array(images))

    def add_pictures(self, run: str, masks: Mapping[str, NDArray[np.bool_]], grey: int = 255) -> None:
        images = np.full((len(IMAGES), SIZE, SIZE, 3), grey, np.uint8)
        write_pictures(self.folder / run, images, None, IMAGES)
        with zipfile.ZipFile(self.folder / run / PICTURES, "a") as archive:
            for name, mask in masks.items():
                buffer = io.BytesIO()
                Image.fromarray(mask).save(buffer, "PNG")
                archive.writestr(f"{name}.mask.png", buffer.getvalue())


def table(*names: tuple[str, str], **columns: str) -> pd.DataFrame:
    """Make the tidy table of (method, category), whose runs are called `<method>-<category>-<seed>`."""
    made = cells(*((method, category, 0.9) for method, category in names), **columns)
    return made.assign(run_id=made["method"] + "-" + made["category"] + "-" + made["seed"])


def pixel(path: Path, x: int, y: int) -> tuple[int, int, int]:
    with Image.open(path) as picture:
        return picture.convert("RGB").getpixel((x, y))  # type: ignore[return-value]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "runs")


def test_a_rank_is_the_fraction_of_the_other_images_with_a_lower_score(files: Files, tmp_path: Path) -> None:
    files.add_scores("rd-bottle-0", [0.1, 0.2, 0.3])
    files.add_scores("ast-bottle-0", [5.0, 9.0, 5.0])
    found, _ = gallery(table(("rd", "bottle"), ("ast", "bottle")), files, tmp_path)
    ranks = {row.image: dict(row.ranks) for row in found}
    assert ranks == {
        "test/good/000.png": {"rd": 0.0, "ast": 0.0},
        "test/crack/000.png": {"rd": 0.5, "ast": 1.0},
        "test/crack/001.png": {"rd": 1.0, "ast": 0.0},
    }


def test_half_are_those_with_the_largest_disagreement_and_half_the_hardest_of_the_others(
    files: Files, tmp_path: Path
) -> None:
    files.add_scores("rd-bottle-0", [0.1, 0.2, 0.3])
    files.add_scores("ast-bottle-0", [5.0, 9.0, 5.0])
    found, note = gallery(table(("rd", "bottle"), ("ast", "bottle")), files, tmp_path, per_category=2)
    assert [(row.image, row.disagreement) for row in found] == [
        ("test/crack/001.png", 1.0),
        ("test/good/000.png", 0.0),  # ast gives it the score of an anomalous image
    ]
    assert note.startswith("2 images of each category")


def thresholds(image: float, pixel: float, measure: str = "pro", **columns: str) -> pd.DataFrame:
    """Make the table of rd on bottle with a measure and its thresholds."""
    metrics = {measure: 0.9, "image_threshold": image, "threshold": pixel}
    parts = [
        table(("rd", "bottle"), metric=name, **columns).assign(value=value) for name, value in metrics.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_a_lone_method_disagrees_with_nobody_and_shows_its_hardest_images_first(
    files: Files, tmp_path: Path
) -> None:
    files.add_scores("rd-bottle-0", [0.2, 0.1, 0.3])
    found, note = gallery(table(("rd", "bottle")), files, tmp_path)
    assert [row.disagreement for row in found] == [0, 0, 0]
    assert [row.image for row in found] == ["test/crack/000.png", "test/good/000.png", "test/crack/001.png"]
    assert note.startswith("The 8 hardest images of each category")


@pytest.mark.parametrize(
    ("threshold", "outcomes"),
    [
        (0.25, {"test/crack/000.png": "miss", "test/good/000.png": "correct rejection"}),
        (0.15, {"test/good/000.png": "false alarm", "test/crack/000.png": "miss"}),
        (0.1, {"test/good/000.png": "false alarm", "test/crack/000.png": "hit"}),
    ],
)
def test_scores_at_or_above_the_threshold_are_verdicts_and_wrong_ones_come_first(
    files: Files, tmp_path: Path, threshold: float, outcomes: dict[str, str]
) -> None:
    files.add_scores("rd-bottle-0", [0.2, 0.1, 0.3])
    found, _ = gallery(thresholds(threshold, 1.0), files, tmp_path)
    tiles = {row.image: row.tiles[-1] for row in found}
    assert {name: tiles[name].outcome for name in outcomes} == outcomes
    assert tiles["test/crack/001.png"].outcome == "hit"
    assert tiles["test/crack/001.png"].note == f"score 0.3, {0.3 / threshold:.3g} × threshold"
    wrong = [row.tiles[-1].outcome in ("miss", "false alarm") for row in found]
    assert wrong == sorted(wrong, reverse=True)


def test_a_threshold_of_maps_gives_no_verdict_on_scores(files: Files, tmp_path: Path) -> None:
    files.add_scores("rd-bottle-0", [0.2, 0.1, 0.3])
    found, note = gallery(thresholds(0.15, 0.15, threshold_policy="dice_max"), files, tmp_path)
    assert {tile.outcome for row in found for tile in row.tiles} == {""}
    assert "dice_max give no verdicts" in note


def test_a_map_lies_over_its_image_with_lines_at_the_threshold_and_around_the_ground_truth(
    files: Files, tmp_path: Path
) -> None:
    truth = np.zeros((SIZE, SIZE), bool)
    truth[100:140, 100:140] = True
    maps = np.zeros((3, SIZE, SIZE), np.float32)
    maps[1, 20:60, 20:60] = 2.0
    files.add_scores("rd-bottle-0", [1, 2, 3])
    files.add_maps("rd-bottle-0", maps)
    files.add_pictures("rd-bottle-0", {IMAGES[1]: truth}, grey=90)
    found, _ = gallery(thresholds(1.5, 1.0), files, tmp_path)
    shown = {row.image: tmp_path / row.tiles[2].full for row in found}
    with Image.open(shown[IMAGES[1]]) as opened:
        drawn = np.asarray(opened.convert("RGB")).astype(int)
    assert drawn[20, 40] == pytest.approx((0, 255, 255), abs=40)  # the contour
    assert drawn[40, 40, 2] < 200  # the heat map
    assert drawn[80, 80] == pytest.approx((90, 90, 90), abs=6)  # the image
    assert drawn[100, 120] == pytest.approx((255, 255, 255), abs=40)  # the outline of the ground truth
    assert pixel(shown[IMAGES[0]], 40, 40) == pytest.approx((90, 90, 90), abs=6)


@pytest.mark.parametrize("policy", ["f1_image", "train_quantile"])
def test_without_ground_truth_for_pixels_there_is_no_tile_of_it_and_no_line_by_labels_of_images(
    files: Files, tmp_path: Path, policy: str
) -> None:
    maps = np.zeros((3, SIZE, SIZE), np.float32)
    maps[1, 20:60, 20:60] = 2.0
    files.add_scores("rd-bottle-0", [1, 2, 3])
    files.add_maps("rd-bottle-0", maps)
    files.add_pictures("rd-bottle-0", {}, grey=90)
    found, note = gallery(thresholds(1.5, 1.0, "image_auroc", threshold_policy=policy), files, tmp_path)
    assert {tuple(tile.title for tile in row.tiles) for row in found} == {("image", "RD")}
    (shown,) = [tmp_path / row.tiles[1].full for row in found if row.image == IMAGES[1]]
    with Image.open(shown) as opened:
        corner = np.asarray(opened.convert("RGB")).astype(int)[20, 40]
    # held-out images give a threshold without any label
    has_line = policy == "train_quantile"
    assert bool(np.allclose(corner, (0, 255, 255), atol=40)) == has_line
    assert ("cyan" in note) == has_line
    assert "ground truth" not in note


def test_where_any_image_has_ground_truth_the_others_say_that_they_have_none(
    files: Files, tmp_path: Path
) -> None:
    for run in ("rd-bottle-0", "rd-cable-0"):
        files.add_scores(run, [1, 2, 3])
    cable = table(("rd", "cable"), metric="image_auroc")
    found, note = gallery(pd.concat([table(("rd", "bottle")), cable]), files, tmp_path)
    assert {row.tiles[1].title for row in found} == {"ground truth: not kept"}
    assert "white: the ground truth." in note


def test_an_undefined_score_has_no_rank_and_leaves_the_others_alone(files: Files, tmp_path: Path) -> None:
    files.add_scores("rd-bottle-0", [0.1, NAN, 0.3])
    found, _ = gallery(table(("rd", "bottle")), files, tmp_path)
    ranks = {row.image: row.ranks["rd"] for row in found}
    assert (ranks[IMAGES[0]], ranks[IMAGES[2]]) == (0, 1)
    assert math.isnan(ranks[IMAGES[1]])


def test_the_lowest_finished_seed_of_a_method_is_shown(files: Files, tmp_path: Path) -> None:
    seeds = [
        table(("rd", "bottle"), seed=seed, status=status)
        for seed, status in (("10", "FINISHED"), ("2", "FINISHED"), ("0", "FAILED"))
    ]
    files.add_scores("rd-bottle-10", [3, 2, 1])
    files.add_scores("rd-bottle-2", [1, 2, 3])
    found, _ = gallery(pd.concat(seeds, ignore_index=True), files, tmp_path)
    assert {row.image: row.ranks["rd"] for row in found}[IMAGES[2]] == 1


def test_ground_truth_is_the_darkened_image_with_its_mask_in_red(files: Files, tmp_path: Path) -> None:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[:80] = True
    files.add_scores("rd-bottle-0", [1, 2, 3])
    files.add_pictures("rd-bottle-0", {IMAGES[1]: mask})
    found, _ = gallery(table(("rd", "bottle")), files, tmp_path)
    rows = {row.image: row for row in found}
    titles = {name: row.tiles[1].title for name, row in rows.items()}
    assert titles == {
        IMAGES[0]: "ground truth: normal",
        IMAGES[1]: "ground truth",
        IMAGES[2]: "ground truth: no mask",
    }
    truth = tmp_path / rows[IMAGES[1]].tiles[1].full
    assert pixel(truth, 80, 20) == pytest.approx((240, 60, 60), abs=6)
    assert pixel(truth, 80, 140) == pytest.approx((114, 114, 114), abs=6)


def test_all_maps_of_a_method_and_category_share_one_colour_scale(files: Files, tmp_path: Path) -> None:
    maps = np.zeros((3, SIZE, SIZE), np.float32)
    maps[1, :80], maps[2, :80] = 1, 2
    files.add_scores("rd-bottle-0", [1, 2, 3])
    files.add_maps("rd-bottle-0", maps)
    # the same maps in other units look the same
    files.add_scores("ast-bottle-0", [1, 2, 3])
    files.add_maps("ast-bottle-0", 500 * maps + 7)
    found, _ = gallery(table(("rd", "bottle"), ("ast", "bottle")), files, tmp_path)
    rows = {row.image: row for row in found}
    for place in (2, 3):
        shown = [pixel(tmp_path / rows[name].tiles[place].full, 80, 20) for name in IMAGES]
        # the ends and the middle of inferno
        assert shown[0] == pytest.approx((0, 0, 4), abs=6)
        assert shown[1] == pytest.approx((188, 55, 84), abs=8)
        assert shown[2] == pytest.approx((252, 255, 164), abs=6)


def test_undefined_pixels_leave_the_colour_scale_alone(files: Files, tmp_path: Path) -> None:
    maps = np.zeros((3, SIZE, SIZE), np.float32)
    maps[:, :80], maps[0, 0, 0] = 1, np.nan
    files.add_scores("rd-bottle-0", [1, 2, 3])
    files.add_maps("rd-bottle-0", maps)
    found, _ = gallery(table(("rd", "bottle")), files, tmp_path)
    assert pixel(tmp_path / found[0].tiles[2].full, 80, 20) == pytest.approx((252, 255, 164), abs=6)


def test_full_pictures_keep_their_size_and_thumbnails_are_small(files: Files, tmp_path: Path) -> None:
    files.add_scores("rd-bottle-0", [1, 2, 3])
    files.add_maps("rd-bottle-0", np.random.default_rng(0).random((3, SIZE, SIZE), np.float32))
    files.add_pictures("rd-bottle-0", {})
    found, _ = gallery(table(("rd", "bottle")), files, tmp_path)
    for tile in (tile for row in found for tile in row.tiles):
        with Image.open(tmp_path / tile.full) as full, Image.open(io.BytesIO(tile.thumbnail)) as small:
            assert full.size == (SIZE, SIZE)
            assert (small.size, small.format) == ((THUMBNAIL, THUMBNAIL), "JPEG")


def test_what_is_missing_says_so_in_its_tile(files: Files, tmp_path: Path) -> None:
    files.add_scores("rd-bottle-0", [1, 2, 3])
    files.add_maps("rd-bottle-0", np.ones((1, SIZE, SIZE), np.float32), images=IMAGES[:1])
    rows = pd.concat(
        [table(("rd", "bottle")), table(("ast", "bottle"), status="FAILED", metric="")], ignore_index=True
    )
    found, _ = gallery(rows, files, tmp_path)
    titles = {row.image: [tile.title for tile in row.tiles] for row in found}
    assert titles[IMAGES[0]] == ["image: not kept", "ground truth: not kept", "RD", "AST: no map"]
    assert titles[IMAGES[1]] == ["image: not kept", "ground truth: not kept", "RD: no map", "AST: no map"]
    assert math.isnan(found[0].ranks["ast"])
    assert all(not tile.thumbnail for row in found for tile in row.tiles if ":" in tile.title)


def test_a_category_without_scores_is_named(files: Files, tmp_path: Path) -> None:
    files.add_scores("rd-bottle-0", [1, 2, 3])
    found, note = gallery(table(("rd", "bottle"), ("rd", "cable")), files, tmp_path)
    assert {row.category for row in found} == {"bottle"}
    assert note.endswith("Without image scores, and so not shown: cable.")


def test_progress_counts_categories(files: Files, tmp_path: Path) -> None:
    counts: list[tuple[int, int]] = []
    gallery(
        table(("rd", "bottle"), ("rd", "cable")),
        files,
        tmp_path,
        progress=lambda *each: counts.append(each),
    )
    assert counts == [(0, 2), (1, 2), (2, 2)]


def test_no_name_leads_out_of_the_folder(files: Files, tmp_path: Path) -> None:
    images = ["../../../x.png", "test/good/<b>.png", "C:\\x.png"]
    odd = table(("../rd", ".."))
    odd["run_id"] = "run"
    files.add_scores("run", [1, 2, 3], images=[f"{name}/good/1" for name in images])
    files.add_maps("run", np.ones((3, SIZE, SIZE), np.float32), images=[f"{name}/good/1" for name in images])
    found, _ = gallery(odd, files, tmp_path / "report")
    full = [tile.full for row in found for tile in row.tiles if tile.thumbnail]
    assert len(set(full)) == 3
    for path in full:
        assert (tmp_path / "report" / path).resolve().is_relative_to(tmp_path / "report" / "pictures")


@pytest.mark.parametrize(
    ("one", "other"), [("a/b", "a-b"), ("Bottle", "bottle"), ("é", "è"), ("x" * 99, "x" * 98)]
)
def test_different_names_have_different_files(one: str, other: str) -> None:
    assert slug(one) != slug(other)
    assert slug(one).replace("-", "").replace("_", "").isalnum()
