"""Distillation into a patch description network: pooled features, their normalisation, and what is compared."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d, interpolate, unfold

from datasets.batch import Batch
from methods.distillation import POOLED, Distillation, bins, pooling
from methods.pdn import PatchDescriptionNetwork

CHANNELS = 6
LAYERS = {"shallow": (5, 8), "deep": (7, 4)}
"""Names of layers, their channels and sides."""


def make() -> Distillation:
    torch.manual_seed(0)
    network = PatchDescriptionNetwork("small", CHANNELS, width=0.05)
    return Distillation(network, CHANNELS, list(LAYERS), [depth for depth, _ in LAYERS.values()])


def batch_of(count: int = 2, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    features = {
        name: 3 + torch.randn(count, depth, side, side, generator=generator)
        for name, (depth, side) in LAYERS.items()
    }
    image = torch.randn(count, 3, 64, 64, generator=generator)
    return Batch(image, torch.zeros(count), features=features)


def pooled_by_patches(features: dict[str, Tensor], channels: int) -> Tensor:
    """Pool every location's patch by itself, layer by layer, and then the layers together."""
    size = next(iter(features.values())).shape[-2:]
    layers = []
    for feature in features.values():
        count, depth, height, width = feature.shape
        patches = unfold(feature, 3, padding=1).view(count, depth * 9, height, width)
        patches = interpolate(patches, size, mode="bilinear").flatten(2).transpose(1, 2)
        layers.append(adaptive_avg_pool1d(patches, POOLED))
    pooled = adaptive_avg_pool1d(torch.cat(layers, 2), channels)
    return pooled.transpose(1, 2).unflatten(2, size)


@pytest.mark.parametrize(("count", "number"), [(9, 4), (4, 9), (360, 1024), (2048, 384), (5, 5)])
def test_bins_average_as_adaptive_pooling_does(count: int, number: int) -> None:
    values = torch.randn(3, count, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(values @ bins(count, number).T, adaptive_avg_pool1d(values, number))


@pytest.mark.parametrize("names", [["shallow"], ["shallow", "deep"]])
def test_pooled_features_are_those_of_every_patch(names: list[str]) -> None:
    torch.manual_seed(0)
    network = PatchDescriptionNetwork("small", CHANNELS, width=0.05)
    distillation = Distillation(network, CHANNELS, names, [LAYERS[name][0] for name in names])
    batch = batch_of()
    expected = pooled_by_patches({name: batch.features[name] for name in names}, CHANNELS)
    torch.testing.assert_close(distillation.pooled(batch), expected, rtol=1e-5, atol=1e-5)


def test_pooling_averages() -> None:
    """Features of one value have that value as their mean over channels."""
    assert sum(float(weight.sum()) for weight in pooling([40, 112], 64)) == pytest.approx(64)


def test_targets_are_normalised_per_channel_by_the_images_before_the_training() -> None:
    distillation, batches = make(), [batch_of(4, seed) for seed in (1, 2)]
    distillation.fit_targets(batches)
    pooled = torch.cat([distillation.pooled(batch) for batch in batches])
    torch.testing.assert_close(distillation.mean, pooled.mean((0, 2, 3)))
    torch.testing.assert_close(distillation.deviation, pooled.std((0, 2, 3), correction=0))


def test_the_loss_compares_the_padded_network_at_half_the_size_with_normalised_targets() -> None:
    distillation, batch = make(), batch_of()
    distillation.fit_targets([batch_of(4, seed=1)])
    mean, deviation = distillation.mean[:, None, None], distillation.deviation[:, None, None]
    half = interpolate(batch.image, (32, 32), mode="bilinear", antialias=True)
    predicted = distillation.network(half, padded=True)
    assert predicted.shape == distillation.pooled(batch).shape == (2, CHANNELS, 8, 8)
    expected = (predicted - (distillation.pooled(batch) - mean) / deviation).square().mean()
    torch.testing.assert_close(distillation.loss(batch), expected)


def test_features_of_another_stride_are_resized_to_the_descriptors() -> None:
    distillation, batch = make(), batch_of()
    other = replace(batch, features={name: value[..., ::2, ::2] for name, value in batch.features.items()})
    assert distillation.loss(other).isfinite()


def test_only_the_network_is_trained_and_statistics_are_kept_with_it() -> None:
    distillation = make()
    assert {name.split(".")[0] for name, _ in distillation.named_parameters()} == {"network"}
    assert {"mean", "deviation"} <= set(distillation.state_dict())
    assert not any("pooling" in name for name in distillation.state_dict())
