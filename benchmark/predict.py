"""Scores new images with a trained detector: `python -m benchmark.predict`. See docs/use_a_detector.md."""

import sys
from collections.abc import Sequence

from benchmark.deployment.options import read_options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see its `--help`."""
    options = read_options(sys.argv[1:] if arguments is None else arguments)
    # imports of seconds, which a mistyped option need not wait for
    from benchmark.deployment.command import exit_code

    def work() -> int:
        from benchmark.deployment.predicting import predict
        from reports.predictions.page import write

        return predict(options, write)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
