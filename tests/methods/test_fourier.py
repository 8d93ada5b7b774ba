"""Convolutions by way of the Fourier transform: those of torch in float64, to float32's rounding, gradients too."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from methods import fourier
from methods.fourier import AT_ONCE, best_tiling, conv

SIZES = [(5, 1, 30, 41), (5, 2, 45, 34), (4, 4, 40, 52), (4, 1, 16, 23)]


@pytest.fixture
def always_in_tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever it costs, as it would with images and channels too large for a test."""
    best_tiling.cache_clear()
    monkeypatch.setattr(fourier, "WORTH", 1e9)
    yield
    best_tiling.cache_clear()


Inputs = tuple[Tensor, Tensor, Tensor]  # image, weight, bias


def inputs(kernel: int, height: int, width: int) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 6, height, width, generator=generator, requires_grad=True)
    weight = torch.randn(10, 6, kernel, kernel, generator=generator, requires_grad=True)
    return image, weight, torch.randn(10, generator=generator, requires_grad=True)


def exact(values: Inputs) -> Inputs:
    image, weight, bias = (value.detach().double().requires_grad_() for value in values)
    return image, weight, bias


@pytest.mark.usefixtures("always_in_tiles")
@pytest.mark.parametrize("at_once", [1, AT_ONCE], ids=["many bands", "one band"])
@pytest.mark.parametrize(("kernel", "dilation", "height", "width"), SIZES)
def test_results_and_gradients_are_those_of_the_direct_form(
    kernel: int, dilation: int, height: int, width: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fourier, "AT_ONCE", at_once)
    given = inputs(kernel, height, width)
    expected_from = exact(given)
    found, expected = conv(*given, dilation), conv2d(*expected_from, dilation=dilation)
    assert not torch.equal(found, conv2d(*given, dilation=dilation))  # it did use tiles
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    outer = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad(found, given, outer)
    for mine, other in zip(
        gradients, torch.autograd.grad(expected, expected_from, outer.double()), strict=True
    ):
        assert (mine - other).abs().max() < 1e-6 * other.abs().max()


@pytest.mark.usefixtures("always_in_tiles")
def test_it_rounds_less_than_the_direct_form() -> None:
    image, weight, bias = torch.randn(1, 128, 68, 68), torch.randn(32, 128, 5, 5), torch.randn(32)
    expected = conv2d(image.double(), weight.double(), bias.double())
    assert best_tiling(tuple(image.shape), tuple(weight.shape), 1) is not None
    found = (conv(image, weight, bias) - expected).square().mean()
    assert found < (conv2d(image, weight, bias) - expected).square().mean()


def test_tiles_are_chosen_where_they_need_far_fewer_multiply_adds() -> None:
    tiling = best_tiling((1, 256, 263, 263), (256, 256, 5, 5), 1)
    assert tiling is not None
    assert tiling.multiply_adds(1, 256, 256) < 0.2 * 259**2 * 256**2 * 25
    assert best_tiling((1, 3, 272, 272), (128, 3, 6, 6), 1) is None  # transforms cost more than they save
    assert best_tiling((1, 256, 256, 256), (128, 256, 1, 1), 8) is None
    assert best_tiling((64, 256, 4, 4), (128, 256, 4, 4), 1) is None  # one pixel


@pytest.mark.usefixtures("always_in_tiles")
def test_autocast_and_float64_stay_direct() -> None:
    image, weight, bias = (value.detach() for value in inputs(5, 30, 41))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(conv(image, weight, bias), conv2d(image, weight, bias))
    doubled = exact((image, weight, bias))
    assert torch.equal(conv(*doubled), conv2d(*doubled))
