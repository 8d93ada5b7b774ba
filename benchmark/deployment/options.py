"""The options of `python -m benchmark.predict`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmark.deployment.arguments import (
    DETECTOR,
    Parser,
    add_application_options,
    add_detector_options,
    take_cell,
)

Device = Literal["auto", "cpu", "cuda"]
Raw = Literal["npy", "tiff", "none"]

QUANTILE = 0.995
NORMAL_NAMES = ("good", "ok", "normal")
DESCRIPTION = """Score images with a trained detector. DIR gets predictions.csv, heat maps, raw anomaly maps, and
page.html, which shows them. An image that cannot be read is named and skipped."""
IMAGES = "Then images: files, and folders, whose images are taken at any depth"
ENDING = """Exit codes: 0, all images were scored; 1, some could not be read; 2, a mistake, reported in one line; 130,
143 or 129, interrupted, terminated or the terminal was closed: what is written stays."""


@dataclass(frozen=True)
class Options:
    """The options of the command, checked against each other; see its `--help`.

    Attributes
    ----------
    detector
        None: that of the cell that `sweep` and `cell` choose.
    cell
        {tag: its value, or None for any}.
    """

    detector: str | None
    images: tuple[Path, ...]
    out: Path
    sweep: str | None
    cell: dict[str, str | None]
    store: str
    weights: str | None
    device: Device
    batch_size: int | None
    xyz: Path | None
    policy: str | None
    threshold_from: Path | None
    quantile: float | None
    sigma: float | None
    normal_names: tuple[str, ...]
    raw: Raw
    watch: Path | None
    poll: float


def read_options(arguments: Sequence[str]) -> Options:
    """Return the options; a mistake is reported in one line and ends the command with exit code 2."""
    parser = _parser()
    values = vars(parser.parse_intermixed_args(arguments))
    paths, (cell, by_cell) = values.pop("paths"), take_cell(values)
    detector, images = (None, paths) if by_cell else (next(iter(paths), None), paths[1:])
    names = tuple(filter(None, (name.strip() for name in values.pop("normal_names").split(","))))
    options = Options(detector, tuple(map(Path, images)), cell=cell, normal_names=names, **values)
    if mistake := _mistake(options, by_cell):
        parser.error(mistake)
    if options.threshold_from and options.sigma is None and options.quantile is None:
        return replace(options, quantile=QUANTILE)
    return options


def _mistake(options: Options, by_cell: bool) -> str:
    """Return what is wrong with options that argparse has accepted, or the empty string."""
    if options.detector is None and not by_cell:
        return "no detector: expected a folder, a run's id, runs:/<id>, or --method and --category"
    if not options.images and options.watch is None:
        return "no images: expected files or folders after the detector, or --watch FOLDER"
    if options.images and options.watch is not None:
        return f"--watch {options.watch}: found other images, too ({options.images[0]}); expected one or the other"
    if options.threshold_from is None and (options.quantile is not None or options.sigma is not None):
        return "--quantile and --sigma belong to --threshold-from FOLDER, which is missing"
    if options.quantile is not None and options.sigma is not None:
        return "found both --quantile and --sigma; expected one of them"
    if options.threshold_from is not None and options.policy is not None:
        return "found both --policy and --threshold-from; expected one of them"
    if options.quantile is not None and not 0 < options.quantile <= 1:
        return f"--quantile {options.quantile:g}: expected a number above 0, at most 1"
    if options.sigma is not None and not 0 <= options.sigma < math.inf:
        return f"--sigma {options.sigma:g}: expected a number, 0 or more"
    if options.batch_size is not None and options.batch_size < 1:
        return f"--batch-size {options.batch_size}: expected 1 or more"
    if not 0 < options.poll < math.inf:
        return f"--poll {options.poll:g}: expected seconds, above 0"
    return ""


def _parser() -> Parser:
    parser = Parser(
        prog="python -m benchmark.predict",
        usage="%(prog)s [DETECTOR] [IMAGES ...] --out DIR [options]",
        description=DESCRIPTION,
        epilog=ENDING,
        allow_abbrev=False,
    )
    parser.add_argument("paths", nargs="*", metavar="DETECTOR IMAGES", help=f"{DETECTOR}. {IMAGES}")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the output: new, empty, or with earlier predictions, which are replaced",
    )
    add_detector_options(parser)
    applied = parser.add_argument_group("how it is applied")
    add_application_options(applied)
    applied.add_argument(
        "--xyz",
        type=Path,
        metavar="FOLDER",
        help="point clouds for methods with depth: X.tiff for X.png (default: ../xyz/X.tiff, as in MVTec 3D-AD)",
    )
    verdicts = parser.add_argument_group("verdicts")
    verdicts.add_argument(
        "--policy", help="one of the detector's threshold policies (default: that of its cell)"
    )
    verdicts.add_argument(
        "--threshold-from", type=Path, metavar="FOLDER", help="take thresholds from normal images"
    )
    verdicts.add_argument(
        "--quantile", type=float, metavar="Q", help=f"quantile of their scores (default: {QUANTILE})"
    )
    verdicts.add_argument(
        "--sigma", type=float, metavar="K", help="their mean plus K standard deviations instead"
    )
    verdicts.add_argument(
        "--normal-names",
        default=",".join(NORMAL_NAMES),
        metavar="NAMES",
        help="images in a folder of such a name are known to be normal, those in folders next to it to be anomalous "
        "(default: %(default)s)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--raw", choices=("npy", "tiff", "none"), default="npy", help="raw maps (default: npy)"
    )
    output.add_argument(
        "--watch", type=Path, metavar="FOLDER", help="score images as they appear, until interrupted"
    )
    output.add_argument(
        "--poll", type=float, default=1.0, metavar="S", help="seconds between looks (default: 1)"
    )
    return parser
