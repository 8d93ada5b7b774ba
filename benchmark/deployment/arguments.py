"""What the command lines of this package have in common: the detector, and mistakes in one line."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from store.tags import CATEGORY, METHOD, MODE, SEED, STORE

CELL = (METHOD, MODE, CATEGORY, SEED)
"""The tags by which a cell of a sweep is chosen."""
DETECTOR = """the detector: a folder, the id of a cell's MLflow run, or runs:/<id>; left out if --sweep, --method,
--mode, --category or --seed choose it"""


class Parser(argparse.ArgumentParser):
    """A parser of arguments that reports a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the mistake and end with exit code 2."""
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def add_detector_options(parser: argparse.ArgumentParser, options: Sequence[str] = CELL) -> None:
    """Add the options that choose a detector by its cell, and those with which it is loaded.

    Parameters
    ----------
    parser
        The parser.
    options
        The tags that choose: some of `CELL`.
    """
    cell = parser.add_argument_group("the detector of a finished cell")
    cell.add_argument("--sweep", metavar="NAME", help="name of its sweep (default: the latest)")
    for name in options:
        cell.add_argument(f"--{name}", metavar=name.upper(), help=f"its {name}")
    cell.add_argument(
        "--store", default=STORE, metavar="URI", help="MLflow tracking URI (default: the local store)"
    )
    parser.add_argument(
        "--weights", metavar="FILE", help="its teacher's weights (default: those of the training)"
    )


def add_application_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that say how a detector is applied to images; `parser` may be a group."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="images at once (default: as in its cell)"
    )


def take_cell(values: dict[str, Any]) -> tuple[dict[str, str | None], bool]:
    """Take the tags of a cell out of parsed values, and return whether they or a sweep choose the detector."""
    wanted = {tag: values.pop(tag) for tag in CELL}
    return wanted, values["sweep"] is not None or any(value is not None for value in wanted.values())
