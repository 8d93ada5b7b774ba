"""The files of all cells of an MLflow store, fetched and read."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import pandas as pd
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from store.client import LocalClient, open_store
from store.files import (
    Maps,
    Pairs,
    Pictures,
    read_curves,
    read_digests,
    read_maps,
    read_pairs,
    read_regions,
    read_scores,
    read_shifts,
    reason_of,
)
from store.folders import DIGESTS, digest_of
from store.local import path_of
from store.names_in_mlflow import storable
from store.replicates import StoredReplicates, read_replicates
from store.tags import CURVES, MAPS, PAIRS, PICTURES, REGIONS, REPLICATES, SCORES, SHIFTS

T = TypeVar("T")
_EARLIER_PAIRS = "outputs.npz"  # the name in the first format
_WITH_CHECKSUMS = (".npz", ".zip")  # archives, which hold a checksum of each member


class Artifacts:
    """The files of all cells of a store. A file that a cell lacks, or that is empty or damaged, is None.

    Parameters
    ----------
    uri
        Tracking URI.
    folder
        Folder to which files of a store on another machine are downloaded.

    Attributes
    ----------
    damaged
        Files that could not be read, each with the reason.
    """

    def __init__(self, uri: str, folder: Path) -> None:
        self.client, self.folder = open_store(uri), folder
        self.damaged: list[str] = []

    def scores(self, run_id: str) -> pd.DataFrame | None:
        """Return the image scores, columns `store.files.SCORE_COLUMNS`."""
        return self._table(run_id, SCORES, read_scores)

    def curves(self, run_id: str) -> pd.DataFrame | None:
        """Return the points of curves, columns `store.files.CURVE_COLUMNS`."""
        return self._table(run_id, CURVES, read_curves)

    def regions(self, run_id: str) -> pd.DataFrame | None:
        """Return the regions of the ground truth, columns `store.files.REGION_COLUMNS`."""
        return self._table(run_id, REGIONS, read_regions)

    def replicates(self, run_id: str) -> StoredReplicates | None:
        """Return the metrics on resamples of the test images."""
        return self._read(run_id, REPLICATES, read_replicates)

    def shifts(self, run_id: str) -> pd.DataFrame | None:
        """Return the measures of shifted test images, columns `store.shifts.SHIFT_COLUMNS`."""
        return self._table(run_id, SHIFTS, read_shifts)

    def maps(self, run_id: str) -> Maps | None:
        """Return the anomaly maps."""
        return self._read(run_id, MAPS, read_maps)

    def pictures(self, run_id: str) -> Pictures | None:
        """Return the test images and their ground truth."""
        return self._read(run_id, PICTURES, partial(Pictures, damaged=self.damaged))

    def pairs(self, run_id: str) -> Pairs | None:
        """Return the outputs of teacher and student at sampled locations."""
        name = _EARLIER_PAIRS if self.path(run_id, PAIRS) is None else PAIRS
        return self._read(run_id, name, read_pairs)

    def text(self, run_id: str, name: str) -> str | None:
        """Return a text file, `config.yaml` or `traceback.txt`."""
        return self._read(run_id, name, Path.read_text)

    def history(self, run_id: str, metric: str) -> Mapping[int, float]:
        """Return the values of a curve, {epoch or step: value}: `<stage>/loss` or `<stage>/selection`."""
        history = self.client.get_metric_history(run_id, storable(metric))
        return {point.step: point.value for point in history}

    def tags(self, run_id: str) -> Mapping[str, str]:
        """Return the tags of a run."""
        return self._run(run_id).data.tags

    def path(self, run_id: str, name: str) -> Path | None:
        """Return the path of a run's file on this machine, downloaded if need be; None if there is no such file."""
        recorded = path_of(str(self._run(run_id).info.artifact_uri))
        if recorded is not None:
            folders = [recorded]
            if isinstance(self.client, LocalClient):
                folders.insert(0, self.client.folder_of(run_id))
            return next((folder / name for folder in folders if (folder / name).exists()), None)
        folder = self.folder / run_id
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / name).exists():
            return folder / name
        try:
            return Path(self.client.download_artifacts(run_id, name, str(folder)))
        except (MlflowException, OSError):
            return None

    @cache  # noqa: B019 (lives as long as the report)
    def _run(self, run_id: str) -> Run:
        return self.client.get_run(run_id)

    @cache  # noqa: B019
    def _digests(self, run_id: str) -> dict[str, str]:
        return self._read(run_id, DIGESTS, read_digests) or {}

    def _table(self, run_id: str, name: str, read: Callable[[Path], pd.DataFrame]) -> pd.DataFrame | None:
        table = self._read(run_id, name, read)
        return None if table is None or table.empty else table

    def _read(self, run_id: str, name: str, read: Callable[[Path], T]) -> T | None:
        path = self.path(run_id, name)
        if path is None:
            return None
        try:
            if name != DIGESTS and not name.endswith(_WITH_CHECKSUMS):
                _check(path, self._digests(run_id).get(name))
            return read(path)
        except Exception as error:  # whatever the libraries raise over a damaged file
            self.damaged.append(f"{path}: {reason_of(error)}")
            return None


def _check(path: Path, digest: str | None) -> None:
    """Compare a file with its digest, if it has one."""
    if digest is not None and digest_of(path) != digest:
        raise ValueError("found another content than was recorded")
