"""Draws why a student should differ from its teacher (figure 2 of AST's paper): `python -m benchmark.toy`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark.deployment.arguments import Parser
from store.tags import RESULTS

DESCRIPTION = """Train networks of one input and one output: teachers with one hidden layer, and for each a student of
the same architecture and one with three hidden layers. Draw their outputs inside and outside the range in which they
were trained, as toy.pdf and toy.png."""
MOST_SEEDS = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see its `--help`."""
    parser = Parser(prog="python -m benchmark.toy", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument(
        "--out",
        type=Path,
        default=RESULTS / "toy",
        metavar="FOLDER",
        help="where the figure is written (default: results/toy)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=20,
        metavar="N",
        help="number of teachers; the first is drawn, the caption has the medians of all (default: %(default)s)",
    )
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    if not 1 <= options.seeds <= MOST_SEEDS:
        parser.error(f"--seeds {options.seeds}: expected 1 to {MOST_SEEDS}")
    # imports of seconds, which a mistyped option need not wait for
    from benchmark.deployment.command import exit_code

    def work() -> int:
        from benchmark.toy_networks import train_pairs
        from reports.figures.style import COLUMN, save
        from reports.figures.toy import ToyPairs, toy_figure
        from store.folders import check_writable

        check_writable("--out", options.out)
        figure = toy_figure(ToyPairs(*train_pairs(range(options.seeds))))
        print(figure.caption)
        print(f"written: {save(figure, options.out, COLUMN)}")
        return 0

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
