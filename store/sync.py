"""`python -m store.sync`: send the results of finished cells that a store could not take when they ended."""

import argparse
import sys
from pathlib import Path

from store.errors import StoreError
from store.pending import load_pending, pending_folders
from store.tags import RESULTS


def main() -> int:
    """Send all results that wait in a results folder to their stores; those that arrive are deleted."""
    parser = argparse.ArgumentParser(prog="python -m store.sync", description=main.__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="results_dir (default: %(default)s)")
    parser.add_argument("--uri", help="tracking URI (default: that of the sweep)")
    arguments = parser.parse_args()
    folders = pending_folders(arguments.results)
    failed = [folder for folder in folders if not _send(folder, arguments.results, arguments.uri)]
    count = len(failed)
    print(f"{count} {'cell is' if count == 1 else 'cells are'} waiting in {arguments.results}")
    return 2 if failed else 0


def _send(folder: Path, results_dir: Path, uri: str | None) -> bool:
    from store.tracker import Tracker  # seconds, needed only if anything waits

    try:
        pending = load_pending(folder)
        if pending is not None:
            run = pending.run
            Tracker(uri or run["uri"], run["experiment"], results_dir).send(pending)
            print(f"sent: {run['name']}")
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
