"""Writes the results of a command: the table row by row, heat maps, maps, and the description of the folder."""

import json
import os
import re
import shutil
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
import tifffile
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from benchmark.deployment.options import Raw
from benchmark.deployment.scoring import Broken, Result, Scored
from benchmark.errors import BenchmarkError
from datasets.errors import DatasetError
from datasets.images import read_image
from store import predictions
from store.errors import first_line
from store.heat_maps import colour_scale, heat_map, preview
from store.predictions import ANOMALOUS, NORMAL, About, Prediction, PredictionTable

LOCK = ".lock"
STEPS = 2**16 - 1
NAME = 60  # characters of an output's name
THREADS = 8  # each holds an image and its heat map


def check_output(folder: Path) -> None:
    """Refuse a folder that holds something other than predictions.

    Raises
    ------
    BenchmarkError
        If it does, or is no folder.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise BenchmarkError(
            f"--out {folder}: found a file; expected a folder, new, empty or with earlier predictions"
        )
    names = [path.name for path in folder.iterdir() if path.name != LOCK]
    others = sorted(
        name for name in names if name.lstrip(".").removesuffix(".partial") not in predictions.PARTS
    )
    links = [name for name in predictions.PARTS if (folder / name).is_symlink()]
    if others or links or (names and predictions.ABOUT not in names):
        content = ", ".join([*others, *links][:5]) or f"files, but no {predictions.ABOUT}"
        raise BenchmarkError(
            f"--out {folder}: found {content}; expected a folder, new, empty or with earlier predictions"
        )


class Output:
    """A folder of predictions that is being written: a context manager, which holds the folder's lock.

    Parameters
    ----------
    folder
        The folder. Earlier predictions in it are deleted.
    about
        The detector and the threshold.
    bit_depth
        As the detector's images are read.
    raw
        The form of raw maps.
    resume
        Whether earlier predictions of the same detector and threshold are continued instead.

    Attributes
    ----------
    earlier
        The files that were scored before, of predictions that are continued.

    Raises
    ------
    BenchmarkError
        If another command writes to the folder, or earlier predictions cannot be continued.
    OSError
        If it cannot be written; also by the other methods.
    """

    def __init__(
        self, folder: Path, about: About, bit_depth: int | None, raw: Raw, resume: bool = False
    ) -> None:
        self.folder, self.about, self._bit_depth, self._raw = folder, about, bit_depth, raw
        self._resume = resume
        self._lock = FileLock(folder / LOCK)
        self._number = 0
        self.earlier: frozenset[str] = frozenset()

    def __enter__(self) -> "Output":
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise BenchmarkError(f"--out {self.folder}: another command writes to this folder") from None
        try:
            check_output(self.folder)
            earlier = self._earlier()
            if earlier is None:
                _remove(self.folder)
            else:
                self.about = replace(self.about, colours=earlier.colours)
            predictions.write_about(self.folder, self.about)
            for name in (predictions.HEAT_MAPS, predictions.PREVIEWS, *self._folder_of_maps):
                (self.folder / name).mkdir(exist_ok=True)
            self._table = PredictionTable(self.path)
        except BaseException:
            self._lock.release()
            raise
        self._pool = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._table.close()
        self._lock.release()

    @property
    def path(self) -> Path:
        """The table."""
        return self.folder / predictions.TABLE

    def add(self, results: Sequence[Result]) -> list[Prediction]:
        """Write images, in order: first what belongs to one, then its row."""
        scored = [each for each in results if isinstance(each, Scored)]
        if self.about.colours is None and scored:
            pixel = None if (threshold := self.about.threshold) is None else threshold.pixel
            scale = colour_scale([each.anomaly_map for each in scored], pixel)
            self.about = replace(self.about, colours=scale)
            predictions.write_about(self.folder, self.about)
        numbers = range(self._number + 1, self._number + 1 + len(results))
        rows = []
        for row in self._pool.map(self._written, results, numbers):
            self._table.add(row)
            rows.append(row)
        self._number += len(rows)
        return rows

    @property
    def _folder_of_maps(self) -> tuple[str, ...]:
        return () if self._raw == "none" else (predictions.MAPS,)

    def _earlier(self) -> About | None:
        """Return the description of the predictions that are continued; None if there are none."""
        if not (self._resume and (self.folder / predictions.ABOUT).exists()):
            return None
        earlier = predictions.read_about(self.folder)
        if replace(earlier, colours=None) != replace(self.about, colours=None):
            raise BenchmarkError(
                f"--out {self.folder}: found predictions of another detector or threshold; expected those of this one, "
                "to continue, or another folder"
            )
        if self.path.exists():
            predictions.repair_table(self.path)
            rows = list(predictions.read_predictions(self.path))
            self._number, self.earlier = len(rows), frozenset(row.file for row in rows if not row.error)
        return earlier

    def _written(self, result: Result, number: int) -> Prediction:
        """Write the pictures and the map of an image, and return its row."""
        file = result.input.file
        known = {None: "", True: ANOMALOUS, False: NORMAL}
        row = Prediction(str(file), label=known[result.input.is_anomalous])
        if isinstance(result, Broken):
            return replace(row, error=result.reason)
        row = replace(row, score=result.score, map_max=result.map_max, seconds=result.seconds)
        if threshold := self.about.threshold:
            is_anomalous = threshold.judged(result.score, result.map_max) >= threshold.image
            row = replace(
                row, threshold=threshold.image, policy=threshold.policy, verdict=known[is_anomalous]
            )
        try:
            image = read_image(file, self._bit_depth)
        except DatasetError as error:  # it has changed or gone since it was scored
            return replace(row, error=first_line(error))
        name = f"{number:06d}-{plain_name(file)}"
        picture = f"{predictions.HEAT_MAPS}/{name}.png"
        assert self.about.colours is not None
        drawn = heat_map(image, result.anomaly_map, self.about.colours)
        # the default takes four times as long for files of the same size
        drawn.save(self.folder / picture, compress_type=zlib.Z_RLE)
        small = self.folder / predictions.preview_of(picture)
        preview(image, drawn).save(small, quality=80)
        return replace(row, heat_map=picture, map=self._write_map(name, result.anomaly_map))

    def _write_map(self, name: str, values: NDArray[np.float32]) -> str:
        """Write a raw map and return its path in the folder; empty if none is wanted."""
        if self._raw == "none":
            return ""
        path = f"{predictions.MAPS}/{name}.{self._raw}"
        if self._raw == "npy":
            np.save(self.folder / path, values)
        else:
            write_tiff(self.folder / path, values)
        return path


def write_tiff(path: Path, values: NDArray[np.float32]) -> None:
    """Write a map (H, W) as 16-bit TIFF; value = offset + step * pixel, with both in the tag ImageDescription."""
    low, high = float(values.min()), float(values.max())
    step = (high - low) / STEPS or 1.0
    pixels = ((values.astype(np.float64) - low) / step).round().astype(np.uint16)
    tifffile.imwrite(path, pixels, description=json.dumps({"offset": low, "step": step}), metadata=None)


def plain_name(file: Path) -> str:
    """Return the last folder and the name of a file as letters and digits of any script, `.`, `_` and `-`.

    >>> plain_name(Path("test/small crack/000.png"))
    'small_crack-000'
    """
    text = f"{file.parent.name}-{file.stem}"
    return re.sub(r"[^\w.-]+", "_", text)[-NAME:].strip("_-.")


def _remove(folder: Path) -> None:
    """Delete earlier predictions, the description last: without it the rest would be somebody else's."""
    for name in predictions.PARTS:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
