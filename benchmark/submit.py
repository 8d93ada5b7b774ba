"""Writes a submission to MVTec AD 2's evaluation server: `python -m benchmark.submit`. See docs/submission.md."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.deployment.arguments import (
    CELL,
    Parser,
    add_application_options,
    add_detector_options,
    take_cell,
)
from store.tags import CATEGORY

DESCRIPTION = """Score the private test images of MVTec AD 2 with the detectors of a sweep, and write the folder that
the dataset's evaluation server takes: anomaly maps and thresholded maps of all eight categories. The folder appears
once it is complete and checked; until then its files lie in DIR.partial, from which the same command continues."""
ENDING = """Exit codes: 0, the submission is complete; 1, a file is not as the server takes it; 2, a mistake, reported
in one line; 130, 143 or 129, interrupted, terminated or the terminal was closed: what is written stays."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see its `--help`."""
    options = _read(sys.argv[1:] if arguments is None else arguments)
    # imports of seconds, which a mistyped option need not wait for
    from benchmark.deployment.command import exit_code

    def work() -> int:
        from benchmark.deployment.submitting import check, submit

        if options["check"] is not None:
            return check(options["check"], options["root"])
        del options["check"]
        return submit(**options)

    return exit_code(work)


def _read(arguments: Sequence[str]) -> dict[str, Any]:
    parser = Parser(
        prog="python -m benchmark.submit",
        usage="%(prog)s --out DIR [options] | --check DIR [--root FOLDER]",
        description=DESCRIPTION,
        epilog=ENDING,
        allow_abbrev=False,
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the submission, which must be new")
    parser.add_argument(
        "--check",
        type=Path,
        metavar="DIR",
        help="check a submission and write nothing; the sizes of its maps are compared with the images if --root is "
        "given",
    )
    parser.add_argument(
        "--root", type=Path, metavar="FOLDER", help="the dataset (default: dataset.root of the sweep)"
    )
    parser.add_argument(
        "--policy", help="threshold policy of the thresholded maps (default: that of the cells)"
    )
    add_application_options(parser)
    add_detector_options(parser, [name for name in CELL if name != CATEGORY])
    options = vars(parser.parse_args(arguments))
    if (options["out"] is None) == (options["check"] is None):
        parser.error("expected one of --out DIR, to write a submission, and --check DIR")
    if options["out"] is not None and not options["out"].name:
        parser.error(f"--out {options['out']}: expected the name of a new folder")
    options[CATEGORY] = None
    wanted, by_cell = take_cell(options)
    given = [name for name in ("policy", "batch_size", "weights") if options[name] is not None]
    if options["check"] is not None and (by_cell or given):
        parser.error("--check DIR reads no detector; expected no other option but --root FOLDER")
    if options["batch_size"] is not None and options["batch_size"] < 1:
        parser.error(f"--batch-size {options['batch_size']}: expected 1 or more")
    return {"wanted": wanted, **options}


if __name__ == "__main__":
    sys.exit(main())
