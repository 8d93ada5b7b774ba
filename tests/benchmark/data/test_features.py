"""Teacher features: computed once, the same wherever they are kept, and computed anew if anything changes."""

import os
import tracemalloc
from pathlib import Path

import pytest
import torch

from benchmark.data.arrays import to_tensor
from benchmark.data.features import features_key, open_features
from benchmark.data.images import StoredImages, open_images_store
from benchmark.data.teacher import TeacherFeatures, normalise
from benchmark.runtime import Runtime
from benchmark.settings.runtime import RuntimeSettings
from datasets.batch import Normalisation
from datasets.category import Category
from methods.backbone import FeatureBackbone
from tests.benchmark.conftest import CPU, LAYERS, make_settings
from tests.methods.samples import IMAGENET

BF16 = Runtime(torch.device("cpu"), "bf16", channels_last=True)
CONTIGUOUS = Runtime(torch.device("cpu"), "fp32", channels_last=False)


@pytest.fixture
def stored(washer: Category, tmp_path: Path) -> StoredImages:
    return open_images_store(washer, "train", 64, tmp_path)


def open_with(
    stored: StoredImages,
    backbone: FeatureBackbone,
    settings: RuntimeSettings,
    runtime: Runtime = CPU,
    reread: bool = True,
) -> TeacherFeatures:
    return open_features(stored, backbone, LAYERS, runtime, settings, reread)


def all_rows(features: TeacherFeatures, stored: StoredImages) -> dict[str, torch.Tensor]:
    image = normalise(to_tensor(stored.images), IMAGENET, features.runtime)
    return features.take(torch.arange(len(stored)), image)


@pytest.mark.parametrize("runtime", [CPU, BF16, CONTIGUOUS], ids=["fp32", "bf16", "contiguous"])
@pytest.mark.parametrize(
    "limits",
    [{}, {"memory_gb": 0.0}, {"disk_gb": 0.0}],
    ids=["disk and memory", "only disk", "only memory"],
)
def test_cached_features_equal_fresh_ones(
    stored: StoredImages,
    backbone: FeatureBackbone,
    tmp_path: Path,
    runtime: Runtime,
    limits: dict[str, float],
) -> None:
    settings = make_settings(tmp_path, **limits)
    for _ in range(2):  # computed, then read
        features = open_with(stored, backbone, settings, runtime)
        assert features.cached is not None
        fresh = features.compute(normalise(to_tensor(stored.images), IMAGENET, runtime))
        for layer, cached in all_rows(features, stored).items():
            assert cached.dtype == fresh[layer].dtype
            torch.testing.assert_close(cached, fresh[layer], rtol=1e-6, atol=1e-6)


def test_features_without_room_are_computed_when_needed(
    stored: StoredImages, backbone: FeatureBackbone, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path, memory_gb=0.0, disk_gb=0.0)
    features = open_with(stored, backbone, settings)
    assert features.cached is None
    cached = all_rows(open_with(stored, backbone, make_settings(tmp_path)), stored)
    for layer, value in all_rows(features, stored).items():
        torch.testing.assert_close(value, cached[layer], rtol=1e-6, atol=1e-6)


def test_features_that_are_read_once_are_not_held_in_memory(
    stored: StoredImages, backbone: FeatureBackbone, tmp_path: Path
) -> None:
    features = open_with(stored, backbone, make_settings(tmp_path, disk_gb=0.0), reread=False)
    assert features.cached is None


