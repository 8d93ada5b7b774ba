"""Scores files with a detector, in the batches of its cell; a file that cannot be read costs only itself."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.deployment.inputs import Input
from benchmark.detector import Detector
from benchmark.errors import BenchmarkError
from benchmark.prediction import DecodedInput, decode_input, score_stream
from datasets.errors import DatasetError
from store.errors import first_line


@dataclass(frozen=True)
class Scored:
    """A scored image.

    Attributes
    ----------
    score
        Its image score.
    anomaly_map
        (H, W) float32, at the detector's image size.
    seconds
        From file to score, averaged over the images that were read and scored together.
    """

    input: Input
    score: float
    anomaly_map: NDArray[np.float32]
    seconds: float

    @property
    def map_max(self) -> float:
        """The largest pixel of the map."""
        return float(self.anomaly_map.max())


@dataclass(frozen=True)
class Broken:
    """An image that cannot be used, and the reason in one line."""

    input: Input
    reason: str


Result = Scored | Broken


def score_files(
    detector: Detector, inputs: Iterable[Input], batch_size: int | None = None
) -> Iterator[list[Result]]:
    """Score images in order, a part at a time: memory does not grow with their number.

    The batches are those of `benchmark.prediction.parts` over the images that can be read: scores and maps of a cell's
    test images are the recorded ones to the last bit if all can be.

    Parameters
    ----------
    batch_size
        Images that are scored at once; None: as in the detector's cell.

    Raises
    ------
    BenchmarkError
        If a batch does not fit into the device's memory, or an image gets a score that is no finite number.
    """
    waiting: deque[Input | Broken] = deque()
    size = detector.own_batch_size if batch_size is None else batch_size
    stream = score_stream(
        detector.method,
        detector.backbone,
        detector.runtime,
        detector.about["preprocessing"],
        _readable(detector, inputs, waiting),
        size,
    )
    started = time.perf_counter()
    try:
        for images, predictions in stream:
            seconds = (time.perf_counter() - started) / len(images)
            part: list[Result] = []
            for score, anomaly_map in zip(predictions.scores, predictions.maps, strict=True):
                part += _broken_first(waiting)
                part.append(Scored(_next(waiting), float(score), anomaly_map, seconds))
            yield part
            started = time.perf_counter()
    except torch.OutOfMemoryError as error:
        raise BenchmarkError(
            f"--batch-size {size}: a batch does not fit into the device's memory ({first_line(error)}); give a smaller "
            "one"
        ) from None
    if waiting:
        yield _broken_first(waiting)


def _broken_first(waiting: deque[Input | Broken]) -> list[Result]:
    """Take the broken images that come before the next readable one."""
    found: list[Result] = []
    while waiting and isinstance(waiting[0], Broken):
        found.append(waiting[0])
        waiting.popleft()
    return found


def _next(waiting: deque[Input | Broken]) -> Input:
    found = waiting.popleft()
    assert isinstance(found, Input)
    return found


def _readable(
    detector: Detector, inputs: Iterable[Input], waiting: deque[Input | Broken]
) -> Iterator[DecodedInput]:
    """Yield the images that can be decoded, some ahead in threads; all go to `waiting` in their order."""

    def decode(each: Input) -> DecodedInput | Broken:
        try:
            cloud = None if detector.method.mode == "rgb" else each.xyz
            return decode_input(detector.about["preprocessing"], each.file, cloud)
        except DatasetError as error:
            return Broken(each, first_line(error))
        except Exception as error:  # whatever libraries raise over a damaged file
            return Broken(each, f"{each.file}: cannot be read ({type(error).__name__}: {first_line(error)})")

    threads = os.cpu_count() or 1
    ahead: deque[tuple[Input, Future[DecodedInput | Broken]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for each in inputs:
                ahead.append((each, pool.submit(decode, each)))
                if len(ahead) > 2 * threads:
                    yield from _taken(ahead, waiting)
            while ahead:
                yield from _taken(ahead, waiting)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _taken(
    ahead: deque[tuple[Input, Future[DecodedInput | Broken]]], waiting: deque[Input | Broken]
) -> Iterator[DecodedInput]:
    """Take the first image, which is yielded if it can be used."""
    each, future = ahead.popleft()
    result = future.result()
    if isinstance(result, Broken):
        waiting.append(result)
    else:
        waiting.append(each)
        yield result
