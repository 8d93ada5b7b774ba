"""Checks a submission to MVTec AD 2's evaluation server: counts, names, sizes, types and values of its files."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from benchmark.deployment.submission import ANOMALOUS_PIXEL, MAPS, PARTS, SUFFIXES, THRESHOLDED, file_of
from datasets.images import value_shares
from store.errors import first_line

Size = tuple[int, int]
"""Width and height, pixels."""


def check_submission(
    folder: Path, expected: Mapping[str, Size | None], report: Callable[[int], object] = lambda _: None
) -> list[str]:
    """Return what is wrong with a submission, a line per fault; nothing if the server would take it.

    Parameters
    ----------
    folder
        The folder of the submission.
    expected
        The names of its images, see `benchmark.deployment.submission`, each with the size of the image. None: not
        known, so that the two files of an image are compared with each other.
    report
        Receives how many more images were checked.
    """
    if not folder.is_dir():
        return [f"{folder}: there is no such folder"]
    faults = [*_missing(folder, expected), *_others(folder, expected)]

    def check(name: str) -> list[str]:
        found = _faults_of(folder, name, expected[name])
        report(1)
        return found

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        try:
            for found in pool.map(check, expected):
                faults += found
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return faults


def _missing(folder: Path, expected: Mapping[str, Size | None]) -> list[str]:
    """Return a fault for each folder that lacks files."""
    wanted: dict[Path, list[Path]] = {}
    for name in expected:
        for part in PARTS:
            path = file_of(folder, part, name)
            wanted.setdefault(path.parent, []).append(path)
    lacking = {place: [path for path in paths if not path.is_file()] for place, paths in wanted.items()}
    return [
        f"{place}: {len(paths)} of {len(wanted[place])} files are missing (the first is {paths[0].name})"
        for place, paths in lacking.items()
        if paths
    ]


def _others(folder: Path, expected: Mapping[str, Size | None]) -> list[str]:
    """Return a fault for everything in the folder that does not belong to a submission."""
    files = {file_of(folder, part, name) for name in expected for part in PARTS}
    places = {parent for path in files for parent in path.parents}
    return [
        f"{path}: not a part of a submission; expected {MAPS} and {THRESHOLDED} with "
        f"<category>/<split>/<number>_<split's suffix>{SUFFIXES[MAPS]} and {SUFFIXES[THRESHOLDED]}, nothing else"
        for path in sorted(folder.rglob("*"))
        if path not in files and path not in places
    ]


def _faults_of(folder: Path, name: str, size: Size | None) -> list[str]:
    """Return what is wrong with the files of an image, as far as they are there."""
    faults, sizes = [], {} if size is None else {"its image": size}
    for part, read in ((MAPS, _read_map), (THRESHOLDED, _read_thresholded)):
        path = file_of(folder, part, name)
        if not path.is_file():
            continue
        try:
            found = read(path)
        except _RefusedError as fault:
            faults.append(f"{path}: {fault}")
            continue
        for other, known in sizes.items():
            if found != known:
                faults.append(
                    f"{path}: found {found[0]}x{found[1]} pixels; {other} has {known[0]}x{known[1]}, which is expected"
                )
        sizes = sizes or {"its map": found}
    return faults


class _RefusedError(Exception):
    """What is wrong with a file of a submission."""


def _read_map(path: Path) -> Size:
    """Return the size of a map; raise what is wrong with it."""
    try:
        values = tifffile.imread(path)
    except Exception as error:  # whatever the library raises over a damaged file
        raise _RefusedError(f"not a readable TIFF file ({first_line(error)})") from None
    if values.ndim != 2 or values.dtype != np.float16:
        raise _RefusedError(
            f"found {values.dtype} of shape {values.shape}; expected float16 of shape (height, width)"
        )
    if not np.isfinite(values).all():
        raise _RefusedError("found values that are no finite numbers")
    return values.shape[1], values.shape[0]


def _read_thresholded(path: Path) -> Size:
    """Return the size of a thresholded map; raise what is wrong with it."""
    try:
        with Image.open(path) as image:
            image.load()
    except Exception as error:  # whatever the library raises over a damaged file
        raise _RefusedError(f"not a readable image ({first_line(error)})") from None
    if image.format != "PNG" or image.mode != "L":
        raise _RefusedError(
            f"found {image.format} of mode {image.mode}; expected PNG of one 8-bit channel, mode L"
        )
    values = {*value_shares(np.asarray(image))} - {0, ANOMALOUS_PIXEL}
    if values:
        raise _RefusedError(f"found the value {min(values)}; expected 0 and {ANOMALOUS_PIXEL} alone")
    return image.size
