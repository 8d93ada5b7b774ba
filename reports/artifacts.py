"""The files of a cell, as `benchmark.record` writes them, read back."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray
from PIL import Image


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
    """The test images of a cell and their truth, at the size at which they were scored."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)

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
        return Image.open(io.BytesIO(self._zip.read(member))) if member in self._names else None


class Artifacts:
    """The files of all cells of a store. What a cell does not have, or is empty, is None.

    Parameters
    ----------
    uri
        Of the tracking store.
    folder
        Where files of a store on another machine are downloaded to.
    """

    def __init__(self, uri: str, folder: Path) -> None:
        self.client, self.folder = MlflowClient(tracking_uri=uri), folder

    def scores(self, run_id: str) -> pd.DataFrame | None:
        """Return the image scores: `image`, `kind`, `label` (1: defective), `score`."""
        return self._table(run_id, "scores.csv")

    def curves(self, run_id: str) -> pd.DataFrame | None:
        """Return points of curves: `curve` (image_roc, pixel_roc or pro), `false_positive_rate`, `value`."""
        return self._table(run_id, "curves.csv")

    def regions(self, run_id: str) -> pd.DataFrame | None:
        """Return the ground-truth regions: `image`, `kind`, `area` (pixels), `part`, `overlap`, `pro`.

        `part` is the area as a part of the image, `overlap` the part of the region that is found at the run's
        pixel threshold, and `pro` its mean up to the limit of the false-positive rate; the mean of `pro` over all
        regions is the measure.
        """
        return self._table(run_id, "regions.csv")

    def maps(self, run_id: str) -> Maps | None:
        """Return the anomaly maps."""
        path = self.path(run_id, "maps.npz")
        if path is None:
            return None
        with np.load(path) as stored:
            maps = stored["maps"].astype(np.float32) * stored["scale"]
            return Maps(maps, [str(name) for name in stored["images"]])

    def pictures(self, run_id: str) -> Pictures | None:
        """Return the test images and their truth."""
        path = self.path(run_id, "pictures.zip")
        return None if path is None else Pictures(path)

    def outputs(self, run_id: str) -> Outputs | None:
        """Return what teacher and student say at sampled locations."""
        path = self.path(run_id, "outputs.npz")
        if path is None:
            return None
        with np.load(path) as stored:
            return Outputs(stored["teacher"], stored["student"], stored["distance"], stored["defective"])

    def text(self, run_id: str, name: str) -> str | None:
        """Return a text file, `config.yaml` or `traceback.txt`."""
        path = self.path(run_id, name)
        return None if path is None else path.read_text()

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

    def _table(self, run_id: str, name: str) -> pd.DataFrame | None:
        path = self.path(run_id, name)
        table = pd.DataFrame() if path is None else pd.read_csv(path)
        return None if table.empty else table
