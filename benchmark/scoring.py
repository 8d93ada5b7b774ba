"""From a trained method to scores of pixels and images, and what one image costs."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

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

    Parameters
    ----------
    repeats
        Timed batches of each kind, after one that warms up.
    """
    method.eval()
    fresh = TeacherFeatures(images.features.teacher, images.runtime) if images.features else None
    view = replace(images, features=fresh)

    def seconds(size: int) -> float:
        def run(first: int) -> None:
            positions = torch.arange(first, first + size) % len(view)
            predict(method, view.batch(positions))
            view.runtime.synchronize()

        return _median_seconds(run, size, repeats) / size

    with torch.no_grad(), view.runtime.autocast():
        with FlopCounterMode(display=False) as counter:
            predict(method, view.batch(torch.arange(1)))
        multiply_adds = counter.get_total_flops() / 2  # torch counts a multiply-add as two
        return InferenceCost(seconds(1), seconds(batch_size), multiply_adds)


def _median_seconds(run: Callable[[int], None], step: int, repeats: int) -> float:
    run(0)
    times = []
    for i in range(1, repeats + 1):
        start = time.perf_counter()
        run(i * step)
        times.append(time.perf_counter() - start)
    return statistics.median(times)
