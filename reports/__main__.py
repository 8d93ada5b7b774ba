"""`python -m reports`: tables, statistics, figures and HTML page of any cells of the store."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from rich.console import Console

from metrics import MEASURES
from reports.errors import ReportError
from reports.look import Look, Width
from reports.naming import slug
from reports.selection import ALL, FILTERS, Selection
from store.errors import StoreError
from store.garbage import importing
from store.tags import RESULTS, STORE


def main() -> int:
    """Write a report: tables, statistics, figures, gallery and one HTML page.

    Exit code 1: a part of it failed, and the page names it. 2: no report.
    """
    parser = argparse.ArgumentParser(prog="python -m reports", description=main.__doc__)
    parser.add_argument("--uri", default=STORE, help="MLflow tracking URI (default: the local store)")
    parser.add_argument(
        "--sweep",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"names of sweeps; `{ALL}`: all sweeps of the store (default: the latest)",
    )
    for name in FILTERS:
        parser.add_argument(f"--{name}", nargs="+", metavar=name.upper(), help=f"only cells of this {name}")
    parser.add_argument(
        "--metric",
        nargs="+",
        default=[],
        choices=list(MEASURES),
        metavar="MEASURE",
        help=f"any of {', '.join(MEASURES)} (default: the main ones that the cells have)",
    )
    parser.add_argument(
        "--relevant",
        nargs="?",
        type=float,
        default=0.0,
        const=0.005,
        metavar="DIFFERENCE",
        help="mark the best of a row only where it exceeds the second by more than this (without a value: 0.005)",
    )
    parser.add_argument(
        "--digits",
        type=int,
        default=3,
        choices=range(2, 7),
        metavar="NUMBER",
        help="decimals of measures in tables, 2 to 6 (default: 3, so 0.979, and 97.9 in LaTeX)",
    )
    parser.add_argument(
        "--intervals",
        action="store_true",
        help="print 95 %% intervals over test images in all tables of measures, not in the leaderboard alone",
    )
    parser.add_argument("--fractions", action="store_true", help="print fractions in LaTeX, not percentages")
    parser.add_argument(
        "--latex-width",
        choices=get_args(Width),
        help="width of the tables in LaTeX (default: one column if the table is readable in it, else both)",
    )
    parser.add_argument(
        "--figure-width",
        choices=get_args(Width),
        default="text",
        help="width of the figures: 3.25 or 6.875 inches (default: text)",
    )
    parser.add_argument("--out", type=Path, help="folder (default: results/reports/<sweep>)")
    arguments = parser.parse_args()
    only = {name: values for name in FILTERS if (values := getattr(arguments, name))}
    selection = Selection(arguments.sweep, only)
    console = Console(stderr=True)
    try:
        console.print("reading the store", style="dim")
        cells = selection.read(arguments.uri)
        with importing():  # takes seconds, which a wrong argument should not cost
            from reports.report import write_report

        sweeps = [ALL] if arguments.sweep == [ALL] else selection.names(arguments.uri)
        chosen = "all sweeps" if sweeps == [ALL] else f"sweep {', '.join(sweeps)}"
        title = ", ".join(filter(None, [chosen, str(selection)]))
        folder = arguments.out or RESULTS / "reports" / _folder_name(sweeps, only)
        look = Look(
            arguments.digits,
            not arguments.fractions,
            arguments.latex_width,
            arguments.figure_width,
            arguments.intervals,
        )
        written = write_report(
            arguments.uri,
            cells,
            title,
            folder,
            arguments.metric,
            arguments.relevant,
            console,
            look,
        )
    except (ReportError, StoreError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for failure in written.failures:
        print(f"error: part of the report is missing: {failure}", file=sys.stderr)
    print(written.page)
    return int(bool(written.failures))


def _folder_name(sweeps: list[str], only: Mapping[str, Sequence[str]]) -> str:
    return slug("-".join([*sweeps, *(value for values in only.values() for value in values)]))


if __name__ == "__main__":
    sys.exit(main())
