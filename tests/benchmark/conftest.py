"""A small generated category, its settings, and everything that a cell is made of."""

from pathlib import Path

import pytest
import torch

from benchmark.runtime import Runtime
from benchmark.settings.runtime import FeatureLimits, RuntimeSettings
from benchmark.settings.training import Training
from datasets.category import Category
from datasets.synthetic import Synthetic
from methods.backbone import FeatureBackbone

LAYERS = ("layer1", "layer2", "layer3")
CPU = Runtime(torch.device("cpu"), "fp32", channels_last=True)


@pytest.fixture(scope="session")
def washer(tmp_path_factory: pytest.TempPathFactory) -> Category:
    """Return a generated category of 12 train and 8 test images, 64 pixels a side."""
    folder = tmp_path_factory.mktemp("generated")
    dataset = Synthetic(folder, ["washer"], image_size=64, train=12, test_good=2, test_defective=2)
    return dataset.category("washer")


@pytest.fixture(scope="session")
def backbone() -> FeatureBackbone:
    """Return a ResNet-18 with random weights."""
    return FeatureBackbone("resnet18.tv_in1k", "random")


@pytest.fixture
def settings(tmp_path: Path) -> RuntimeSettings:
    """Return settings for the CPU with an empty cache."""
    return make_settings(tmp_path)


def make_settings(cache_dir: Path, **limits: float) -> RuntimeSettings:
    room = {"device_gb": 1.0, "memory_gb": 1.0, "disk_gb": 1.0, **limits}
    return RuntimeSettings(
        device="cpu",
        precision="fp32",
        channels_last=True,
        malloc=False,
        threads="auto",
        deterministic=True,
        progress=False,
        cache_dir=cache_dir,
        features=FeatureLimits(**room),
        checkpoint_seconds=None,
    )


def make_training(**changes: object) -> Training:
    values: dict[str, object] = {
        "image_size": 64,
        "batch_size": 4,
        "epochs": 2,
        "validation_fraction": 0.25,
        "validation_seed": 0,
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1},
        **changes,
    }
    return Training(**values)  # type: ignore[arg-type]
