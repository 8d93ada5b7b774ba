"""The picture of a cell: its rows and columns; it is drawn whatever is missing."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.data.images import StoredImages
from benchmark.figure import EACH, _low_percentile, hardest, save_figure
from benchmark.scoring import MapFile, Scores
from datasets.category import Sample


def stored(count: int) -> StoredImages:
    random = np.random.default_rng(0)
    kinds = ["good", "dent"] * count
    samples = tuple(
        Sample(Path(f"test/{kind}/{i:03d}.png"), kind, None if kind == "good" else Path(f"{i:03d}_mask.png"))
        for i, kind in enumerate(kinds[:count])
    )
    images = random.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    foreground = np.zeros((count, 8, 8), np.bool_)
    foreground[:, 2:6, 2:6] = True
    depth = (random.standard_normal((count, 8, 8)) * foreground).astype(np.float32)
    return StoredImages(samples, images, random.random((count, 16, 16)) > 0.9, "", depth, foreground)


def draw(
    path: Path, images: StoredImages, threshold: float = 0.5, outcomes: list[str] | None = None
) -> tuple[int, int]:
    maps = np.random.default_rng(1).random((len(images), 16, 16)).astype(np.float32)
    peaks = maps.max((1, 2))
    scores = Scores(maps, peaks.astype(np.float64), peaks)
    save_figure(path, "title", images, scores, threshold, outcomes or [""] * len(images))
    with Image.open(path) as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50
        return picture.size


def test_depth_and_foreground_are_two_further_rows(tmp_path: Path) -> None:
    images = stored(10)
    plain = draw(tmp_path / "plain.png", replace(images, depth=None, foreground=None))
    deep = draw(tmp_path / "deep.png", images)
    assert deep[0] == plain[0]
    assert deep[1] - plain[1] > 0.5 * plain[1]


@pytest.mark.parametrize("count", [1, EACH + 1, 2 * EACH])
def test_there_is_a_column_per_image(tmp_path: Path, count: int) -> None:
    width = draw(tmp_path / "few.png", stored(count))[0]
    assert width == pytest.approx(draw(tmp_path / "many.png", stored(20))[0] * count / (2 * EACH), abs=1)


def test_the_anomalous_images_with_the_lowest_scores_and_the_normal_ones_with_the_highest_are_chosen() -> (
    None
):
    anomalous = np.array([True] * 6 + [False] * 6)
    scores = np.array([9.0, 1, 8, 2, 7, 3, 0.5, 6, 0.1, 5, 0.2, 4])
    assert hardest(anomalous, scores) == ([1, 3, 5, 4], [7, 9, 11, 6])


@pytest.mark.parametrize("normal", [0, 1])
def test_where_there_are_few_of_one_kind_there_are_more_of_the_other(normal: int) -> None:
    anomalous, scores = np.array([True] * 9 + [False] * normal), np.arange(9.0 + normal)
    assert [*map(len, hardest(anomalous, scores))] == [2 * EACH - normal, normal]
    assert [*map(len, hardest(~anomalous, scores))] == [normal, 2 * EACH - normal]


def test_wrong_verdicts_are_named(tmp_path: Path) -> None:
    images = stored(2)
    for name, outcomes in (("right", ["hit", "correct rejection"]), ("wrong", ["miss", "correct rejection"])):
        draw(tmp_path / f"{name}.png", images, outcomes=outcomes)
    assert (tmp_path / "right.png").read_bytes() != (tmp_path / "wrong.png").read_bytes()


def test_the_ground_truth_of_an_image_is_shown_only_where_it_is_known(tmp_path: Path) -> None:
    images = stored(2)
    unknown = replace(images, samples=tuple(replace(sample, mask=None) for sample in images.samples))
    draw(tmp_path / "known.png", images)
    draw(tmp_path / "unknown.png", unknown)
    assert (tmp_path / "known.png").read_bytes() != (tmp_path / "unknown.png").read_bytes()
    draw(tmp_path / "none.png", replace(unknown, samples=images.samples[:1] + unknown.samples[1:]))
    assert (tmp_path / "none.png").read_bytes() == (tmp_path / "unknown.png").read_bytes()


def test_maps_on_disk_are_not_held_in_memory(tmp_path: Path) -> None:
    count, side = 200, 256
    with (tmp_path / "maps").open("w+b") as file:
        maps = MapFile(file, (count, side, side))
        for i in range(count):
            maps.write(i, np.full((1, side, side), i, np.float32))
        tracemalloc.start()
        low = _low_percentile(maps)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert low == pytest.approx(1.99)
    assert peak < 4 * count * side**2 / 2


def test_it_is_drawn_without_masks_foreground_or_threshold(tmp_path: Path) -> None:
    images = stored(3)
    empty = replace(images, masks=None, foreground=np.zeros_like(images.foreground))
    draw(tmp_path / "empty.png", empty, threshold=float("nan"))
