"""Teacher features: computed once, the same wherever they are kept, and made anew when anything changes."""

import os
from pathlib import Path

import pytest
import torch

from benchmark.arrays import to_tensor
from benchmark.features import TeacherFeatures, normalise, open_features
from benchmark.runtime import Runtime
from benchmark.settings import Trainer
from datasets.category import Category
from datasets.store import StoredImages, open_store
from methods.backbone import FeatureBackbone
from tests.benchmark.conftest import CPU, LAYERS, make_trainer

BF16 = Runtime(torch.device("cpu"), "bf16", channels_last=True)
CONTIGUOUS = Runtime(torch.device("cpu"), "fp32", channels_last=False)


@pytest.fixture
def stored(washer: Category, tmp_path: Path) -> StoredImages:
    return open_store(washer, "train", 64, tmp_path)


def open_with(
    stored: StoredImages,
    backbone: FeatureBackbone,
    trainer: Trainer,
    runtime: Runtime = CPU,
    epochs: bool = True,
) -> TeacherFeatures:
    return open_features(stored, backbone, LAYERS, runtime, trainer, epochs)


def all_rows(features: TeacherFeatures, stored: StoredImages) -> dict[str, torch.Tensor]:
    image = normalise(to_tensor(stored.images), features.runtime)
    return features.take(torch.arange(len(stored)), image)


@pytest.mark.parametrize("runtime", [CPU, BF16, CONTIGUOUS], ids=["fp32", "bf16", "contiguous"])
@pytest.mark.parametrize(
    "limits",
    [{}, {"memory_gb": 0.0}, {"disk_gb": 0.0}],
    ids=["disk and memory", "disk alone", "memory alone"],
)
def test_kept_features_equal_fresh_ones(
    stored: StoredImages,
    backbone: FeatureBackbone,
    tmp_path: Path,
    runtime: Runtime,
    limits: dict[str, float],
) -> None:
    trainer = make_trainer(tmp_path, **limits)
    for _ in range(2):  # made, then read again
        features = open_with(stored, backbone, trainer, runtime)
        assert features.kept is not None
        fresh = features.compute(normalise(to_tensor(stored.images), runtime))
        for layer, kept in all_rows(features, stored).items():
            assert kept.dtype == fresh[layer].dtype
            torch.testing.assert_close(kept, fresh[layer], rtol=1e-6, atol=1e-6)


def test_features_without_room_are_computed_when_needed(
    stored: StoredImages, backbone: FeatureBackbone, tmp_path: Path
) -> None:
    trainer = make_trainer(tmp_path, memory_gb=0.0, disk_gb=0.0)
    features = open_with(stored, backbone, trainer)
    assert features.kept is None
    kept = all_rows(open_with(stored, backbone, make_trainer(tmp_path)), stored)
    for layer, value in all_rows(features, stored).items():
        torch.testing.assert_close(value, kept[layer], rtol=1e-6, atol=1e-6)


def test_features_that_are_read_once_are_not_held_in_memory(
    stored: StoredImages, backbone: FeatureBackbone, tmp_path: Path
) -> None:
    features = open_with(stored, backbone, make_trainer(tmp_path, disk_gb=0.0), epochs=False)
    assert features.kept is None


def test_the_disk_form_is_shared(
    stored: StoredImages, backbone: FeatureBackbone, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = all_rows(open_with(stored, backbone, trainer), stored)
    monkeypatch.setattr("benchmark.features._fill", lambda *_: pytest.fail("computed again"))
    again = FeatureBackbone("resnet18.tv_in1k", "random")  # as another process would build it
    for layer, value in all_rows(open_with(stored, again, trainer), stored).items():
        assert torch.equal(value, first[layer])


@pytest.mark.parametrize("damage", ["cut", "removed", "garbage"])
def test_a_damaged_disk_form_is_recognised_and_made_again(
    stored: StoredImages,
    backbone: FeatureBackbone,
    trainer: Trainer,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    first = {
        layer: value.clone()
        for layer, value in all_rows(open_with(stored, backbone, trainer), stored).items()
    }
    (entry,) = entries(trainer)
    file = entry / "layer2.npy"
    if damage == "cut":
        os.truncate(file, file.stat().st_size // 2)
    elif damage == "removed":
        file.unlink()
    else:
        file.write_bytes(b"garbage")
    again = all_rows(open_with(stored, backbone, trainer), stored)
    assert all(torch.equal(again[layer], first[layer]) for layer in LAYERS)
    assert "layer2.npy: damaged" in caplog.text


def test_other_weights_precision_or_layout_make_other_entries(
    stored: StoredImages, backbone: FeatureBackbone, trainer: Trainer
) -> None:
    for runtime in (CPU, BF16, CONTIGUOUS):
        open_with(stored, backbone, trainer, runtime)
    open_with(stored, FeatureBackbone("resnet18.tv_in1k", "random", seed=1), trainer)
    assert len(entries(trainer)) == 4


def test_the_least_recently_used_entry_makes_room(
    stored: StoredImages, backbone: FeatureBackbone, tmp_path: Path
) -> None:
    trainer = make_trainer(tmp_path)
    open_with(stored, backbone, trainer)
    (old,) = entries(trainer)
    size = sum(file.stat().st_size for file in old.iterdir()) / 1e9
    os.utime(old, (0, 0))
    small = make_trainer(tmp_path, disk_gb=1.5 * size)
    other = FeatureBackbone("resnet18.tv_in1k", "random", seed=1)
    assert open_with(stored, other, small).kept is not None
    assert len(entries(small)) == 1
    assert not old.exists()


def entries(trainer: Trainer) -> list[Path]:
    return [path for path in (trainer.cache_dir / "features").iterdir() if path.is_dir()]


def test_normalised_images_have_imagenet_statistics() -> None:
    grey = torch.full((2, 8, 8, 3), 255, dtype=torch.uint8)
    image = normalise(grey, CPU)
    assert image.shape == (2, 3, 8, 8)
    assert image.is_contiguous(memory_format=torch.channels_last)
    expected = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(image[0, :, 0, 0], expected)