def test_features_in_memory_are_held_once(
    stored: StoredImages, backbone: FeatureBackbone, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path, disk_gb=0.0)
    open_with(stored, backbone, settings)
    tracemalloc.start()
    features = open_with(stored, backbone, settings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert features.cached is not None
    sizes = [rows.tensor.nbytes for rows in features.cached.values() if rows.tensor is not None]
    assert peak < 1.1 * (sum(sizes) + max(sizes))  # one layer at a time is copied


def test_features_on_disk_are_shared(
    stored: StoredImages,
    backbone: FeatureBackbone,
    settings: RuntimeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = all_rows(open_with(stored, backbone, settings), stored)
    monkeypatch.setattr("benchmark.data.features._fill", lambda *_: pytest.fail("computed again"))
    again = FeatureBackbone("resnet18.tv_in1k", "random")  # as another process would build it
    for layer, value in all_rows(open_with(stored, again, settings), stored).items():
        assert torch.equal(value, first[layer])


@pytest.mark.parametrize("damage", ["cut", "removed", "garbage"])
def test_damaged_features_on_disk_are_found_and_computed_again(
    stored: StoredImages,
    backbone: FeatureBackbone,
    settings: RuntimeSettings,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    first = {
        layer: value.clone()
        for layer, value in all_rows(open_with(stored, backbone, settings), stored).items()
    }
    (entry,) = entries(settings)
    file = entry / "layer2.npy"
    if damage == "cut":
        os.truncate(file, file.stat().st_size // 2)
    elif damage == "removed":
        file.unlink()
    else:
        file.write_bytes(b"garbage")
    again = all_rows(open_with(stored, backbone, settings), stored)
    assert all(torch.equal(again[layer], first[layer]) for layer in LAYERS)
    assert "layer2.npy: the file is damaged" in caplog.text


def test_other_weights_precision_or_layout_make_other_entries(
    stored: StoredImages, backbone: FeatureBackbone, settings: RuntimeSettings
) -> None:
    for runtime in (CPU, BF16, CONTIGUOUS):
        open_with(stored, backbone, settings, runtime)
    open_with(stored, FeatureBackbone("resnet18.tv_in1k", "random", seed=1), settings)
    assert len(entries(settings)) == 4


@torch.no_grad()
def test_the_teacher_sees_images_normalised_by_its_own_statistics(
    stored: StoredImages, settings: RuntimeSettings
) -> None:
    backbone = FeatureBackbone("tf_efficientnet_lite0.in1k", "random")
    features = open_features(stored, backbone, ("blocks.1",), CPU, settings, reread=True)
    image = (torch.tensor(stored.images).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    found = features.take(torch.arange(len(stored)), image)["blocks.1"]
    torch.testing.assert_close(found, backbone.teacher(["blocks.1"])(image)["blocks.1"], atol=1e-4, rtol=1e-4)


def test_another_normalisation_makes_another_key(
    backbone: FeatureBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = features_key("images", backbone, LAYERS, CPU)
    monkeypatch.setattr(FeatureBackbone, "normalisation", Normalisation((0.5,) * 3, (0.5,) * 3))
    assert features_key("images", backbone, LAYERS, CPU) != before


def test_the_least_recently_used_entry_makes_room(
    stored: StoredImages, backbone: FeatureBackbone, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path)
    open_with(stored, backbone, settings)
    (old,) = entries(settings)
    size = sum(file.stat().st_size for file in old.iterdir()) / 1e9
    os.utime(old, (0, 0))
    small = make_settings(tmp_path, disk_gb=1.5 * size)
    other = FeatureBackbone("resnet18.tv_in1k", "random", seed=1)
    assert open_with(stored, other, small).cached is not None
    assert len(entries(small)) == 1
    assert not old.exists()


def entries(settings: RuntimeSettings) -> list[Path]:
    return [path for path in (settings.cache_dir / "features").iterdir() if path.is_dir()]


def test_images_are_normalised_by_the_given_statistics() -> None:
    white = torch.full((2, 8, 8, 3), 255, dtype=torch.uint8)
    image = normalise(white, IMAGENET, CPU)
    assert image.shape == (2, 3, 8, 8)
    assert image.is_contiguous(memory_format=torch.channels_last)
    expected = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(image[0, :, 0, 0], expected)


def test_images_that_are_large_together_go_through_the_teacher_one_after_another(
    stored: StoredImages, backbone: FeatureBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = TeacherFeatures(CPU.move(backbone.teacher(LAYERS)), IMAGENET, CPU)
    image = normalise(to_tensor(stored.images), IMAGENET, CPU)
    whole, sizes = features.compute(image), list[int]()
    monkeypatch.setattr("benchmark.data.teacher.PIXELS", 2 * 64 * 64 + 1)
    features.teacher.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    torch.testing.assert_close(features.compute(image), whole)
    assert max(sizes) == 2
    assert sum(sizes) == len(stored)
