"""The command on a detector in a folder: its output, its warnings, its exit codes."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.predict import main
from benchmark.signals import INTERRUPTED
from store.predictions import PAGE, TABLE, Prediction, read_about, read_predictions
from tests.benchmark.deployment.conftest import Trained


@dataclass(frozen=True)
class Outcome:
    """What a command printed and left."""

    code: int
    stdout: str
    stderr: str
    folder: Path

    @property
    def rows(self) -> list[Prediction]:
        return list(read_predictions(self.folder / TABLE))

    @property
    def page(self) -> str:
        return (self.folder / PAGE).read_text()


Command = Callable[..., Outcome]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: object) -> Outcome:
        code = main([*map(str, arguments), "--device", "cpu", "--out", str(tmp_path / "out")])
        return Outcome(code, *capsys.readouterr(), tmp_path / "out")

    return run


def image(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_the_test_images_of_a_cell_get_its_numbers_to_the_last_bit(
    trained: Trained, command: Command
) -> None:
    outcome = command(trained.folder, trained.test)
    assert outcome.code == 0
    result = trained.result
    assert [row.file for row in outcome.rows] == [str(sample.image) for sample in result.stored.samples]
    assert [row.score for row in outcome.rows] == result.scores.images.tolist()
    maps = [np.load(outcome.folder / row.map) for row in outcome.rows]
    np.testing.assert_array_equal(maps, result.scores.maps[:])
    verdicts = result.scores.images >= result.measures.image_threshold
    assert [row.verdict == "anomalous" for row in outcome.rows] == verdicts.tolist()
    labels = [row.label == "anomalous" for row in outcome.rows]
    assert labels == [bool(sample.label) for sample in result.stored.samples]


def test_it_says_what_it_found_and_warns_of_an_oracle(trained: Trained, command: Command) -> None:
    outcome = command(trained.folder, trained.test)
    (warning,) = outcome.stderr.splitlines()
    assert warning.startswith("warning: The threshold is an oracle: f1_image")
    assert "--policy train_quantile, or --policy mean_3std, or --threshold-from FOLDER" in warning
    first, second, last = outcome.stdout.splitlines()
    assert first.startswith("8 images scored: ")
    assert second.startswith("by the names of their folders: ")
    assert last == str(outcome.folder / PAGE)
    assert warning.removeprefix("warning: ").partition("'")[0] in outcome.page
    honest = command(trained.folder, trained.test, "--policy", "train_quantile")
    assert honest.stderr == ""


def test_broken_files_are_named_and_the_others_scored(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    files = [image(tmp_path / "photos" / name) for name in ("a.png", "<b>.png", "c d.tif")]
    (tmp_path / "photos" / "broken.png").write_bytes(files[0].read_bytes()[:100])
    (tmp_path / "photos" / "empty.jpg").write_bytes(b"")
    outcome = command(trained.folder, tmp_path / "photos")
    assert outcome.code == 1
    rows = {Path(row.file).name: row for row in outcome.rows}
    assert [name for name, row in rows.items() if row.error] == ["broken.png", "empty.jpg"]
    assert all(rows[file.name].verdict for file in files)
    skipped = [line for line in outcome.stderr.splitlines() if line.startswith("skipped: ")]
    assert [name in line for name, line in zip(("broken.png", "empty.jpg"), skipped, strict=True)] == [
        True,
        True,
    ]
    assert outcome.stderr.splitlines()[-1] == "2 images skipped, see above"


def test_thresholds_come_from_normal_images_of_ones_own(trained: Trained, command: Command) -> None:
    good = trained.test / "good"
    outcome = command(trained.folder, trained.test, "--threshold-from", good, "--quantile", "1")
    scores = {Path(row.file): row.score for row in outcome.rows}
    highest = max(score for file, score in scores.items() if score is not None and file.parent == good)
    assert {row.threshold for row in outcome.rows} == {highest}
    assert {row.policy for row in outcome.rows} == {"quantile_1"}
    by_sigma = command(trained.folder, trained.test, "--threshold-from", good, "--sigma", "0.5")
    assert {row.policy for row in by_sigma.rows} == {"mean_0.5_sigma"}
    about = read_about(by_sigma.folder)
    assert about.threshold is not None
    assert about.threshold.origin == f"from 2 normal images in {good}"


def test_one_policy_compares_the_pixels_of_the_maps(trained: Trained, command: Command) -> None:
    outcome = command(trained.folder, trained.test, "--policy", "dice_max")
    for row in outcome.rows:
        assert row.threshold is not None
        assert row.map_max is not None
        assert (row.verdict == "anomalous") == (row.map_max >= row.threshold)


def test_without_thresholds_there_are_scores_and_no_verdicts(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    replace(trained.result.detector, thresholds={}, policy=None).save(tmp_path / "detector")
    outcome = command(tmp_path / "detector", trained.test)
    assert outcome.code == 0
    assert "warning: the detector has no thresholds, so there are scores but no verdicts" in outcome.stderr
    assert [row.score for row in outcome.rows] == trained.result.scores.images.tolist()
    assert {row.verdict for row in outcome.rows} == {""}
    assert "There are no verdicts" in outcome.page


def test_a_mistake_is_one_line_and_nothing_is_scored(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    one = image(tmp_path / "a.png")
    for arguments, message in (
        (
            (tmp_path / "nothing", one),
            "nothing: expected a folder with detector.json, a run id, or runs:/<id>",
        ),
        ((trained.folder, tmp_path / "empty"), "empty: found no image; expected"),
        ((trained.folder, tmp_path / "b.png"), "b.png: there is no such file or folder"),
        (
            (trained.folder, one, "--policy", "mean"),
            "--policy mean: the detector has no such thresholds; known: ",
        ),
        ((trained.folder, one, "--threshold-from", tmp_path / "empty"), "empty: found no image"),
        ((trained.folder, "--watch", tmp_path / "nowhere"), "--watch "),
    ):
        outcome = command(*arguments)
        assert outcome.code == 2, arguments
        assert outcome.stderr.splitlines()[-1].startswith("error: ")
        assert message in outcome.stderr.splitlines()[-1]
        assert "Traceback" not in outcome.stderr
        assert not outcome.folder.exists()


def test_a_detector_with_depth_refuses_images_without_before_anything_is_scored(
    trained: Trained, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("methods.stfpm.STFPM.mode", "depth")
    outcome = command(trained.folder, trained.test)
    assert outcome.code == 2
    assert "found no point cloud; the detector needs depth (method.mode=depth): give" in outcome.stderr
    assert not outcome.folder.exists()


def test_an_interruption_leaves_a_true_table_and_its_page(
    trained: Trained, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.deployment.writing import Output

    add = Output.add

    def add_and_interrupt(self: Output, results: list[Any]) -> list[Any]:
        add(self, results)
        os.kill(os.getpid(), signal.SIGTERM)
        return []

    monkeypatch.setattr(Output, "add", add_and_interrupt)
    outcome = command(trained.folder, trained.test, "--policy", "train_quantile")
    assert outcome.code == 128 + signal.SIGTERM
    assert [row.score for row in outcome.rows] == trained.result.scores.images.tolist()
    assert "8 images scored" in outcome.page


def watch(folder: Path, steps: Callable[[], None]) -> None:
    """Change a folder while a command watches it, then interrupt the command."""

    def work() -> None:
        try:
            steps()
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=work).start()


def wait_for(rows: Path, count: int) -> None:
    """Wait until a table has so many lines."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if rows.exists() and len(rows.read_bytes().splitlines()) > count:
            return
        time.sleep(0.05)


