"""VisA and MVTec AD 2 in their official layouts: trained, measured, and submitted to AD 2's evaluation server."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from filelock import FileLock
from PIL import Image

from benchmark.deployment import submitting
from benchmark.detector import load_detector
from benchmark.signals import INTERRUPTED
from benchmark.submit import main
from datasets.mvtec_ad_2 import PRIVATE_COUNTS
from store.files import read_scores
from store.tags import SCORES
from tests.datasets.official_trees import make_mvtec_ad_2, make_visa
from tests.end_to_end.command import TAKEN, Outcome, fails_plainly, run_here

QUICK = (
    *(
        "method=stfpm",
        "protocol=quick",
        "backbone=resnet18",
        "backbone.name=test_resnet",
        "backbone.weights=random",
    ),
    *("method.layers=[layer1]", "method.training.image_size=32", "method.training.epochs=1"),
    *("tracking.figure=false", "tracking.maps=false"),
)
PRIVATE = 3
"""Images of each private split of a category; the dataset has hundreds."""
OWN_VALIDATION = "are the dataset's own; method.training.validation_fraction=0.2 holds out none"


def test_visa_is_trained_and_measured_as_released(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = make_visa(tmp_path / "visa", ["candle", "pcb1"], train=6)
    arguments = (*QUICK, "dataset=visa", f"dataset.root={root}", "dataset.categories=[candle,pcb1]")
    outcome = run_here(tmp_path / "results", capfd, *arguments, "sweep=visa")
    assert outcome.code == 0, outcome.stderr
    assert (
        "candle: 6 train, 2 good and 2 anomalous (anomaly 2), 32x24, RGB; 2 masks of 0, 1, 3 > 0"
        in outcome.stdout
    )
    assert "pcb1/Data/Images/Normal: 1 image file is not in split_csv/1cls.csv, so not used" in outcome.stderr
    for cell in outcome.runs("cell"):
        assert (cell.data.tags["dataset"], cell.data.tags["dataset_choice"]) == ("visa", "visa")
        assert cell.data.metrics.keys() > {"image_auroc", "pixel_auroc", "pro"}
        scores = read_scores(outcome.artifact(cell, SCORES))
        assert [Path(image).suffix for image in scores["image"]] == [".JPG"] * 4
    assert sorted(path.name for path in root.iterdir()) == ["candle", "pcb1", "split_csv"]


def test_a_mistake_in_visa_ends_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = make_visa(tmp_path / "visa", ["candle"])
    (root / "candle/Data/Images/Normal/0001.JPG").unlink()
    arguments = (*QUICK, "dataset=visa", f"dataset.root={root}", "dataset.categories=[candle]")
    outcome = run_here(tmp_path / "results", capfd, *arguments)
    fails_plainly(
        outcome, "'candle'", "Normal/0001.JPG: there is no such image, although split_csv/1cls.csv names it"
    )


@dataclass(frozen=True)
class Trained:
    """A finished sweep over all of MVTec AD 2, and the dataset."""

    outcome: Outcome
    root: Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ad2")
    make_mvtec_ad_2(folder / "mvtec_ad_2", tuple(PRIVATE_COUNTS), private=PRIVATE, size=(40, 56))
    return folder


@pytest.fixture
def trained(folder: Path, capfd: pytest.CaptureFixture[str]) -> Trained:
    """Return the sweep, which the first test that needs it runs."""
    root, results, stdout = folder / "mvtec_ad_2", folder / "results", folder / "stdout.txt"
    if not results.exists():
        outcome = run_here(results, capfd, *QUICK, "dataset=mvtec_ad_2", f"dataset.root={root}", "sweep=ad2")
        assert outcome.code == 0, outcome.stderr
        stdout.write_text(outcome.stdout)
    return Trained(Outcome(0, stdout.read_text(), "", results), root)


Submit = Callable[..., Outcome]


@pytest.fixture
def submit(trained: Trained, capfd: pytest.CaptureFixture[str]) -> Submit:
    """Return the command, with the store of the sweep."""

    def command(*arguments: object) -> Outcome:
        capfd.readouterr()
        given = [*map(str, arguments)]
        if "--check" not in given:
            given += ["--store", trained.outcome.uri, *([] if "--sweep" in given else ["--sweep", "ad2"])]
        try:
            code = main(given)
        except SystemExit as end:
            code = int(str(end.code))
        return Outcome(code, *capfd.readouterr(), trained.outcome.results)

    return command


def server_takes(folder: Path, counts: Mapping[str, int]) -> bool:
    """Check a submission by what the dataset's publishers say of it, without this project's code."""
    assert sorted(path.name for path in folder.iterdir()) == ["anomaly_images", "anomaly_images_thresholded"]
    for part, suffix in (("anomaly_images", "tiff"), ("anomaly_images_thresholded", "png")):
        assert {path.name for path in (folder / part).iterdir()} == {*counts}
        for category, count in counts.items():
            splits = folder / part / category
            assert sorted(path.name for path in splits.iterdir()) == ["test_private", "test_private_mixed"]
            for split, kind in (("test_private", "regular"), ("test_private_mixed", "mixed")):
                names = [path.name for path in sorted((splits / split).iterdir())]
                assert names == [f"{number:03d}_{kind}.{suffix}" for number in range(count)]
                for name in names:
                    path = splits / split / name
                    values = tifffile.imread(path) if suffix == "tiff" else np.asarray(Image.open(path))
                    assert values.ndim == 2
                    if suffix == "tiff":
                        assert values.dtype == np.float16
                    else:
                        assert set(np.unique(values)) <= {0, 255}
    return True


def assert_maps_are_those_of_the_detector(trained: Trained, out: Path, category: str) -> None:
    """Compare a submission with the detector's maps at the size of the images, up to a power of two."""
    cell = next(cell for cell in trained.outcome.runs("cell") if cell.data.tags["category"] == category)
    detector = load_detector(cell.info.run_id, tracking_uri=trained.outcome.uri)
    for split, kind, width in (("test_private", "regular", 57), ("test_private_mixed", "mixed", 58)):
        images = sorted((trained.root / category / split).iterdir())
        for number, own in enumerate(detector.predict(images).maps):
            place = Path(category, split, f"{number:03d}_{kind}")
            found = tifffile.imread(out / "anomaly_images" / place.with_suffix(".tiff"))
            pixels = np.asarray(Image.open(out / "anomaly_images_thresholded" / place.with_suffix(".png")))
            assert found.shape == pixels.shape == (40, width)
            whole = np.asarray(Image.fromarray(own).resize((width, 40), Image.Resampling.BILINEAR))
            reached = whole >= np.float64(detector.thresholds["train_quantile"]["pixel"])
            assert (reached == (pixels == 255)).mean() > 0.999
            factor = np.median(found / whole)
            assert np.log2(factor) == pytest.approx(np.log2(factor).round(), abs=1e-2)
            np.testing.assert_allclose(found, whole * 2 ** np.log2(factor).round(), rtol=2e-3)


