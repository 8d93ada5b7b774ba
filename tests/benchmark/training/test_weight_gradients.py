"""Gradients of convolution weights by matrix products: those of torch in float64, to float32's rounding."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_weight

from benchmark.runtime import Runtime
from benchmark.training import weight_gradients as module
from benchmark.training.weight_gradients import WeightGradients, weight_gradient, weight_gradients

OWN = "_ConvolutionBackward"  # torch's own: ConvolutionBackward0


@dataclass(frozen=True)
class Case:
    """The shape of a convolution."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)


CASES = {
    "plain": Case((3, 3)),
    "padded": Case((3, 3), padding=(1, 1)),
    "strided": Case((3, 3), (2, 2), (1, 1)),
    "dilated": Case((4, 4), dilation=(2, 2)),
    "oblong": Case((2, 5), (1, 3), (0, 2), (3, 1)),
    "rows without a patch": Case((3, 3), (3, 3)),
}


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the convolution is, with four channels or more."""
    monkeypatch.setattr(module, "WORK", 0)
    monkeypatch.setattr(module, "CHANNELS", 4)


def inputs(case: Case, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Return image, weight and bias."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(3, 16, 13, 17, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 16, *case.kernel, generator=generator, dtype=torch.float64)
    bias = torch.randn(5, generator=generator, dtype=torch.float64)
    image = image.contiguous(memory_format=torch.channels_last)
    image, weight, bias = (value.to(dtype).requires_grad_() for value in (image, weight, bias))
    return image, weight, bias


def gradients(case: Case, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[Tensor]]:
    """Return a convolution's result and the gradients of image, weight and bias."""
    values = inputs(case, dtype)
    result = conv2d(*values, case.stride, case.padding, case.dilation)
    outer = torch.randn(result.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return result, list(torch.autograd.grad(result, values, outer.to(dtype)))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("patches", [1, 3 * 17 * 16 * 9 * 4, 2**30], ids=["rows", "some rows", "all images"])
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_gradients_are_those_of_float64(case: Case, patches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATCHES", patches)
    with WeightGradients():
        result, found = gradients(case)
    assert type(result.grad_fn).__name__ == OWN
    exact_result, exact = gradients(case, torch.float64)
    torch.testing.assert_close(result.double(), exact_result, atol=1e-5, rtol=1e-5)
    for mine, other in zip(found, exact, strict=True):
        assert (mine - other).abs().max() < 1e-6 * other.abs().max()


def test_errors_are_at_most_twice_those_of_torch() -> None:
    """Of many terms, as in a training: 16 images of 64 x 64 pixels."""
    generator = torch.Generator().manual_seed(0)
    image, outer = (
        torch.randn(16, 16, 64, 64, generator=generator).contiguous(memory_format=torch.channels_last)
        for _ in range(2)
    )
    shape, ones, padding = (16, 16, 3, 3), (1, 1), (1, 1)
    exact, by_torch = (
        conv2d_weight(image.to(dtype), shape, outer.to(dtype), padding=1)
        for dtype in (torch.float64, torch.float32)
    )
    own = weight_gradient(image, outer, shape, ones, padding, ones)
    assert (own - exact).abs().max() <= 2 * (by_torch - exact).abs().max()


@pytest.mark.usefixtures("always")
def test_layers_and_their_modules_are_reached() -> None:
    layers = nn.Sequential(nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Conv2d(16, 4, 2, bias=False))
    layers.to(memory_format=torch.channels_last)
    image = inputs(CASES["plain"])[0].detach()
    found = []
    for chosen in (WeightGradients(), nullcontext()):
        layers.zero_grad()
        with chosen:
            loss = layers(image).square().mean()
        loss.backward()
        found.append([parameter.grad for parameter in layers.parameters()])
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-4)


def cases_of_torch() -> Iterator[tuple[str, Tensor, Tensor, dict[str, Any]]]:
    """Yield convolutions whose gradients are left to torch."""
    image, weight, _ = inputs(CASES["padded"])
    yield "groups", image, weight[:, :8].repeat(2, 1, 1, 1)[:4].detach().requires_grad_(), {"groups": 2}
    yield "one pixel", image, weight[:, :, :1, :1].detach().requires_grad_(), {}
    yield "few channels in", image[:, :3], weight[:, :3].detach().requires_grad_(), {}
    yield "few channels out", image, weight[:3].detach().requires_grad_(), {}
    yield "contiguous channels", image.detach().contiguous(), weight, {}
    yield "padding by name", image, weight, {"padding": "same"}
    yield "a frozen weight", image, weight.detach(), {}
    yield "one image without a batch", image[0], weight, {}
    yield "float64", image.double(), weight.detach().double().requires_grad_(), {}


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("case", list(cases_of_torch()), ids=lambda case: case[0])
def test_what_does_not_suit_is_left_to_torch(case: tuple[str, Tensor, Tensor, dict[str, Any]]) -> None:
    _, image, weight, options = case
    with WeightGradients():
        result = conv2d(image, weight, **options)
    assert type(result.grad_fn).__name__ != OWN
    assert torch.equal(result, conv2d(image, weight, **options))


@pytest.mark.usefixtures("always")
def test_nothing_is_recorded_without_gradients() -> None:
    image, weight, bias = inputs(CASES["plain"])
    with WeightGradients(), torch.no_grad():
        assert conv2d(image, weight, bias).grad_fn is None


def test_small_convolutions_are_left_to_torch() -> None:
    with WeightGradients():
        result, _ = gradients(CASES["plain"])
    assert type(result.grad_fn).__name__ != OWN


@pytest.mark.parametrize(
    ("capability", "precision", "device"),
    list(product(("AVX2", "AVX512", "DEFAULT"), ("fp32", "bf16"), ("cpu", "cuda"))),
)
def test_they_are_used_in_float32_on_processors_without_avx512(
    capability: str, precision: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    chosen = weight_gradients(Runtime(torch.device(device), precision, channels_last=True))
    assert isinstance(chosen, WeightGradients) == ((capability, precision, device) == ("AVX2", "fp32", "cpu"))


@pytest.mark.usefixtures("always")
def test_gradients_can_be_differentiated_again() -> None:
    """As a penalty on gradients does."""
    found = []
    for is_own in (True, False):
        image, weight, bias = inputs(CASES["padded"])
        with WeightGradients() if is_own else nullcontext():
            loss = conv2d(image, weight, bias, padding=1).pow(3).sum()
        (of_weight,) = torch.autograd.grad(loss, weight, create_graph=True)
        found.append(torch.autograd.grad(of_weight.square().sum(), (image, weight)))
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, atol=0, rtol=1e-3)


@pytest.mark.usefixtures("always")
def test_equal_inputs_give_equal_gradients() -> None:
    with WeightGradients():
        first, second = (gradients(CASES["padded"])[1] for _ in range(2))
    assert all(torch.equal(mine, other) for mine, other in zip(first, second, strict=True))
