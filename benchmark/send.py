"""`python -m benchmark.send`: send the finished cells that a tracking server could not take when they ended."""

import argparse
import sys
from pathlib import Path

from benchmark.drafts import Draft, draft_folders, load_draft
from benchmark.errors import BenchmarkError
from benchmark.settings import Tracking
from benchmark.tracking import Tracker

RESULTS = Path(__file__).resolve().parent.parent / "results"


def main() -> int:
    """Send all drafts below a results folder to their stores; those that arrive are deleted."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.send", description=main.__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="results_dir (default: %(default)s)")
    parser.add_argument("--uri", help="tracking URI (default: that of the sweep)")
    arguments = parser.parse_args()
    failed = 0
    for folder in draft_folders(arguments.results / "unsent"):
        try:
            draft = load_draft(folder)
            if draft is not None:
                _tracker(draft, arguments.results, arguments.uri).send(draft)
                print(f"sent: {draft.run['name']}")
        except BenchmarkError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
    left = len(draft_folders(arguments.results / "unsent"))
    print(f"{left} cells are waiting in {arguments.results / 'unsent'}")
    return 2 if failed else 0


def _tracker(draft: Draft, results: Path, uri: str | None) -> Tracker:
    return Tracker(Tracking(uri or draft.run["uri"], draft.run["experiment"]), results)


if __name__ == "__main__":
    sys.exit(main())
