"""The files of a cell: each writer next to its reader.

Readers raise an exception of any kind over a damaged file; `store.artifacts` names the file and continues without it.
"""

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from store.folders import DIGESTS, digest_of
from store.shifts import SHIFT_COLUMNS, ShiftedMeasures
from store.tags import CURVES, MAPS, PAIRS, PICTURES, REGIONS, SCORES, SHIFTS

QUALITY = 90  # of JPEG

SCORE_COLUMNS: Mapping[str, type] = {"image": str, "kind": str, "label": int, "score": float}
"""Image scores: name of the image, its folder, 1 if it is anomalous, anomaly score."""
CURVE_COLUMNS: Mapping[str, type] = {"curve": str, "false_positive_rate": float, "value": float}
"""Points of the curves image_roc, pixel_roc and pro."""
REGION_COLUMNS: Mapping[str, type] = {
    "image": str,
    "kind": str,
    "area": int,
    "part": float,
    "overlap": float,
    "pro": float,
}
"""Regions of the ground truth: `area` in pixels, `part` of the image's area, `overlap` at the pixel threshold (the part
of the region above it), `pro` averaged over false-positive rates up to the limit. Their mean `pro` is the measure."""


def write_scores(folder: Path, rows: Iterable[tuple[str, str, int, float]]) -> None:
    """Write the image scores: rows of `SCORE_COLUMNS`."""
    _write_table(folder / SCORES, SCORE_COLUMNS, rows)


def read_scores(path: Path) -> pd.DataFrame:
    """Read the image scores: columns `SCORE_COLUMNS`."""
    return _read_table(path, SCORE_COLUMNS)


def write_curves(folder: Path, curves: Mapping[str, tuple[Iterable[float], Iterable[float]]]) -> None:
    """Write curves: {name: (false-positive rates, values)}."""
    points = ((name, *point) for name, curve in curves.items() for point in zip(*curve, strict=True))
    _write_table(folder / CURVES, CURVE_COLUMNS, points)


def read_curves(path: Path) -> pd.DataFrame:
    """Read the points of the curves: columns `CURVE_COLUMNS`."""
    return _read_table(path, CURVE_COLUMNS)


def write_regions(folder: Path, rows: Iterable[tuple[str, str, int, float, float, float]]) -> None:
    """Write the regions of the ground truth: rows of `REGION_COLUMNS`."""
    _write_table(folder / REGIONS, REGION_COLUMNS, rows)


def read_regions(path: Path) -> pd.DataFrame:
    """Read the regions of the ground truth: columns `REGION_COLUMNS`."""
    return _read_table(path, REGION_COLUMNS)


def write_shifts(folder: Path, measured: Iterable[ShiftedMeasures]) -> None:
    """Write the measures of shifted test images: rows of `store.shifts.SHIFT_COLUMNS`."""
    _write_table(folder / SHIFTS, SHIFT_COLUMNS, map(astuple, measured))


def read_shifts(path: Path) -> pd.DataFrame:
    """Read the measures of shifted test images: columns `store.shifts.SHIFT_COLUMNS`."""
    return _read_table(path, SHIFT_COLUMNS)


