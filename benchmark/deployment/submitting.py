"""What `python -m benchmark.submit` does: finds the detectors, scores the private test images, writes and checks."""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchmark.deployment.finding import find_cells
from benchmark.deployment.inputs import Input
from benchmark.deployment.options import Device
from benchmark.deployment.progress import show_progress
from benchmark.deployment.scoring import Broken, Result, score_files
from benchmark.deployment.submission import (
    PARTS,
    file_of,
    official_names,
    private_images,
    scale_of,
    write_pair,
)
from benchmark.deployment.submission_check import Size, check_submission
from benchmark.deployment.thresholds import threshold_of
from benchmark.detector import Detector, load_detector
from benchmark.errors import BenchmarkError
from benchmark.runtime import set_algorithms
from datasets.errors import DatasetError
from datasets.images import read_header
from datasets.mvtec_ad_2 import PRIVATE_COUNTS, MVTecAD2
from metrics import THRESHOLD_POLICIES, is_oracle
from store import tags
from store.errors import StoreError
from store.folders import replace_text
from store.table import params_of
from store.text import counted, listed

DATASET = "mvtec_ad_2"
"""The choice in `conf/dataset`."""
SHOWN = 20
"""So many faults are listed."""
THREADS = 8  # each holds a map at the size of its image
SPARE, LOCK = "unfinished", ".lock"
"""In the folder of a submission that is being written: files that are not whole yet, and the lock."""


def check(folder: Path, root: Path | None) -> int:
    """Check a submission, print what is wrong with it, and return the exit code.

    Raises
    ------
    DatasetError
        If the dataset cannot be read.
    """
    names: Mapping[str, Size | None] = dict.fromkeys(official_names())
    if root is not None:
        names = _sizes(private_images(MVTecAD2(str(root))))
    if _print_faults(folder, names):
        return 1
    sizes = "" if root is not None else "; sizes of images are unknown without --root"
    print(f"{folder}: {counted(len(names), 'image')}, accepted{sizes}")
    return 0


def submit(
    out: Path,
    wanted: Mapping[str, str | None],
    *,
    root: Path | None,
    policy: str | None,
    device: Device,
    batch_size: int | None,
    sweep: str | None,
    store: str,
    weights: str | None,
) -> int:
    """Run the command and return its exit code; parameters as its `--help` explains them.

    Raises
    ------
    BenchmarkError, DatasetError, MethodError, StoreError
        If a user's mistake prevents it; almost all are found before anything is scored.
    """
    cells = find_cells(store, sweep, wanted)
    images = private_images(_dataset(cells, root))
    detectors = {
        category: load_detector(cell.info.run_id, weights=weights, device=device, tracking_uri=store)
        for category, cell in cells.items()
    }
    about = {category: _about(detector, policy) for category, detector in detectors.items()}
    _print_warnings(about, images)
    sizes = _sizes(images)
    if out.exists():
        return _is_there(out, about, sizes)
    with _opened(out, about) as folder:
        with show_progress("images", len(images)) as report:
            for name in [name for name in images if _is_written(folder, name)]:
                del images[name]
                report(1)
            for category in cells:
                own = {name: path for name, path in images.items() if name.startswith(f"{category}/")}
                detector, threshold = detectors.pop(category), about[category]["threshold"]
                for count in _write(folder, detector, own, sizes, threshold, batch_size):
                    report(count)
        if _print_faults(folder, sizes):
            print(f"error: {folder}: delete what is wrong, and start the command again", file=sys.stderr)
            return 1
        folder.replace(out)
    shutil.rmtree(_partial(out))
    print(f"{out}: {counted(len(sizes), 'image')}, complete and accepted")
    return 0


def _dataset(cells: Mapping[str, Any], root: Path | None) -> MVTecAD2:
    """Return the dataset of some cells, all of it."""
    choices = sorted({cell.data.tags.get(tags.DATASET_CHOICE, "") for cell in cells.values()})
    if choices != [DATASET]:
        raise BenchmarkError(
            f"found detectors of dataset={listed(choices)}; expected those of dataset={DATASET}"
        )
    lacking = [category for category in PRIVATE_COUNTS if category not in cells]
    if lacking:
        raise BenchmarkError(
            f"found no finished cell of {listed(lacking)} in the sweep; expected one of each of the "
            f"{len(PRIVATE_COUNTS)} categories, as a submission has them all"
        )
    place = params_of(next(iter(cells.values())))["dataset.root"] if root is None else str(root)
    if root is None and not Path(place).expanduser().is_dir():
        raise BenchmarkError(
            f"dataset.root={place}, of the sweep: there is no such folder; expected --root FOLDER"
        )
    return MVTecAD2(place)