def test_mvtec_ad_2_is_measured_with_its_own_validation_images(trained: Trained) -> None:
    cells = trained.outcome.runs("cell")
    assert [cell.data.tags["category"] for cell in cells] == [*PRIVATE_COUNTS]
    assert OWN_VALIDATION in trained.outcome.stdout
    for cell in cells:
        assert cell.data.tags["threshold_policy"] == "train_quantile"
        assert cell.data.tags["fpr_limit"] == "0.05"
        assert "method.training.validation_fraction" not in cell.data.params
        assert not any(name.startswith("protocol_value.evaluation") for name in cell.data.params)
    detector = load_detector(cells[0].info.run_id, tracking_uri=trained.outcome.uri)
    images = sorted((trained.root / "can/validation/good").iterdir())
    scores = detector.predict(images).scores
    expected = np.quantile(scores, 0.995)
    assert detector.thresholds["train_quantile"]["image"] == pytest.approx(expected, rel=1e-5)


def test_another_fraction_of_train_images_changes_nothing(
    trained: Trained, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = (*QUICK, "dataset=mvtec_ad_2", f"dataset.root={trained.root}", "dataset.categories=[can]")
    changed = run_here(trained.outcome.results, capfd, *arguments, "method.training.validation_fraction=0.5")
    assert changed.code == 0, changed.stderr
    assert TAKEN in changed.stdout
    assert changed.stdout.count("validation_fraction") == 1
    assert "method.training.validation_fraction=0.5 holds out none" in changed.stdout


@pytest.mark.slow
def test_an_interrupted_submission_is_completed_and_the_server_takes_it(
    trained: Trained, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, written, write = tmp_path / "submission", list[str](), submitting.write_pair

    def recorded(folder: Path, name: str, *rest: Any) -> None:
        if len(written) >= 20 and not kept:
            raise KeyboardInterrupt
        write(folder, name, *rest)
        written.append(name)

    kept = 0
    monkeypatch.setattr(submitting, "write_pair", recorded)
    assert submit("--out", out).code == INTERRUPTED
    assert not out.exists()
    kept = len([*(tmp_path / "submission.partial").rglob("*.tiff")])
    assert 20 <= kept < 48
    fails_plainly(
        submit("--out", out, "--policy", "f1_image"), "found a part of a submission of other detectors"
    )
    outcome = submit("--out", out)
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout == f"{out}: 48 images, complete and accepted\n"
    assert len(written) == len({*written}) == 48
    assert server_takes(out, dict.fromkeys(PRIVATE_COUNTS, PRIVATE))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["submission", "submission.json"]
    assert_maps_are_those_of_the_detector(trained, out, "vial")
    again = submit("--out", out)
    assert (again.code, again.stdout) == (
        0,
        f"{out}: 48 images, complete and accepted before; nothing to do\n",
    )
    checked = submit("--check", out, "--root", trained.root)
    assert (checked.code, checked.stdout) == (0, f"{out}: 48 images, accepted\n")
    short = submit("--check", out)
    assert short.code == 1
    assert f"anomaly_images/can/test_private: {321 - PRIVATE} of 321 files are missing" in short.stderr
    fails_plainly(
        submit("--out", out, "--policy", "f1_image"), f"--out {out}: there is such a folder already"
    )


def test_mistakes_are_found_before_anything_is_scored(
    trained: Trained, submit: Submit, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "submission"
    fails_plainly(submit(), "expected one of --out DIR, to write a submission, and --check DIR")
    fails_plainly(submit("--out", "."), "--out .: expected the name of a new folder")
    fails_plainly(submit("--out", out, "--batch-size", "0"), "--batch-size 0: expected 1 or more")
    fails_plainly(submit("--check", out, "--seed", "0"), "--check DIR reads no detector")
    fails_plainly(submit("--out", out, "--method", "rd"), "--method rd: sweep ad2 has no such finished cell")
    fails_plainly(submit("--out", out, "--root", tmp_path / "gone"), "gone: there is no such folder")
    fails_plainly(
        submit("--out", out, "--policy", "mine"), "--policy mine: the detector has no such thresholds"
    )
    (tmp_path / "submission.partial").mkdir()
    with FileLock(tmp_path / "submission.partial/.lock"):
        fails_plainly(submit("--out", out), f"--out {out}: another command writes this submission")
    assert submit("--check", out).stderr == f"error: {out}: there is no such folder\n"
    arguments = (
        *QUICK,
        "dataset=mvtec_ad_2",
        f"dataset.root={trained.root}",
        "dataset.categories=[can]",
        "sweep=part",
    )
    assert run_here(trained.outcome.results, capfd, *arguments).code == 0
    fails_plainly(submit("--out", out, "--sweep", "part"), "found no finished cell of fabric, ")
    assert [path.name for path in tmp_path.iterdir()] == ["submission.partial"]
