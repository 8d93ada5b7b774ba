"""Compares an exported detector with the detector itself: numbers, verdicts and time."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.deployment.export_examples import Example
from benchmark.deployment.exported import Form, inputs_of
from benchmark.deployment.thresholds import threshold_of
from benchmark.detector import Detector
from benchmark.inference_cost import median_seconds
from benchmark.prediction import DecodedInput, Predictions, score_stream

LIMIT = 1e-4
"""The largest relative difference of maps and scores."""

Arrays = Mapping[str, NDArray[Any]]
Model = Callable[[Arrays], Arrays]
"""Inputs of a batch by name to its outputs by name."""


@dataclass(frozen=True)
class Difference:
    """The largest absolute difference of two arrays, and its ratio to the largest absolute value expected."""

    absolute: float
    relative: float

    def __str__(self) -> str:
        """Return both, rounded."""
        return f"{self.absolute:.1e} (relative {self.relative:.1e})"


def difference(found: NDArray[Any], expected: NDArray[Any]) -> Difference:
    """Compare two arrays of one shape.

    Examples
    --------
    >>> difference(np.array([1.0, 2.5]), np.array([1.0, 2.0]))
    Difference(absolute=0.5, relative=0.25)
    """
    absolute, largest = (float(np.abs(values).max()) for values in (found - expected, expected))
    if largest == 0:
        return Difference(absolute, 0.0 if absolute == 0 else math.inf)
    return Difference(absolute, absolute / largest)


@dataclass(frozen=True)
class Comparison:
    """The differences of maps and scores, and the number of other verdicts; None without thresholds."""

    maps: Difference
    scores: Difference
    verdicts: int | None

    @property
    def is_close(self) -> bool:
        """Whether maps and scores are within `LIMIT`, which NaN is not."""
        return self.maps.relative <= LIMIT and self.scores.relative <= LIMIT

    def __str__(self) -> str:
        """Return the largest differences in a line."""
        verdicts = "" if self.verdicts is None else f"; different verdicts: {self.verdicts}"
        return f"maps {self.maps}, scores {self.scores}{verdicts}"


def compare(found: Predictions, expected: Predictions) -> Comparison:
    """Compare predictions for the same images."""
    maps, scores = difference(found.maps, expected.maps), difference(found.scores, expected.scores)
    if found.verdicts is None or expected.verdicts is None:
        return Comparison(maps, scores, None)
    return Comparison(maps, scores, int(np.count_nonzero(found.verdicts != expected.verdicts)))


def in_fp32(detector: Detector) -> Detector:
    """Return the detector in the precision of an exported file."""
    return replace(detector, runtime=replace(detector.runtime, precision="fp32"))


def score_with_detector(detector: Detector, decoded: Sequence[DecodedInput], batch_size: int) -> Predictions:
    """Score decoded images as in a cell."""
    about = detector.about["preprocessing"]
    stream = score_stream(detector.method, detector.backbone, detector.runtime, about, decoded, batch_size)
    parts = [part for _, part in stream]
    maps, scores = (np.concatenate([getattr(part, name) for part in parts]) for name in ("maps", "scores"))
    threshold = threshold_of(detector, None)
    return _judged(detector, maps, scores, None if threshold is None else np.float64(threshold.image))


def score_with_file(detector: Detector, model: Model, batches: Iterable[Arrays]) -> Predictions:
    """Score batches with an exported file, and judge them by its own threshold."""
    outputs = [model(batch) for batch in batches]
    maps, scores = (np.concatenate([output[name] for output in outputs]) for name in ("map", "score"))
    return _judged(detector, maps, scores, outputs[0].get("image_threshold"))


def _judged(
    detector: Detector, maps: NDArray[np.float32], scores: NDArray[Any], threshold: Any
) -> Predictions:
    known = threshold_of(detector, None)
    judged = maps.max((1, 2)) if known is not None and known.judges_maps else scores
    return Predictions(maps, scores, None if threshold is None else judged >= threshold)


def images_for(largest: int) -> int:
    """Return the number of images that fill a batch of each size."""
    return 3 + largest


def batches_of(
    detector: Detector, form: Form, decoded: Sequence[DecodedInput], largest: int
) -> Iterator[Arrays]:
    """Yield the inputs of an exported file: batches of 1, 2, and then of `largest` images."""
    waiting = iter(decoded)
    for size in itertools.chain([1, min(2, largest)], itertools.repeat(largest)):
        if not (batch := list(itertools.islice(waiting, size))):
            return
        yield as_inputs(detector, form, batch)


def as_inputs(
    detector: Detector, form: Form, decoded: Sequence[DecodedInput], image: NDArray[np.uint8] | None = None
) -> Arrays:
    """Return decoded images as the inputs of an exported file, or one with an image (H, W, 3) of another size."""
    images = np.stack([each.arrays["images"] for each in decoded]) if image is None else image[None]
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    inputs = {"image": pixels if form.input == "uint8" else pixels / np.float32(255)}
    for name in inputs_of(detector, form).keys() - {"image"}:
        inputs[name] = np.stack([each.arrays[name] for each in decoded])[:, None]
    return {name: inputs[name] for name in inputs_of(detector, form)}


def compare_at_size(
    detector: Detector, model: Model, form: Form, examples: Sequence[Example], largest: int
) -> Comparison:
    """Compare file and detector at the detector's size; few images are repeated until batches of all sizes are full."""
    count = max(len(examples), images_for(largest))
    decoded = [each.decoded for each in itertools.islice(itertools.cycle(examples), count)]
    found = score_with_file(detector, model, batches_of(detector, form, decoded, largest))
    return compare(found, score_with_detector(detector, decoded, largest))


def compare_resizing(detector: Detector, model: Model, form: Form, examples: Sequence[Example]) -> Comparison:
    """Compare resizing inside the file with the suite's own, by Pillow, on images of their own size, one by one."""
    batches = (as_inputs(detector, form, [each.decoded], each.original) for each in examples)
    found = score_with_file(detector, model, batches)
    return compare(found, score_with_detector(detector, [each.decoded for each in examples], 1))


def milliseconds(
    detector: Detector, model: Model, form: Form, decoded: Sequence[DecodedInput], size: int
) -> tuple[float, float]:
    """Return the milliseconds per image of file and detector in batches of a size, decoded images given.

    Each is run once before; the median of up to five runs counts.
    """
    batch = list(itertools.islice(itertools.cycle(decoded), size))
    inputs = as_inputs(detector, form, batch)
    return (
        _milliseconds(lambda: model(inputs)) / size,
        _milliseconds(lambda: score_with_detector(detector, batch, size)) / size,
    )


def _milliseconds(run: Callable[[], object]) -> float:
    run()
    return 1000 * median_seconds(lambda _: run(), 5)
