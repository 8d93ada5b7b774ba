"""From a trained method to scores of pixels and images, and what one image costs."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmark.data import Images
from benchmark.features import TeacherFeatures
from datasets.batch import Batch
from methods.maps import resize_map
from methods.method import Method

BUDGET_SECONDS = 5.0  # after so long, a timing starts no further repeat


@dataclass(frozen=True)
class Scores:
    """Anomaly scores of N images.

    Attributes
    ----------
    maps
        (N, H, W) float32, at image size.
    images
        (N,) float64.
    """

    maps: NDArray[np.float32]
    images: NDArray[np.float64]

    @property
    def peaks(self) -> NDArray[np.float32]:
        """Return the largest pixel of each map, (N,)."""
        return self.maps.max((1, 2))


def predict(method: Method, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the maps (B, H, W), brought to image size bilinearly, and the scores (B,) of a batch."""
    anomaly_map = method.anomaly_map(batch).float()
    size = (batch.image.shape[-2], batch.image.shape[-1])
    if anomaly_map.shape[-2:] != size:
        anomaly_map = resize_map(anomaly_map, size)
    return anomaly_map, method.image_score(anomaly_map, batch)


def score(method: Method, images: Images, batch_size: int) -> Scores:
    """Score all images, in order."""
    method.eval()
    maps, scores = [], []
    with torch.no_grad(), images.runtime.autocast():
        for batch in images.batches(batch_size):
            anomaly_map, image_score = predict(method, batch)
            maps.append(anomaly_map.cpu())
            scores.append(image_score.double().cpu())
    return Scores(torch.cat(maps).numpy(), torch.cat(scores).numpy())


@dataclass(frozen=True)
class InferenceCost:
    """What one image costs, with teacher, student, map and score together.

    Attributes
    ----------
    seconds_single, seconds_batched
        Median seconds per image, one at a time and in batches.
    multiply_adds
        Of convolutions and matrix products, counted by torch.
    """

    seconds_single: float
    seconds_batched: float
    multiply_adds: float


def measure_inference(method: Method, images: Images, batch_size: int, repeats: int = 5) -> InferenceCost:
    """Time predictions from stored images, the teacher's features computed afresh.

    The prediction whose multiply-adds are counted warms up for single images, and a batch for batches;
    where a batch would take `BUDGET_SECONDS` by itself, the single images have to do as its warm-up.

    Parameters
    ----------
    repeats
        Timed batches of each kind; fewer, but at least one, where they take over `BUDGET_SECONDS` together.
    """
    method.eval()
    fresh = TeacherFeatures(images.features.teacher, images.runtime) if images.features else None
    view = replace(images, features=fresh)

    def run(size: int, i: int = 0) -> None:
        positions = torch.arange(i * size, (i + 1) * size) % len(view)
        predict(method, view.batch(positions))
        view.runtime.synchronize()

    with torch.no_grad(), view.runtime.autocast():
        with FlopCounterMode(display=False) as counter:
            run(1)
        multiply_adds = counter.get_total_flops() / 2  # torch counts a multiply-add as two
        single = _median_seconds(partial(run, 1), repeats)
        if single * batch_size < BUDGET_SECONDS:
            run(batch_size)
        batched = _median_seconds(partial(run, batch_size), repeats) / batch_size
        return InferenceCost(single, batched, multiply_adds)


def _median_seconds(run: Callable[[int], None], repeats: int) -> float:
    """Return the median duration of run(1), run(2), ..., as many as the budget allows."""
    times: list[float] = []
    while len(times) < repeats and sum(times) < BUDGET_SECONDS:
        start = time.perf_counter()
        run(len(times) + 1)
        times.append(time.perf_counter() - start)
    return statistics.median(times)
