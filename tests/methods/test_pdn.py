"""Patch description networks: what a descriptor sees, their borders, and their sizes; the autoencoder's sizes."""

import pytest
import torch
from torch import Tensor

from methods.pdn import RECEPTIVE_FIELD, Autoencoder, PatchDescriptionNetwork, Size

SIZES: list[Size] = ["small", "medium"]


def make(size: Size = "small", width: float = 0.05, channels: int = 5) -> PatchDescriptionNetwork:
    torch.manual_seed(0)
    return PatchDescriptionNetwork(size, channels, width).double()


def noise(side: int, seed: int = 0) -> Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES)
def test_a_descriptor_sees_the_33_pixels_of_its_patch_and_no_others(size: Size) -> None:
    image = noise(53).requires_grad_()
    descriptors = make(size)(image)
    assert descriptors.shape == (1, 5, 6, 6)
    (gradient,) = torch.autograd.grad(descriptors[0, :, 2, 3].sum(), image)
    for along, first in zip(gradient[0].any(0).nonzero().T, (8, 12), strict=True):  # rows, columns
        assert torch.equal(along.unique(), torch.arange(first, first + RECEPTIVE_FIELD))


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_a_descriptor_is_that_of_its_patch_alone(size: Size) -> None:
    network, image = make(size), noise(49)
    whole = network(image)
    for row, column in ((0, 0), (1, 3), (4, 2)):
        patch = image[..., 4 * row : 4 * row + 33, 4 * column : 4 * column + 33]
        torch.testing.assert_close(network(patch)[0, :, 0, 0], whole[0, :, row, column])


@torch.no_grad()
def test_the_border_of_an_image_shows_with_padding_alone() -> None:
    network, grey = make(), torch.full((1, 3, 64, 64), 0.7, dtype=torch.float64)
    plain, padded = network(grey), network(grey, padded=True)
    torch.testing.assert_close(plain, plain[..., :1, :1].expand_as(plain))
    middle = padded[..., 4:-4, 4:-4]
    torch.testing.assert_close(middle, plain[..., :1, :1].expand_as(middle))
    assert (padded[..., 0, :] - plain[..., 0, :1]).abs().max() > 1e-3


@torch.no_grad()
def test_padding_adds_four_descriptors_at_each_side_and_changes_no_other() -> None:
    network, image = make(), noise(64)
    plain, padded = network(image), network(image, padded=True)
    assert (plain.shape[-1], padded.shape[-1]) == (8, 16)
    torch.testing.assert_close(padded[..., 4:-4, 4:-4], plain)


@pytest.mark.parametrize(
    ("size", "copies", "parameters"),
    [
        *(("small", 1, 2_694_144), ("small", 2, 4_267_392)),
        *(("medium", 1, 8_026_624), ("medium", 2, 11_615_488)),
    ],
)
def test_the_published_networks_have_the_released_sizes(size: Size, copies: int, parameters: int) -> None:
    with torch.device("meta"):
        network = PatchDescriptionNetwork(size, 384, copies=copies)
        image = torch.empty(1, 3, 256, 256)
        assert network(image).shape == (1, 384 * copies, 56, 56)
        assert network(image, padded=True).shape == (1, 384 * copies, 64, 64)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@torch.no_grad()
def test_the_published_autoencoder_has_the_released_sizes() -> None:
    network = Autoencoder(384)
    assert network(torch.zeros(1, 3, 256, 256), (56, 56)).shape == (1, 384, 56, 56)
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_096_320


@torch.no_grad()
def test_an_autoencoder_knows_an_image_by_one_vector() -> None:
    torch.manual_seed(0)
    network, seen = Autoencoder(5, width=0.1).eval(), []
    network.bottleneck.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    for side in (40, 64, 130, 256):
        assert network(torch.randn(2, 3, side, side), (side // 4 - 8,) * 2).shape[-1] == side // 4 - 8
    assert seen == [(2, 6, 1, 1)] * 4
