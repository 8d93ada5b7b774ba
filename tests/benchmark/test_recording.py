"""What a cell leaves behind can be read again, and says the same as its numbers."""

import csv
import io
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PIL import Image

from benchmark.cell import Cell, Outcome
from benchmark.drafts import Draft, new_draft
from benchmark.outcome import record
from benchmark.records import StageRecord
from benchmark.scoring import InferenceCost, Scores
from benchmark.settings import Evaluation, Tracking
from datasets.category import Sample
from datasets.store import StoredImages
from methods.method import Method
from metrics import evaluate

SIDE = 32


def make_outcome(masked: bool = True) -> Outcome:
    """Return what a method found that sees squares in noise, some of them."""
    rng = np.random.default_rng(0)
    kinds = ["good", "good", "dent", "dent", "scratch"]
    samples = tuple(Sample(Path(f"/data/washer/test/{kind}/{i}.png"), kind) for i, kind in enumerate(kinds))
    masks = np.zeros((5, SIDE, SIDE), bool)
    masks[2, 4:9, 4:9] = masks[2, 20:30, 20:22] = masks[3, :6, :6] = masks[4, 10, 10:20] = True
    maps = (rng.normal(size=masks.shape) + 1.5 * masks).astype(np.float32)
    images = rng.integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)
    scores = Scores(maps, maps.max((1, 2)).astype(np.float64))
    truth = masks if masked else None
    labels = [sample.label for sample in samples]
    return Outcome(
        evaluate(maps, truth, labels, scores.images),
        scores,
        [StageRecord("student", [2.0, 1.0], 1, [], 2, 4.0, 40)],
        InferenceCost(0.1, 0.05, 1e9),
        StoredImages(samples, images, truth, "fingerprint"),
        Method(),
        1.0,
        None,
        None,
    )


def write(folder: Path, outcome: Outcome, **tracking: bool) -> Draft:
    cell = SimpleNamespace(
        name="stfpm washer",
        teacher="resnet18",
        evaluation=Evaluation(16, "f1_image", 0.995, 0.3, ["exact"], ["image_auroc"]),
        tracking=Tracking("", "", **({"figure": False} | tracking)),
    )
    draft = new_draft(folder / "draft", {})
    record(cast(Cell, cell), outcome, draft)
    return draft


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def curve(draft: Draft, name: str) -> tuple[list[float], list[float]]:
    points = [row for row in rows(draft.files / "curves.csv") if row["curve"] == name]
    return [float(row["false_positive_rate"]) for row in points], [float(row["value"]) for row in points]


def test_the_curves_enclose_the_measures(tmp_path: Path) -> None:
    draft = write(tmp_path, make_outcome())
    for name, measure in (("image_roc", "image_auroc"), ("pixel_roc", "pixel_auroc")):
        false, true = curve(draft, name)
        assert np.trapezoid(true, false) == pytest.approx(draft.metrics[measure][0], abs=0.005)


def test_the_regions_are_those_of_the_masks_and_their_mean_is_pro(tmp_path: Path) -> None:
    draft = write(tmp_path, make_outcome())
    found = rows(draft.files / "regions.csv")
    assert [(row["image"], row["kind"], row["area"]) for row in found] == [
        ("test/dent/2.png", "dent", "25"),
        ("test/dent/2.png", "dent", "20"),
        ("test/dent/3.png", "dent", "36"),
        ("test/scratch/4.png", "scratch", "10"),
    ]
    assert np.mean([float(row["pro"]) for row in found]) == pytest.approx(draft.metrics["pro"][0], abs=1e-9)


def test_scores_come_back_to_the_last_bit(tmp_path: Path) -> None:
    outcome = make_outcome()
    found = rows(write(tmp_path, outcome).files / "scores.csv")
    assert [float(row["score"]) for row in found] == outcome.scores.images.tolist()
    assert [row["label"] for row in found] == ["0", "0", "1", "1", "1"]


def test_pictures_hold_the_images_and_the_exact_truth(tmp_path: Path) -> None:
    outcome = make_outcome()
    assert outcome.stored.masks is not None
    with zipfile.ZipFile(write(tmp_path, outcome).files / "pictures.zip") as pictures:
        for i, row in enumerate(["test/good/0.png", "test/good/1.png", "test/dent/2.png"]):
            image = Image.open(io.BytesIO(pictures.read(f"{row}.jpg")))
            mask = Image.open(io.BytesIO(pictures.read(f"{row}.mask.png")))
            difference = np.asarray(image, float).mean() - outcome.stored.images[i].mean()
            assert abs(difference) < 3  # JPEG
            np.testing.assert_array_equal(np.asarray(mask), outcome.stored.masks[i])


def test_without_masks_there_is_only_the_image_roc(tmp_path: Path) -> None:
    draft = write(tmp_path, make_outcome(masked=False))
    assert {row["curve"] for row in rows(draft.files / "curves.csv")} == {"image_roc"}
    assert rows(draft.files / "regions.csv") == []
    with zipfile.ZipFile(draft.files / "pictures.zip") as pictures:
        assert all(name.endswith(".jpg") for name in pictures.namelist())


def test_streamed_measures_are_told_and_have_no_pixel_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = write(tmp_path / "exact", make_outcome())
    monkeypatch.setattr("metrics.evaluation.EXACT_PIXELS", SIDE**2)
    streamed = write(tmp_path / "streamed", make_outcome())
    assert "pixel_measures" not in exact.tags
    assert streamed.tags["pixel_measures"] == "streamed"
    assert streamed.metrics["pro"][0] == pytest.approx(exact.metrics["pro"][0], abs=1e-4)
    assert {row["curve"] for row in rows(streamed.files / "curves.csv")} == {"image_roc"}


def test_what_is_not_wanted_is_not_written(tmp_path: Path) -> None:
    draft = write(tmp_path, make_outcome(), maps=False, pictures=False, student=False)
    assert sorted(path.name for path in draft.files.iterdir()) == ["curves.csv", "regions.csv", "scores.csv"]
