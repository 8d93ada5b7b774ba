"""Files of cells that were cut short, changed or lost are named and left out; everything else is reported."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from reports.artifacts import Artifacts
from reports.cells import search
from reports.publishing import publish_report
from tests.reports.store import SWEEP, make_store


@pytest.fixture
def store(tmp_path: Path) -> str:
    return make_store(tmp_path, ("ast", "stfpm"), ("bottle",), seeds=1, images=8, side=32)


def files_of(uri: str, method: str) -> tuple[str, Path]:
    (run,) = search(uri, f"tags.kind = 'cell' and tags.method = '{method}'")
    return run.info.run_id, Path(str(run.info.artifact_uri).removeprefix("file://"))


READERS = {
    "scores.csv": Artifacts.scores,
    "curves.csv": Artifacts.curves,
    "regions.csv": Artifacts.regions,
    "maps.npz": Artifacts.maps,
    "pictures.zip": Artifacts.pictures,
    "outputs.npz": Artifacts.outputs,
}


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_named_and_not_used(store: str, tmp_path: Path, name: str) -> None:
    run, folder = files_of(store, "ast")
    artifacts = Artifacts(store, tmp_path / "fetched")
    assert READERS[name](artifacts, run) is not None
    (folder / name).write_bytes(b"\\x00\\xff" * 40)
    assert READERS[name](artifacts, run) is None
    (told,) = artifacts.damaged
    assert str(folder / name) in told


def test_a_picture_that_cannot_be_decoded_is_named(store: str, tmp_path: Path) -> None:
    run, folder = files_of(store, "ast")
    content = bytearray((folder / "pictures.zip").read_bytes())
    content[200:260] = bytes(60)
    (folder / "pictures.zip").write_bytes(content)
    artifacts = Artifacts(store, tmp_path / "fetched")
    pictures, scores = artifacts.pictures(run), artifacts.scores(run)
    assert pictures is not None
    assert scores is not None
    found = [pictures.image(name) for name in scores["image"]]
    assert found.count(None) == len(artifacts.damaged) == 1


def test_a_report_is_made_of_what_is_left_and_says_what_is_not(store: str, tmp_path: Path) -> None:
    _, ast = files_of(store, "ast")
    _, stfpm = files_of(store, "stfpm")
    (ast / "maps.npz").write_bytes((ast / "maps.npz").read_bytes()[:1000])
    (stfpm / "curves.csv").unlink()
    page = publish_report(store, SWEEP, tmp_path / "report")
    assert page is not None
    text = page.read_text()
    assert f"Damaged, and left out: {ast / 'maps.npz'}" in text
    assert "whose files are not among their artifacts: stfpm (1)" in text


def test_files_of_another_machine_are_fetched(store: str, tmp_path: Path) -> None:
    """As a tracking server would give them out: by another scheme than `file:`."""
    run, folder = files_of(store, "ast")
    artifacts = Artifacts(store, tmp_path / "fetched")
    found = artifacts._run(run)  # what the store says of the run
    found.info._artifact_uri = "mlflow-artifacts:/1/x"

    class Server:
        def get_run(self, run_id: str) -> object:
            return found

        def download_artifacts(self, run_id: str, name: str, to: str) -> str:
            return MlflowClient(tracking_uri=store).download_artifacts(run_id, name, to)

    artifacts.client = Server()
    assert artifacts.path(run, "scores.csv") == tmp_path / "fetched" / run / "scores.csv"
    assert artifacts.path(run, "none.csv") is None
    assert folder.exists()
