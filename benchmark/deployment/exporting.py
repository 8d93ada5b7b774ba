"""What `python -m benchmark.export` does: writes the file, compares it with the detector, times both."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

from benchmark.deployment.export_check import (
    LIMIT,
    Model,
    compare,
    compare_at_size,
    compare_resizing,
    images_for,
    in_fp32,
    milliseconds,
    score_with_detector,
)
from benchmark.deployment.export_examples import Example, from_folder, from_run, generated
from benchmark.deployment.exported import Form, PixelType
from benchmark.deployment.finding import find_cell
from benchmark.deployment.onnx_file import OnnxModel, write_onnx
from benchmark.deployment.pt2_file import Pt2Model, write_pt2
from benchmark.detector import Detector, load_detector
from benchmark.errors import BenchmarkError
from benchmark.packages import check_packages
from store.text import counted


class Format(NamedTuple):
    """A format of exported files: the software that runs it, what it needs, its writer and reader."""

    software: str
    check: Callable[[], None]
    write: Callable[..., None]
    open: Callable[[Path], Model]


FORMATS = {
    ".onnx": Format("onnxruntime", check_packages, write_onnx, OnnxModel),
    ".pt2": Format("torch", lambda: None, write_pt2, Pt2Model),
}


def export_file(
    where: str | None,
    path: Path,
    wanted: Mapping[str, str | None],
    *,
    resize: bool,
    input: PixelType,
    images: Path | None,
    batch_size: int,
    sweep: str | None,
    store: str,
    weights: str | None,
) -> int:
    """Run the command and return its exit code; parameters as its `--help` explains them.

    Raises
    ------
    BenchmarkError, DatasetError, MethodError, StoreError
        If a user's mistake prevents it.
    """
    file_format = _format_of(path)
    chosen = find_cell(store, sweep, wanted) if where is None else where
    own = load_detector(chosen, weights=weights, device="cpu", tracking_uri=store)
    detector, form = in_fp32(own), Form(resize, input)
    if resize and detector.method.mode == "depth":
        raise BenchmarkError("--resize: the detector sees depth alone; expected no --resize")
    run_id = None if Path(chosen).is_dir() else chosen.removeprefix("runs:/").partition("/")[0]
    examples = _examples(detector, run_id, store, images, images_for(batch_size), resize)
    # the file gets its name once it has passed
    with TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        written = Path(folder) / path.name
        file_format.write(detector, written, resize=resize, input=input)
        model = file_format.open(written)
        print(f"{path}: {detector.about['name']}, {written.stat().st_size / 1e6:.1f} MB, float32")
        found = compare_at_size(detector, model, form, examples, batch_size)
        if not found.is_close:
            print(
                f"error: {path}: differs from the detector: {found}; expected relative differences of at most "
                f"{LIMIT:g}; the file is removed",
                file=sys.stderr,
            )
            return 1
        sizes = sorted({1, min(2, batch_size), batch_size})
        print(f"largest differences from the detector, in batches of {', '.join(map(str, sizes))}: {found}")
        print(
            "(relative: to the largest absolute value in the detector's maps, or of its scores, on these images)"
        )
        if own.runtime.precision != "fp32":
            _print_precision(own, detector, examples, batch_size)
        if resize:
            print(
                f"resized in the file instead of by Pillow: {compare_resizing(detector, model, form, examples)}"
            )
        _print_times(file_format.software, detector, model, form, examples, batch_size)
        written.replace(path)
    return 0


def _format_of(path: Path) -> Format:
    """Return the format of a file that can be written."""
    if path.suffix not in FORMATS:
        raise BenchmarkError(
            f"{path}: found the suffix {path.suffix or '(none)'}; expected {' or '.join(FORMATS)}"
        )
    if not path.parent.is_dir():
        raise BenchmarkError(f"{path}: there is no folder {path.parent}")
    found = FORMATS[path.suffix]
    found.check()
    return found


def _examples(
    detector: Detector, run_id: str | None, store: str, folder: Path | None, count: int, resize: bool
) -> Sequence[Example]:
    """Return the images of the comparison, and say which they are."""
    if folder is not None:
        examples, what = from_folder(detector, folder, resize), f"in {folder}"
    else:
        examples = [] if run_id is None else from_run(detector, run_id, store, count, resize)
        what = "of the run's test set, from its JPEG pictures"
        if not examples:
            examples = generated(detector, count, resize)
            what = "generated, noise of several scales: differences on real images may be others (--images FOLDER)"
    print(f"compared on {counted(len(examples), 'image')} {what}")
    return examples


def _print_precision(own: Detector, detector: Detector, examples: Sequence[Example], batch_size: int) -> None:
    decoded = [each.decoded for each in examples]
    found, expected = (score_with_detector(each, decoded, batch_size) for each in (detector, own))
    print(
        f"the detector was trained and measured in {own.runtime.precision}, the file computes in float32; differences "
        f"of the detector in float32 from that in {own.runtime.precision}: {compare(found, expected)}"
    )


def _print_times(
    software: str, detector: Detector, model: Model, form: Form, examples: Sequence[Example], batch_size: int
) -> None:
    decoded = [each.decoded for each in examples]
    sizes = sorted({1, batch_size})
    times = [milliseconds(detector, model, form, decoded, size) for size in sizes]
    head = f"ms per image ({counted(torch.get_num_threads(), 'thread')})"
    print(f"{head:32}" + "".join(f"{f'batch {size}':>10}" for size in sizes))
    for name, values in zip(
        (f"file ({software})", "detector (torch)"), zip(*times, strict=True), strict=True
    ):
        print(f"{name:32}" + "".join(f"{value:10.1f}" for value in values))