def test_a_folder_is_watched_until_an_interruption_and_again_after_it(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    incoming, table = tmp_path / "incoming", tmp_path / "out" / TABLE
    image(incoming / "a.png")
    arguments = (trained.folder, "--watch", incoming, "--poll", "0.05", "--policy", "train_quantile")

    def first() -> None:
        wait_for(table, 1)
        image(incoming / "good" / "b.png", seed=1)
        (incoming / "part.png").write_bytes((incoming / "a.png").read_bytes()[:200])
        wait_for(table, 3)
        (incoming / "part.png").write_bytes((incoming / "a.png").read_bytes())
        wait_for(table, 4)

    watch(incoming, first)
    outcome = command(*arguments)
    assert outcome.code == INTERRUPTED
    assert outcome.stderr.splitlines()[-1] == "interrupted: what is done is kept"
    assert sorted(Path(row.file).name for row in outcome.rows if not row.error) == [
        "a.png",
        "b.png",
        "part.png",
    ]
    (error,) = [row.error for row in outcome.rows if row.error]
    assert "part.png: not a readable image" in error
    assert len([line for line in outcome.stdout.splitlines() if line.endswith(".png")]) == 3
    assert "3 images scored" in outcome.page
    before = outcome.rows

    def second() -> None:
        image(incoming / "c.png", seed=2)
        wait_for(table, 5)

    watch(incoming, second)
    again = command(*arguments)
    assert again.rows[:4] == before
    assert [Path(row.file).name for row in again.rows[4:]] == ["c.png"]
