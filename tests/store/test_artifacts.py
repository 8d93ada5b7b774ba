"""Files of cells are read from the store; those that were cut short, changed or lost are named and left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from store.artifacts import Artifacts
from store.files import write_maps, write_pictures
from store.replicates import write_replicates
from store.tracker import Tracker
from tests.store.made import open_tracker
from tests.store.test_files import NAMES, write_all

READERS: dict[str, Callable[[Artifacts, str], Any]] = {
    "scores.csv": Artifacts.scores,
    "curves.csv": Artifacts.curves,
    "regions.csv": Artifacts.regions,
    "shifts.csv": Artifacts.shifts,
    "maps.npz": Artifacts.maps,
    "pictures.zip": Artifacts.pictures,
    "pairs.npz": Artifacts.pairs,
    "bootstrap.npz": Artifacts.replicates,
}


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    return open_tracker(tmp_path_factory.mktemp("results"))


@pytest.fixture
def run(tracker: Tracker) -> str:
    parent = tracker.sweep("a")
    run = tracker.start_cell(parent, "stfpm bottle", {})
    run.log_text("method: stfpm\n", "config.yaml")
    pending = tracker.new_pending(run, parent, "stfpm bottle", "key", {})
    write_all(pending.files)
    write_replicates(pending.files, {"pro": np.ones(20, np.float32)}, 2, 3)
    write_pictures(pending.files, np.zeros((5, 8, 8, 3), np.uint8), None, NAMES)
    pending.metrics["student/loss"] = {1: 2.0, 2: 1.0}
    pending.save()
    tracker.send(pending)
    return run.run_id


@pytest.fixture
def artifacts(tracker: Tracker, tmp_path: Path) -> Artifacts:
    return Artifacts(tracker.uri, tmp_path / "fetched")


def folder_of(tracker: Tracker, run: str) -> Path:
    return Path(str(tracker.client.get_run(run).info.artifact_uri).removeprefix("file://"))


def test_all_files_are_read(artifacts: Artifacts, run: str) -> None:
    for read in READERS.values():
        assert read(artifacts, run) is not None
    assert artifacts.text(run, "config.yaml") == "method: stfpm\n"
    assert artifacts.text(run, "traceback.txt") is None
    assert artifacts.history(run, "student/loss") == {1: 2.0, 2: 1.0}
    assert artifacts.tags(run)["kind"] == "cell"
    assert artifacts.damaged == []


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 40, "cut"])
def test_a_damaged_file_is_named_and_not_used(
    tracker: Tracker, artifacts: Artifacts, run: str, name: str, content: bytes | str
) -> None:
    path = folder_of(tracker, run) / name
    path.write_bytes(content if isinstance(content, bytes) else path.read_bytes()[:-20])
    assert READERS[name](artifacts, run) is None
    (line,) = artifacts.damaged
    assert line.startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["scores.csv", "curves.csv", "regions.csv"])
def test_a_changed_digit_is_noticed(tracker: Tracker, artifacts: Artifacts, run: str, name: str) -> None:
    path = folder_of(tracker, run) / name
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6").replace(b"0.2857", b"0.2856"))
    assert READERS[name](artifacts, run) is None
    assert "another content" in artifacts.damaged[0]


def test_damaged_digests_are_named_once_and_files_are_read_without(
    tracker: Tracker, artifacts: Artifacts, run: str
) -> None:
    path = folder_of(tracker, run) / "digests.json"
    path.write_text("[]")
    assert artifacts.scores(run) is not None
    assert artifacts.curves(run) is not None
    (line,) = artifacts.damaged
    assert line.startswith(f"{path}: ")


def test_a_file_that_is_lost_or_empty_is_none(tracker: Tracker, artifacts: Artifacts, run: str) -> None:
    (folder_of(tracker, run) / "curves.csv").unlink()
    assert artifacts.curves(run) is None
    assert artifacts.damaged == []


def test_pairs_of_the_first_format_are_found(tracker: Tracker, artifacts: Artifacts, run: str) -> None:
    folder = folder_of(tracker, run)
    (folder / "pairs.npz").rename(folder / "outputs.npz")
    assert artifacts.pairs(run) is not None


def test_files_of_another_machine_are_fetched(tracker: Tracker, artifacts: Artifacts, run: str) -> None:
    """As a tracking server would serve them: by another scheme than `file:`."""
    stored = artifacts._run(run)
    folder = folder_of(tracker, run)
    stored.info._artifact_uri = "mlflow-artifacts:/1/x"

    class Server:
        def download_artifacts(self, run_id: str, name: str, to: str) -> str:
            return MlflowClient(tracking_uri=tracker.uri).download_artifacts(run_id, name, to)

    artifacts.client = Server()
    assert artifacts.path(run, "scores.csv") == artifacts.folder / run / "scores.csv"
    assert artifacts.path(run, "none.csv") is None
    assert artifacts.scores(run) is not None
    assert folder.exists()


def test_maps_of_another_shape_are_named(tracker: Tracker, artifacts: Artifacts, run: str) -> None:
    write_maps(folder_of(tracker, run), np.zeros((4, 3, 3), np.float32), NAMES)
    assert artifacts.maps(run) is None
    assert "found maps (4, 3, 3) of 5 images" in artifacts.damaged[0]
