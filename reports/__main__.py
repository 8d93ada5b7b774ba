"""`python -m reports`: the tables of a sweep again, from what the store holds."""

import argparse
import sys

from metrics import MEASURES
from reports.cells import STORE, ReportError, find_sweep
from reports.comparison import publish

DEFAULT = ["image_auroc", "pixel_auroc", "pro", "dice"]


def main() -> int:
    """Print the tables of a sweep and renew them beside its parent run."""
    parser = argparse.ArgumentParser(prog="python -m reports", description=main.__doc__)
    parser.add_argument("--uri", default=STORE, help="MLflow tracking URI (default: the local store)")
    parser.add_argument("--sweep", help="name of the sweep (default: the latest)")
    parser.add_argument(
        "--metric",
        action="append",
        choices=list(MEASURES),
        help=f"repeatable (default: {', '.join(DEFAULT)})",
    )
    arguments = parser.parse_args()
    try:
        sweep = find_sweep(arguments.uri, arguments.sweep).data.tags["sweep"]
    except ReportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    publish(arguments.uri, sweep, arguments.metric or DEFAULT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
