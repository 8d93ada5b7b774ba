"""Writes a trained detector to one file for other software: `python -m benchmark.export`. See docs/export.md."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.deployment.arguments import DETECTOR, Parser, add_detector_options, take_cell

DESCRIPTION = """Write a trained detector to one file, with normalisation, teacher, student, anomaly map, image score
and thresholds; compare the file with the detector, and time both."""
ENDING = """Exit codes: 0, the file is written; 1, it would differ from the detector, so it is removed; 2, a mistake,
reported in one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see its `--help`."""
    options = _read(sys.argv[1:] if arguments is None else arguments)
    # imports of seconds, which a mistyped option need not wait for
    from benchmark.deployment.command import exit_code

    def work() -> int:
        from benchmark.deployment.exporting import export_file

        return export_file(**options)

    return exit_code(work)


def _read(arguments: Sequence[str]) -> dict[str, Any]:
    parser = Parser(
        prog="python -m benchmark.export",
        usage="%(prog)s [DETECTOR] FILE [options]",
        description=DESCRIPTION,
        epilog=ENDING,
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="DETECTOR FILE",
        help=f"{DETECTOR}. Then the file: name.onnx, or name.pt2 for torch",
    )
    parser.add_argument(
        "--resize", action="store_true", help="take images of any size, and resize them in the file"
    )
    parser.add_argument(
        "--input",
        choices=("uint8", "float32"),
        default="uint8",
        help="type of the pixels: uint8, or float32 from 0 to 1 (default: uint8)",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="images for the comparison (default: pictures of the run's test images, or generated ones)",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=8,
        metavar="N",
        help="the largest batch of comparison and timing (default: 8)",
    )
    add_detector_options(parser)
    options = vars(parser.parse_intermixed_args(arguments))
    wanted, by_cell = take_cell(options)
    *detector, path = options.pop("paths")
    if len(detector) != (not by_cell):
        parser.error(
            f"found {detector or 'no detector'} and the file {path}; expected a detector and a file, or a file with "
            "--method and --category"
        )
    if options["batch_size"] < 1:
        parser.error(f"--batch-size {options['batch_size']}: expected 1 or more")
    return {"where": next(iter(detector), None), "path": Path(path), "wanted": wanted, **options}


if __name__ == "__main__":
    sys.exit(main())