def _about(detector: Detector, policy: str | None) -> dict[str, Any]:
    """Return what decides the maps of a category, of which a submission that is continued must have the same."""
    threshold = threshold_of(detector, policy)
    if threshold is None:
        raise BenchmarkError(
            f"{detector.about['name']}: the detector has no thresholds, which the thresholded maps need; expected "
            "cells that were measured, or --policy"
        )
    return {
        "detector": detector.about["name"],
        "training_key": detector.about.get("training_key"),
        "policy": threshold.policy,
        "threshold": threshold.pixel,
        "scale": scale_of(threshold.pixel),
    }


def _print_warnings(about: Mapping[str, Mapping[str, Any]], images: Mapping[str, Path]) -> None:
    policies = sorted({own["policy"] for own in about.values()})
    for policy in policies:
        if policy in THRESHOLD_POLICIES and is_oracle(policy):
            print(
                f"warning: the thresholds are oracles: {policy} chose them with the labels of the public test images; "
                "--policy train_quantile takes those of the validation images",
                file=sys.stderr,
            )
    names = set(official_names())
    if {*images} != names:
        print(
            f"warning: found {counted(len(images), 'private test image')}, {len(names & {*images})} of the "
            f"{len(names)} of MVTec AD 2: the server takes only all of them",
            file=sys.stderr,
        )


def _sizes(images: Mapping[str, Path]) -> dict[str, Size]:
    """Return the size of each image."""
    with ThreadPoolExecutor() as pool:
        headers = pool.map(read_header, images.values())
        return {name: header.size for name, header in zip(images, headers, strict=True)}


def _is_written(folder: Path, name: str) -> bool:
    return all(file_of(folder, part, name).is_file() for part in PARTS)


def _write(
    folder: Path,
    detector: Detector,
    images: Mapping[str, Path],
    sizes: Mapping[str, Size],
    threshold: float,
    batch_size: int | None,
) -> Iterator[int]:
    """Write the files of some images of a category, and yield how many more are written."""
    names = {path: name for name, path in images.items()}
    set_algorithms(detector.about["runtime"].get("deterministic", True))

    def write(result: Result) -> None:
        if isinstance(result, Broken):
            raise DatasetError(result.reason)
        name = names[result.input.file]
        write_pair(folder, name, result.anomaly_map, sizes[name], threshold, folder.parent / SPARE)

    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        try:
            for part in score_files(detector, [Input(path) for path in names], batch_size):
                for _ in pool.map(write, part):
                    yield 1
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _opened(out: Path, about: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the folder in which a submission is written, under its lock; earlier files in it are continued."""
    partial = _partial(out)
    try:
        (partial / SPARE).mkdir(parents=True, exist_ok=True)
        with FileLock(partial / LOCK, blocking=False):
            if any((partial / out.name).rglob("*.*")) and _read_about(_about_file(out)) != about:
                raise BenchmarkError(
                    f"{partial}: found a part of a submission of other detectors or thresholds; expected those of this "
                    "one, to continue, or another --out (or delete the folder)"
                )
            replace_text(_about_file(out), json.dumps(about, indent=1))
            (partial / out.name).mkdir(exist_ok=True)
            yield partial / out.name
    except Timeout:
        raise BenchmarkError(f"--out {out}: another command writes this submission") from None
    except OSError as error:
        raise StoreError(f"cannot write {partial}: {error}") from error


def _is_there(out: Path, about: Mapping[str, Any], sizes: Mapping[str, Size]) -> int:
    """Return the exit code for a folder that is there already: a complete submission of the same detectors is good."""
    if _read_about(_about_file(out)) != about:
        raise BenchmarkError(
            f"--out {out}: there is such a folder already, and it holds no submission of these detectors and "
            "thresholds; expected a new folder"
        )
    if _print_faults(out, sizes):
        return 1
    print(f"{out}: {counted(len(sizes), 'image')}, complete and accepted before; nothing to do")
    return 0


def _partial(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


def _about_file(out: Path) -> Path:
    """Return the description of a submission, next to it: the server takes no file of another kind in the folder."""
    return out.with_name(f"{out.name}.json")


def _read_about(path: Path) -> object:
    """Return a description of a submission; None if there is none."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _print_faults(folder: Path, names: Mapping[str, Size | None]) -> Sequence[str]:
    """Check a submission, and print the first of its faults."""
    with show_progress("checked", len(names)) as report:
        faults = check_submission(folder, names, report)
    for fault in faults[:SHOWN]:
        print(f"error: {fault}", file=sys.stderr)
    if faults[SHOWN:]:
        print(f"error: and {len(faults) - SHOWN} more", file=sys.stderr)
    return faults