class MapSlices(Protocol):
    """Anomaly maps (N, H, W) in memory or on disk, read slice by slice."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def __getitem__(self, images: slice, /) -> Any: ...


@dataclass(frozen=True)
class Maps:
    """The anomaly maps of a cell's test images: `maps` (N, H, W) float32, and the images' N names."""

    maps: NDArray[np.float32]
    images: list[str]


def write_maps(folder: Path, maps: MapSlices, names: Sequence[str], chunk: int = 16) -> None:
    """Write float16 maps, divided by a scale so that small scores keep their digits.

    Parameters
    ----------
    folder
        Folder of the file.
    maps
        (N, H, W) float32; never copied as a whole.
    names
        N names of the images.
    chunk
        Number of maps in memory at once.
    """
    slices = [slice(first, first + chunk) for first in range(0, maps.shape[0], chunk)]
    largest = max((float(np.abs(np.asarray(maps[part])).max()) for part in slices), default=0.0)
    scale = max(largest / 2**15, float(np.finfo(np.float32).tiny))
    small = np.dtype(np.float16)
    header = {
        "descr": np.lib.format.dtype_to_descr(small),
        "fortran_order": False,
        "shape": tuple(maps.shape),
    }
    # a higher level takes half as long again, and makes noise no smaller
    with zipfile.ZipFile(folder / MAPS, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("maps.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            for part in slices:
                member.write((np.asarray(maps[part]) / scale).astype(small).tobytes())
        images = np.array([as_utf8(name) for name in names])
        for name, value in (("scale", np.asarray(np.float32(scale))), ("images", images)):
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, value, allow_pickle=False)


def read_maps(path: Path) -> Maps:
    """Read the anomaly maps."""
    with path.open("rb") as file, np.load(file) as stored:
        maps = stored["maps"].astype(np.float32) * stored["scale"]
        images = [str(name) for name in stored["images"]]
    if maps.ndim != 3 or len(images) != len(maps):
        raise ValueError(f"found maps {maps.shape} of {len(images)} images; expected (images, height, width)")
    return Maps(maps, images)


def write_pictures(
    folder: Path, images: Iterable[Any], masks: Iterable[Any] | None, names: Sequence[str]
) -> None:
    """Write the test images and their ground truth, as they were scored.

    Parameters
    ----------
    folder
        Folder of the file.
    images
        N arrays (H, W, 3) uint8, written as JPEG.
    masks
        N arrays (H, W) bool, written as PNG, or None for an image without ground truth; None: there is none.
    names
        N names of the images.
    """
    with zipfile.ZipFile(folder / PICTURES, "w") as archive:  # pictures are compressed already
        masks = [None] * len(names) if masks is None else masks
        for name, image, mask in zip(map(as_utf8, names), images, masks, strict=True):
            archive.writestr(f"{name}.jpg", _encoded(Image.fromarray(image), "JPEG", quality=QUALITY))
            if mask is not None:
                archive.writestr(f"{name}.mask.png", _encoded(Image.fromarray(mask), "PNG"))


class Pictures:
    """The test images of a cell and their ground truth, at the size at which they were scored.

    Parameters
    ----------
    path
        The archive.
    damaged
        List to which each picture that cannot be read is added, with the reason.
    """

    def __init__(self, path: Path, damaged: list[str]) -> None:
        self._path, self._damaged, self._zip = path, damaged, zipfile.ZipFile(path)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self._zip.namelist())

    def image(self, name: str) -> Image.Image | None:
        """Return an image by its name in the scores; None if it is missing or damaged."""
        return self._open(f"{name}.jpg")

    def mask(self, name: str) -> Image.Image | None:
        """Return the ground truth of an image, 1 bit per pixel; None if it has none or it is damaged."""
        return self._open(f"{name}.mask.png")

    def _open(self, member: str) -> Image.Image | None:
        if member not in self._names:
            return None
        try:
            picture = Image.open(io.BytesIO(self._zip.read(member)))
            picture.load()
        except Exception as error:  # whatever the libraries raise over a damaged file
            self._damaged.append(f"{self._path}, {member}: {reason_of(error)}")
            return None
        return picture


@dataclass(frozen=True)
class Pairs:
    """Outputs of teacher and student at N sampled locations of the test images.

    Attributes
    ----------
    teacher, student
        (N, 2) float32: both in one random orthographic projection.
    distance
        (N,) float32: squared distance, averaged over all channels.
    anomalous
        (N,) bool: whether the location contains an anomalous pixel.
    """

    teacher: NDArray[np.float32]
    student: NDArray[np.float32]
    distance: NDArray[np.float32]
    anomalous: NDArray[np.bool_]


def write_pairs(folder: Path, pairs: Pairs) -> None:
    """Write the sampled outputs of teacher and student."""
    np.savez_compressed(folder / PAIRS, **{field.name: getattr(pairs, field.name) for field in fields(pairs)})


def read_pairs(path: Path) -> Pairs:
    """Read the sampled outputs of teacher and student; in files of the first format, `anomalous` is `defective`."""
    with path.open("rb") as file, np.load(file) as stored:
        anomalous = stored["anomalous" if "anomalous" in stored else "defective"]
        pairs = Pairs(stored["teacher"], stored["student"], stored["distance"], anomalous)
    count = len(pairs.anomalous)
    shapes = [getattr(pairs, field.name).shape for field in fields(pairs)]
    if shapes != [(count, 2), (count, 2), (count,), (count,)] or pairs.anomalous.dtype != np.bool_:
        raise ValueError(f"found arrays of shapes {shapes}; expected (N, 2), (N, 2), (N,) and (N,)")
    return pairs


def digests_in(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a folder, {path relative to it: digest}."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_of(path) for path in files}


def write_digests(folder: Path, digests: Mapping[str, str]) -> None:
    """Write the SHA-256 of a cell's files, {file: digest}."""
    (folder / DIGESTS).write_text(json.dumps(digests, indent=1))


def read_digests(path: Path) -> dict[str, str]:
    """Read the SHA-256 of a cell's files, {file: digest}."""
    return {str(name): str(digest) for name, digest in json.loads(path.read_text()).items()}


def as_utf8(text: str) -> str:
    """Return text that can be stored: bytes of a file's name that are not UTF-8 become escapes such as `\\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def reason_of(error: BaseException) -> str:
    """Return an error in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _write_table(path: Path, columns: Mapping[str, type], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([as_utf8(v) if isinstance(v, str) else v for v in row] for row in rows)


def _read_table(path: Path, columns: Mapping[str, type]) -> pd.DataFrame:
    text = path.read_bytes().decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    if not text.endswith("\n") or any(len(row) != len(header) for row in rows):
        raise ValueError(f"a row is incomplete; expected the columns {', '.join(columns)}")
    if missing := [name for name in columns if name not in header]:
        raise ValueError(f"found the columns {', '.join(header)}; missing: {', '.join(missing)}")
    place = {name: header.index(name) for name in columns}
    return pd.DataFrame(
        {
            name: pd.Series([kind(row[place[name]]) for row in rows], dtype=kind)
            for name, kind in columns.items()
        }
    )


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
