"""The cost of one image: seconds and multiply-adds."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark.data.batches import Images
from benchmark.scoring import predict
from methods.method import Method

BUDGET_SECONDS = 5.0  # after so long, a timing starts no further repeat


@dataclass(frozen=True)
class InferenceCost:
    """The cost of one image, with teacher, student, map and score together.

    Attributes
    ----------
    seconds_single, seconds_batched
        Median seconds per image, one at a time and in batches.
    multiply_adds
        Those of convolutions and matrix products, counted by torch.
    batch_size
        Number of images in the timed batches.
    """

    seconds_single: float
    seconds_batched: float
    multiply_adds: float
    batch_size: int


class InferenceCosts:
    """The costs of inference in the cells of a job, measured once for methods of one shape.

    A job's cells share the method, its options, the size of its images and the device; what may still differ are the
    sizes of weights that a method takes from its images, and of the batches, which hold at most all images.
    """

    def __init__(self) -> None:
        self._known: dict[object, tuple[InferenceCost, str]] = {}

    def of(self, category: str, method: Method, images: Images, batch_size: int) -> tuple[InferenceCost, str]:
        """Return the cost and the category on whose images it was measured: this one, or that of an earlier cell.

        `method`, `images` and `batch_size` are those of `measure_inference`.
        """
        shapes = tuple((name, value.shape) for name, value in method.state_dict().items())
        key = shapes, min(batch_size, len(images)), torch.get_num_threads()
        if key not in self._known:
            self._known[key] = measure_inference(method, images, batch_size), category
        return self._known[key]


def measure_inference(method: Method, images: Images, batch_size: int, repeats: int = 5) -> InferenceCost:
    """Time predictions from stored images, with the teacher's features computed each time.

    The prediction whose multiply-adds are counted warms up for single images, and a batch for batches; where a
    batch would take `BUDGET_SECONDS` by itself, the single images are the warm-up.

    Parameters
    ----------
    batch_size
        Images in a batch; at most all of them, since a larger batch would hold copies.
    repeats
        Timed batches of each kind; fewer, but at least one, where they take over `BUDGET_SECONDS` together.
    """
    method.eval()
    batch_size = min(batch_size, len(images))
    fresh = replace(images.features, cached=None) if images.features else None
    view = replace(images, features=fresh)

    def run(size: int, i: int = 0) -> None:
        positions = torch.arange(i * size, (i + 1) * size) % len(view)
        predict(method, view.batch(positions))
        view.runtime.synchronize()

    with torch.no_grad(), view.runtime.autocast():
        with FlopCounterMode(display=False) as counter:
            run(1)
        multiply_adds = counter.get_total_flops() / 2  # torch counts a multiply-add as two
        single = median_seconds(partial(run, 1), repeats)
        if single * batch_size < BUDGET_SECONDS:
            run(batch_size)
        batched = median_seconds(partial(run, batch_size), repeats) / batch_size
        return InferenceCost(single, batched, multiply_adds, batch_size)


def median_seconds(run: Callable[[int], object], repeats: int) -> float:
    """Return the median duration of run(1), run(2), ..., as many as the budget allows."""
    times: list[float] = []
    while len(times) < repeats and sum(times) < BUDGET_SECONDS:
        start = time.perf_counter()
        run(len(times) + 1)
        times.append(time.perf_counter() - start)
    return statistics.median(times)
