"""What `python -m benchmark.predict` does: finds the detector, scores the images, writes the output."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.deployment.finding import find_cell
from benchmark.deployment.inputs import Input, check_clouds, list_inputs
from benchmark.deployment.options import Options
from benchmark.deployment.progress import show_progress
from benchmark.deployment.scoring import Broken, Result, Scored, score_files
from benchmark.deployment.thresholds import FromNormal, threshold_of
from benchmark.deployment.watching import Watched
from benchmark.deployment.writing import Output, check_output
from benchmark.detector import Detector, load_detector
from benchmark.runtime import set_algorithms
from benchmark.signals import signals_held
from datasets.errors import DatasetError
from store.predictions import ANOMALOUS, DETECTOR, NORMAL, OUTCOMES, PAGE, About, Prediction, Threshold
from store.text import counted

PAGE_SECONDS = 10.0
"""Least time between two pages of a folder that is watched."""

WritePage = Callable[[Path], Path]
"""Writes the page of an output folder and returns its path."""


@dataclass
class Tally:
    """Counts of the images that are written, by verdict, outcome and error."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, rows: Sequence[Prediction]) -> None:
        """Count images; skipped ones are named."""
        for row in rows:
            if row.error:
                self.skip(row.error)
            else:
                for name in ("scored", row.verdict, row.outcome):
                    self._count(name)

    def skip(self, reason: str) -> None:
        """Name a skipped image and count it."""
        print(f"skipped: {reason}", file=sys.stderr, flush=True)
        self._count("skipped")

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def __getitem__(self, name: str) -> int:
        """Return how many there are."""
        return self.counts.get(name, 0)


def predict(options: Options, write_page: WritePage) -> int:
    """Run the command and return its exit code.

    Raises
    ------
    BenchmarkError, DatasetError, MethodError, MetricError, StoreError
        If a user's mistake prevents it; almost all are found before anything is scored.
    """
    check_output(options.out)
    if options.watch and not options.watch.is_dir():
        raise DatasetError(f"--watch {options.watch}: there is no such folder")
    listed = list_inputs(options.images, options.normal_names, options.xyz, options.out)
    normal = _listed_normal(options)
    where = options.detector
    if where is None:
        where = find_cell(options.store, options.sweep, options.cell)
    detector = load_detector(
        where,
        weights=options.weights,
        device=options.device,
        tracking_uri=options.store,
    )
    if detector.method.mode != "rgb":
        check_clouds([*listed, *normal], detector.method.mode)
    set_algorithms(detector.about["runtime"].get("deterministic", True))
    threshold = threshold_of(detector, options.policy) if not normal else None
    tally = Tally()
    if normal:
        threshold = _threshold_from(options, detector, normal, tally)
    _print_warnings(threshold)
    bit_depth = detector.about["preprocessing"].get("bit_depth")
    about = About(_facts(detector), threshold)
    output = Output(options.out, about, bit_depth, options.raw, resume=options.watch is not None)
    with output, _page_at_the_end(options.out, write_page):
        if options.watch:
            _watch(options, detector, output, tally, write_page)
        else:
            _score(options, detector, output, listed, tally)
    _print_summary(tally)
    print(options.out / PAGE)
    return int(tally["skipped"] > 0)


def _listed_normal(options: Options) -> list[Input]:
    if options.threshold_from is None:
        return []
    return list_inputs([options.threshold_from], options.normal_names, options.xyz, options.out)


def _facts(detector: Detector) -> dict[str, str]:
    """Return what the page says of a detector."""
    about = detector.about
    return {
        DETECTOR: about["name"],
        "teacher": f"{about['backbone']['name']} ({about['backbone']['weights']})",
        "image size": f"{about['preprocessing']['image_size']} pixels a side",
        "training key": str(about.get("training_key", "unknown")),
    }


def _threshold_from(options: Options, detector: Detector, normal: Sequence[Input], tally: Tally) -> Threshold:
    """Score normal images and return thresholds from them."""
    scored: list[Scored] = []
    with show_progress("normal images", len(normal)) as report:
        for part in score_files(detector, normal, options.batch_size):
            scored += [each for each in part if isinstance(each, Scored)]
            for each in part:
                if isinstance(each, Broken):
                    tally.skip(each.reason)
            report(len(part))
    rule = FromNormal(options.quantile, options.sigma)
    scores, map_max = ([getattr(each, name) for each in scored] for name in ("score", "map_max"))
    return rule.threshold(scores, map_max, str(options.threshold_from))


def _score(
    options: Options, detector: Detector, output: Output, inputs: Sequence[Input], tally: Tally
) -> None:
    """Score the listed images."""
    with show_progress("images", len(inputs)) as report:
        for part in score_files(detector, inputs, options.batch_size):
            tally.add(output.add(part))
            report(len(part))


def _watch(options: Options, detector: Detector, output: Output, tally: Tally, write_page: WritePage) -> None:
    """Score images as they appear, until a signal ends the process."""
    assert options.watch is not None
    watched = Watched(
        options.watch.absolute(),
        options.normal_names,
        options.xyz,
        options.out,
        needs_depth=detector.method.mode != "rgb",
        done=output.earlier,
    )
    print(f"watching {options.watch} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    shown, is_new = -PAGE_SECONDS, False
    while True:
        for part in score_files(detector, watched.poll(), options.batch_size):
            results: list[Result] = [
                each for each in part if isinstance(each, Scored) or watched.gives_up(each.input)
            ]
            rows = output.add(results)
            tally.add(rows)
            for row in rows:
                if not row.error:
                    print(f"{row.verdict or 'scored'} {row.score:.6g} {row.file}", flush=True)
            for each in results:
                if isinstance(each, Scored):
                    watched.finish(each.input)
            is_new |= bool(results)
        if is_new and time.monotonic() - shown >= PAGE_SECONDS:
            write_page(options.out)
            shown, is_new = time.monotonic(), False
        time.sleep(options.poll)


@contextmanager
def _page_at_the_end(folder: Path, write_page: WritePage) -> Iterator[None]:
    """Write the page whatever ends the block."""
    try:
        yield
    finally:
        with signals_held():
            write_page(folder)


def _print_warnings(threshold: Threshold | None) -> None:
    if threshold is None:
        print(
            "warning: the detector has no thresholds, so there are scores but no verdicts; --threshold-from FOLDER "
            "takes some from normal images",
            file=sys.stderr,
        )
    elif threshold.warning:
        print(f"warning: {threshold.warning}", file=sys.stderr)


def _print_summary(tally: Tally) -> None:
    verdicts = [f"{tally[name]} {name}" for name in (ANOMALOUS, NORMAL) if tally[ANOMALOUS] + tally[NORMAL]]
    print(": ".join(filter(None, [f"{counted(tally['scored'], 'image')} scored", ", ".join(verdicts)])))
    outcomes = [counted(tally[name], name) for name in OUTCOMES if tally[name]]
    if outcomes:
        print(f"by the names of their folders: {', '.join(outcomes)}")
    if tally["skipped"]:
        print(f"{counted(tally['skipped'], 'image')} skipped, see above", file=sys.stderr)
