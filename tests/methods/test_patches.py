"""Patch networks: dense and patch-wise application agree at every pixel; the teacher's losses."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from datasets.batch import Batch
from methods.patches import Distillation, PatchNetwork, compactness

SIZES = (17, 33, 65)
EACH_SIZE = pytest.mark.parametrize("patch_size", SIZES)


def layer_by_layer(patch_size: int) -> nn.Sequential:
    """Return the network that the paper's table prints, for one patch."""
    slope = 5e-3
    conv, act, pool = nn.Conv2d, lambda: nn.LeakyReLU(slope), lambda: nn.MaxPool2d(2, 2)
    layers: dict[int, list[nn.Module]] = {
        17: [conv(3, 128, 6), act(), conv(128, 256, 5), act(), conv(256, 256, 5), act(), conv(256, 128, 4)],
        33: [
            *(conv(3, 128, 5), act(), pool(), conv(128, 256, 5), act(), pool()),
            *(conv(256, 256, 2), act(), conv(256, 128, 4)),
        ],
        65: [
            *(conv(3, 128, 5), act(), pool(), conv(128, 128, 5), act(), pool(), conv(128, 256, 5), act()),
            *(pool(), conv(256, 256, 4), act(), conv(256, 128, 1)),
        ],
    }
    return nn.Sequential(*layers[patch_size])


def network_and_reference(patch_size: int) -> tuple[PatchNetwork, nn.Sequential]:
    torch.manual_seed(0)
    network, reference = PatchNetwork(patch_size), layer_by_layer(patch_size)
    ours = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    theirs = [module for module in reference if isinstance(module, nn.Conv2d)]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.bias is not None
        nn.init.uniform_(mine.bias, -0.5, 0.5)
        other.load_state_dict(mine.state_dict())
    return network, reference


def patch_by_patch(reference: nn.Module, image: Tensor, patch_size: int) -> Tensor:
    """Cut every patch out and describe it alone: (B, 128, h, w)."""
    rows, columns = (side - patch_size + 1 for side in image.shape[-2:])
    described = [
        [reference(image[..., i : i + patch_size, j : j + patch_size]).flatten(1) for j in range(columns)]
        for i in range(rows)
    ]
    return torch.stack([torch.stack(row, -1) for row in described], -2)


@EACH_SIZE
@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 1), (4, 7), (9, 6)], ids=["one", "even x odd", "odd x even"]
)
def test_dense_equals_the_loop_over_patches_at_every_pixel(patch_size: int, rows: int, columns: int) -> None:
    network, reference = network_and_reference(patch_size)
    image = torch.randn(1, 3, patch_size + rows - 1, patch_size + columns - 1)
    with torch.no_grad():
        dense = network(image, dense=True)
        expected = patch_by_patch(reference, image, patch_size)
    assert dense.shape == (1, 128, rows, columns)
    assert expected.std() > 0.01
    torch.testing.assert_close(dense, expected, atol=1e-5, rtol=0)


@EACH_SIZE
@pytest.mark.parametrize("extra", [0, 1, 7, 8, 13])
def test_without_dense_every_stride_th_patch_is_described(patch_size: int, extra: int) -> None:
    network, _ = network_and_reference(patch_size)
    assert network.stride == {17: 1, 33: 4, 65: 8}[patch_size]
    image = torch.randn(2, 3, patch_size + extra, patch_size + extra)
    with torch.no_grad():
        expected = network(image, dense=True)[..., :: network.stride, :: network.stride]
        torch.testing.assert_close(network(image), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("patch_size", "parameters"), [(17, 2_996_480), (33, 1_616_000), (65, 2_320_640)])
def test_parameters(patch_size: int, parameters: int) -> None:
    for network in (PatchNetwork(patch_size), layer_by_layer(patch_size)):
        assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("squared", [False, True])
def test_compactness_is_the_sum_of_correlations_of_different_components(squared: bool) -> None:
    descriptors = np.random.default_rng(0).normal(size=(50, 6))
    descriptors[:, 1] += descriptors[:, 0]
    correlation = np.corrcoef(descriptors.T) ** (2 if squared else 1)
    expected = correlation.sum() - np.trace(correlation)
    assert compactness(torch.from_numpy(descriptors), squared).item() == pytest.approx(expected, abs=1e-4)


def test_components_that_repeat_each_other_with_both_signs_escape_the_plain_sum_alone() -> None:
    values = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))
    redundant = torch.cat([values, values, -values, -values], 1)
    assert compactness(redundant, squared=False).item() == pytest.approx(-4, abs=1e-3)  # its minimum
    assert compactness(redundant, squared=True).item() == pytest.approx(12, abs=1e-3)  # its maximum


@pytest.mark.parametrize("squared", [False, True])
def test_compactness_of_constant_descriptors_is_finite(squared: bool) -> None:
    descriptors = torch.ones(8, 4, requires_grad=True)
    loss = compactness(descriptors, squared)
    loss.backward()
    assert loss.isfinite()
    assert descriptors.grad is not None
    assert descriptors.grad.isfinite().all()


def test_distillation_is_the_decoders_squared_error_plus_compactness() -> None:
    torch.manual_seed(0)
    distillation = Distillation(17, 10, "layer4", squared=True)
    image, features = torch.randn(6, 3, 17, 17), torch.randn(6, 10, 2, 2)
    batch = Batch(image, torch.zeros(6), features={"layer4": features})
    with torch.no_grad():
        descriptors = distillation.network(image)[:, :, 0, 0]
        decoded = descriptors @ distillation.decoder.weight.T + distillation.decoder.bias
        error = ((decoded - features.mean((2, 3))) ** 2).sum(1).mean()
        torch.testing.assert_close(distillation.loss(batch), error + compactness(descriptors, squared=True))
