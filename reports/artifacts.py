"""The files of a cell, as `benchmark.record` writes them, read back."""

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray
from PIL import Image

T = TypeVar("T")
# what libraries raise over files that were cut short or changed
DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Maps:
    """The anomaly maps of a cell's test images: `maps` (N, H, W) float32, and the images' N names."""

    maps: NDArray[np.float32]
    images: list[str]


@dataclass(frozen=True)
class Outputs:
    """What teacher and student say at sampled locations of the test images.

    Attributes
    ----------
    teacher, student
        (N, 2): one random orthographic projection of both.
    distance
        (N,): mean squared distance over all channels.
    defective
        (N,) bool.
    """

    teacher: NDArray[np.float32]
    student: NDArray[np.float32]
    distance: NDArray[np.float32]
    defective: NDArray[np.bool_]


class Pictures:
    """The test images of a cell and their truth, at the size at which they were scored.

    Parameters
    ----------
    path
        The archive.
    damaged
        Is told what cannot be read.
    """

    def __init__(self, path: Path, damaged: list[str]) -> None:
        self._path, self._damaged, self._zip = path, damaged, zipfile.ZipFile(path)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self._zip.namelist())

    def image(self, name: str) -> Image.Image | None:
        """Return an image by its name in `scores.csv`; None if it is not there."""
        return self._open(f"{name}.jpg")

    def mask(self, name: str) -> Image.Image | None:
        """Return its ground truth, 1 bit per pixel; None if there is none."""
        return self._open(f"{name}.mask.png")

    def _open(self, member: str) -> Image.Image | None:
        if member not in self._names:
            return None
        try:
            picture = Image.open(io.BytesIO(self._zip.read(member)))
            picture.load()
        except DAMAGE as error:
            self._damaged.append(f"{self._path}, {member}: {error}")
            return None
        return picture


class Artifacts:
    """The files of all cells of a store. What a cell does not have, or is empty or damaged, is None.

    Parameters
    ----------
    uri
        Of the tracking store.
    folder
        Where files of a store on another machine are downloaded to.

    Attributes
    ----------
    damaged
        Files that could not be read, and why.
    """

    def __init__(self, uri: str, folder: Path) -> None:
        self.client, self.folder = MlflowClient(tracking_uri=uri), folder
        self.damaged: list[str] = []

    def scores(self, run_id: str) -> pd.DataFrame | None:
        """Return the image scores: `image`, `kind`, `label` (1: defective), `score`."""
        return self._table(run_id, "scores.csv", "image", "kind", "label", "score")

    def curves(self, run_id: str) -> pd.DataFrame | None:
        """Return points of curves: `curve` (image_roc, pixel_roc or pro), `false_positive_rate`, `value`."""
        return self._table(run_id, "curves.csv", "curve", "false_positive_rate", "value")

    def regions(self, run_id: str) -> pd.DataFrame | None:
        """Return the ground-truth regions: `image`, `kind`, `area` (pixels), `part`, `overlap`, `pro`.

        `part` is the area as a part of the image, `overlap` the part of the region that is found at the run's
        pixel threshold, and `pro` its mean up to the limit of the false-positive rate; the mean of `pro` over all
        regions is the measure.
        """
        return self._table(run_id, "regions.csv", "image", "kind", "area", "part", "overlap", "pro")

    def maps(self, run_id: str) -> Maps | None:
        """Return the anomaly maps."""
        return self._read(run_id, "maps.npz", _read_maps)

    def pictures(self, run_id: str) -> Pictures | None:
        """Return the test images and their truth."""
        return self._read(run_id, "pictures.zip", partial(Pictures, damaged=self.damaged))

    def outputs(self, run_id: str) -> Outputs | None:
        """Return what teacher and student say at sampled locations."""
        return self._read(run_id, "outputs.npz", _read_outputs)

    def text(self, run_id: str, name: str) -> str | None:
        """Return a text file, `config.yaml` or `traceback.txt`."""
        return self._read(run_id, name, Path.read_text)

    def history(self, run_id: str, metric: str) -> Mapping[int, float]:
        """Return the values of a curve, {epoch or step: value}: `<stage>/loss` or `<stage>/selection`."""
        history = self.client.get_metric_history(run_id, metric)
        return {point.step: point.value for point in history}

    def tags(self, run_id: str) -> Mapping[str, str]:
        """Return the tags of a run."""
        return self._run(run_id).data.tags

    def path(self, run_id: str, name: str) -> Path | None:
        """Return where a file of a run lies on this machine, once it has been fetched if need be."""
        uri = str(self._run(run_id).info.artifact_uri)
        if uri.startswith("file:"):
            path = Path(url2pathname(urlsplit(uri).path)) / name
            return path if path.exists() else None
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

    def _table(self, run_id: str, name: str, *columns: str) -> pd.DataFrame | None:
        def read(path: Path) -> pd.DataFrame:
            return pd.read_csv(path)[list(columns)]

        table = self._read(run_id, name, read)
        return None if table is None or table.empty else table

    def _read(self, run_id: str, name: str, read: Callable[[Path], T]) -> T | None:
        path = self.path(run_id, name)
        if path is None:
            return None
        try:
            return read(path)
        except DAMAGE as error:
            self.damaged.append(f"{path}: {error}")
            return None


def _read_maps(path: Path) -> Maps:
    with path.open("rb") as file, np.load(file) as stored:
        maps = stored["maps"].astype(np.float32) * stored["scale"]
        return Maps(maps, [str(name) for name in stored["images"]])


def _read_outputs(path: Path) -> Outputs:
    with path.open("rb") as file, np.load(file) as stored:
        return Outputs(stored["teacher"], stored["student"], stored["distance"], stored["defective"])
