"""Small backbones, batches and trainings that the tests of the methods share."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from torch.nn.functional import interpolate

from datasets.batch import Batch, Normalisation
from methods.backbone import FeatureBackbone
from methods.method import Crops, Stage

LAYERS = ["layer1", "layer2", "layer3"]
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
RESNETS = ["resnet18", "resnet34", "resnet50", "wide_resnet50_2"]
WIDTHS = {"resnet18": 1, "resnet34": 1, "resnet50": 4, "wide_resnet50_2": 4}
"""Channels of layer k, in units of 64 * 2**(k-1)."""


@cache
def random_backbone(name: str = "test_resnet", seed: int = 0) -> FeatureBackbone:
    """Return a ResNet with random weights; `test_resnet` is one of timm's for tests, of one block per stage."""
    return FeatureBackbone(name if name == "test_resnet" else f"{name}.tv_in1k", "random", seed)


def batch_of(
    layers: Sequence[str] = LAYERS,
    count: int = 2,
    size: tuple[int, int] = (64, 64),
    seed: int = 0,
    backbone: FeatureBackbone | None = None,
) -> Batch:
    """Return images of noise with their teacher's features."""
    image = torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        features = (backbone or random_backbone()).teacher(layers)(image) if layers else {}
    return Batch(image, torch.zeros(count, dtype=torch.int64), features=features)


def crops_of(crops: Crops, backbone: FeatureBackbone, count: int = 4) -> Batch:
    """Return crops of noise with their features."""
    image = torch.randn(count, 3, crops.size, crops.size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = backbone.teacher(crops.layers)(interpolate(image, (crops.feature_size,) * 2))
    return Batch(image, torch.zeros(count, dtype=torch.int64), features=features)


def meta_batch(backbone: FeatureBackbone, layers: Sequence[str], side: int, count: int = 2) -> Batch:
    """Return a batch that has shapes and no values, for networks too large to run in a test."""
    with torch.device("meta"):
        image = torch.empty(count, 3, side, side)
        features = backbone.new_student(layers).eval()(image)
        return Batch(image, torch.empty(count), features=features)


def train(stage: Stage, batches: Iterable[Batch], optimizer: Any, **options: Any) -> list[float]:
    """Train a stage by one step per batch of an optimiser built with the options; return the losses."""
    steps = optimizer(stage.module.parameters(), **options)
    stage.module.train()
    losses = []
    for batch in batches:
        loss = stage.loss(batch)
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    stage.module.eval()
    return losses


def check_bfloat16(method: Any, batch: Batch) -> None:
    """Assert that loss and map are float32, and nearly the same, where networks run in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        low, low_map = method.loss(batch), method.anomaly_map(batch)
    low.backward()
    assert low.dtype == low_map.dtype == torch.float32
    assert low.item() == pytest.approx(method.loss(batch).item(), abs=0.02)
    torch.testing.assert_close(low_map, method.anomaly_map(batch), atol=0.05, rtol=0)
