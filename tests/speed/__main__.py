"""Every speed measurement, one after the other, into one folder: `make speed`.

    python -m tests.speed [--peers FOLDER] [--data FOLDER] [--weights FILE] [--out FOLDER] [--all | --only PART ...]

Each part is a command of its own (`python -m tests.speed.PART`) and leaves `PART.json` and its output, `PART.md`.
`speed.md` holds all of them, first the pairs: this suite compared with a peer. A part that fails or does not exist is
listed with the reason, and the exit code is 1. docs/speed.md shows `headlines.md` and `speed.png`.
Timings decide nothing.
"""

import argparse
import importlib.util
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import PROJECT_ROOT
from tests.speed.commands import SpeedError
from tests.speed.pairs import Pair, machine, markdown, plot, read, row, table
from tests.speed.peers import peers_python

MAIN = {
    "training": ("peers", "data", "weights"),
    "sweep": ("peers",),
    "shared": (),
    "start": ("peers",),
    "measures": ("peers",),
}
"""The parts, in order, and which options each takes. A sweep needs two categories, so it always generates them."""
PARTS = MAIN | {
    "limits": (),
    "factors": (),
    "memory": (),
    "quality": ("peers", "data", "weights"),
    "growth": (),
    "precision": ("data", "weights"),
}
"""With those that take longer and that `--all` adds."""
HEADLINES = (
    *("whole process, 5 epochs, stfpm", "an epoch, stfpm", "whole process, 5 epochs, rd", "an epoch, rd"),
    "8 cells of stfpm and rd",
    "10 quick cells",
    "training of a quick cell next to a busy thread, threads=auto",
    "command to first training step",
    *(
        "pixel AUROC and PRO exact, compared with PRO, 100x256",
        "pixel AUROC and PRO exact, compared with PRO, 100x1024",
    ),
)
"""docs/speed.md shows the pairs whose names begin so, in this order."""


@dataclass(frozen=True)
class Part:
    """The outcome of one part.

    Attributes
    ----------
    text
        Its output, Markdown or plain.
    pairs
        The pairs in its JSON file, if any.
    problem
        The reason of a failure, or empty.
    seconds
        Its duration.
    """

    text: str
    pairs: Sequence[Pair]
    problem: str
    seconds: float


def run_part(name: str, options: dict[str, str | None], folder: Path, more: Sequence[str]) -> Part:
    """Run one part as a process and return its outcome."""
    module, out = f"tests.speed.{name}", folder / f"{name}.json"
    if importlib.util.find_spec(module) is None:
        return Part("", [], f"there is no {module}", 0)
    out.unlink(missing_ok=True)  # an earlier result must not be taken for a new one
    words = [sys.executable, "-m", module, "--out", str(out), *more]
    for option in PARTS[name]:
        if options[option] is not None:
            words += [f"--{option}", str(options[option])]
    start = time.perf_counter()
    done = subprocess.run(words, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    (folder / f"{name}.md").write_text(done.stdout)
    (folder / f"{name}.log").write_text(done.stderr)
    problem = ""
    if done.returncode:
        problem = f"code {done.returncode}: {done.stderr.strip()[-600:]}"
    elif not out.exists():
        problem = "it wrote no results"
    try:
        pairs = read(out) if out.exists() else []
    except (TypeError, ValueError) as error:  # another part's file, in another form
        pairs, problem = [], problem or f"{out.name} is not readable: {error}"
    return Part(done.stdout, pairs, problem, seconds)


def summary(parts: dict[str, Part], missing: Sequence[str]) -> str:
    """Return all results as one Markdown page."""
    about = ", ".join(f"{name}: {value}" for name, value in machine().items())
    lines = ["# Speed, side by side", "", f"{about}", "", *(f"- missing: {what}" for what in missing)]
    for name, part in parts.items():
        if part.problem:
            lines.append(f"- **{name} failed**: {part.problem.splitlines()[-1]}")
    pairs = [pair for part in parts.values() for pair in part.pairs]
    if pairs:
        lines += ["", "Medians over rounds, with the range of the values.", "", table(pairs)]
    for name, part in parts.items():
        lines += ["", f"## {name} ({part.seconds:.0f} s)", ""]
        if part.problem:
            lines += ["It failed:", "", "```", part.problem, "```", ""]
        if part.text and "|" not in part.text:  # no table: as it was printed
            lines += ["```", part.text.rstrip(), "```"]
        elif part.text:
            lines.append(part.text.replace(table(part.pairs), "").strip())  # the page begins with it
    return "\n".join(lines) + "\n"


def headlines(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs of `HEADLINES` that were measured."""
    return [pair for name in HEADLINES for pair in pairs if pair.what.startswith(name) and pair.theirs]


def headline_table(pairs: Sequence[Pair]) -> str:
    """Return pairs with the machine as Markdown, for docs/speed.md."""
    about = machine()
    rows = [{name: value for name, value in row(pair).items() if name != "note"} for pair in pairs]
    processor = f"{about['processor']}, {about['instructions']}"
    where = f"On {about['cores']} cores ({processor}), medians with the range of the rounds"
    return f"{where}:\n\n{markdown(rows)}\n"


def main() -> int:
    """Run the parts, write the page, and return 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.speed", description=__doc__)
    parser.add_argument("--peers", type=Path, help="the peers' environment, made if it does not exist")
    parser.add_argument("--data", help="categories in MVTec AD's layout; default: generated ones")
    parser.add_argument("--weights", help="of ResNet-18 to layer3, a .pth file; default: random")
    parser.add_argument("--out", type=Path, default=Path("results/speed"), help="default: results/speed")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--only", nargs="+", choices=PARTS, default=list(MAIN))
    chosen.add_argument(
        "--all", action="store_const", const=list(PARTS), dest="only", help="also what takes longer"
    )
    parser.add_argument(
        "--set",
        nargs=2,
        action="append",
        default=[],
        metavar=("PART", "OPTIONS"),
        help="options of one part, in quotes, e.g. --set training '--repeats 1 --epochs 1 3'",
    )
    given = parser.parse_args()
    folder = given.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, str | None] = {"peers": None, "data": given.data, "weights": given.weights}
    missing = []
    if given.peers is None:
        missing.append("--peers is not given: this suite is compared with no other")
    else:
        try:
            options["peers"] = str(peers_python(given.peers.absolute()))
        except SpeedError as error:
            missing.append(f"peers: {error}")
    parts: dict[str, Part] = {}
    for name in given.only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        more = [word for part, words in given.set if part == name for word in words.split()]
        parts[name] = run_part(name, options, folder, more)
        outcome = (parts[name].problem or "done").splitlines()[-1]
        print(f"{name}: {outcome}, {parts[name].seconds:.0f} s", file=sys.stderr, flush=True)
        (folder / "speed.md").write_text(summary(parts, missing))
        shown = headlines([pair for part in parts.values() for pair in part.pairs])
        (folder / "headlines.md").write_text(headline_table(shown))
        plot(shown, folder / "speed.png")
    print((folder / "speed.md").read_text())
    return int(bool(missing) or any(part.problem for part in parts.values()))


if __name__ == "__main__":
    sys.exit(main())
