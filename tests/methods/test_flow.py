"""The flow: a bijection whose log-determinants are those of autograd, location by location."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from methods.flow import ConditionalFlow, LocationCoupling, Subnetwork


def awake(module: nn.Module) -> Any:
    """Set the gamma of every subnetwork, whose output is 0 otherwise."""
    for name, parameter in module.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.7)
    return module


def build(channels: int = 6, condition: int = 4, blocks: int = 4, clamp: float = 3.0, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return awake(ConditionalFlow(channels, condition, blocks, hidden=8, clamp=clamp)).double()


def maps(channels: int, height: int, width: int, count: int = 1, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(count, channels, height, width, generator=generator, dtype=torch.float64)


def log_det_by_autograd(function: Any, x: Tensor) -> float:
    matrix = jacobian(lambda flat: function(flat.view(x.shape)).flatten(), x.flatten())
    return float(torch.linalg.slogdet(matrix).logabsdet)


@pytest.mark.parametrize(("channels", "condition"), [(6, 4), (7, 4), (6, 0)])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (12, 12)], ids=str)
@torch.no_grad()
def test_the_inverse_restores_the_input(channels: int, condition: int, size: tuple[int, int]) -> None:
    flow = build(channels, condition).float()
    x, c = maps(channels, *size, count=3).float(), maps(condition, *size, count=3).float()
    z, log_det = flow(x, c)
    assert z.shape == x.shape
    assert log_det.shape == (3, *size)
    assert (z - x).abs().max() > 0.1
    assert (flow.inverse(z, c) - x).abs().max() < 1e-5


def test_log_determinants_of_all_locations_add_up_to_that_of_the_map() -> None:
    flow, x, c = build(), maps(6, 3, 4), maps(4, 3, 4)
    total = flow(x, c)[1].sum().item()
    assert abs(total) > 0.1
    assert total == pytest.approx(log_det_by_autograd(lambda given: flow(given, c)[0], x), abs=1e-9)


def test_on_a_single_location_the_log_determinant_is_its_own() -> None:
    flow, x, c = build(), maps(6, 1, 1), maps(4, 1, 1)
    expected = log_det_by_autograd(lambda given: flow(given, c)[0], x)
    assert flow(x, c)[1].item() == pytest.approx(expected, abs=1e-9)


def test_where_locations_do_not_see_each_other_each_has_its_own_log_determinant() -> None:
    torch.manual_seed(0)
    subnetwork = partial(Subnetwork, hidden=8, kernel=1)
    coupling = LocationCoupling([(6, 1, 1)], [(4, 1, 1)], subnet_constructor=subnetwork, clamp=3.0)
    awake(coupling).double()
    x, c = maps(6, 3, 4), maps(4, 3, 4)
    log_det = coupling([x], [c])[1]
    for i in range(3):
        for j in range(4):
            here = np.s_[..., i : i + 1, j : j + 1]
            expected = log_det_by_autograd(
                lambda given, here=here: coupling([given], [c[here]])[0][0], x[here]
            )
            assert log_det[0, i, j].item() == pytest.approx(expected, abs=1e-9)


@torch.no_grad()
def test_an_untrained_flow_only_permutes_channels() -> None:
    flow = ConditionalFlow(6, 4, blocks=4, hidden=8, clamp=3.0).double()
    x = maps(6, 3, 4)
    z, log_det = flow(x, maps(4, 3, 4))
    torch.testing.assert_close(z.sort(1).values, x.sort(1).values, atol=0, rtol=0)
    assert not torch.equal(z, x)
    assert not log_det.any()


def constant_coupling(value: float, clamp: float) -> LocationCoupling:
    """Return a block whose subnetworks return `value` everywhere."""
    subnetwork = partial(Subnetwork, hidden=8, kernel=3)
    coupling = LocationCoupling([(2, 1, 1)], subnet_constructor=subnetwork, clamp=clamp)
    for parameter in coupling.parameters():
        nn.init.zeros_(parameter)
    for subnet in (coupling.subnet1, coupling.subnet2):
        nn.init.constant_(subnet.layers[-1].bias, value)
        nn.init.ones_(subnet.gamma)
    return coupling


@pytest.mark.parametrize("clamp", [1.9, 3.0])
@torch.no_grad()
def test_the_log_scale_is_softly_clamped(clamp: float) -> None:
    x = torch.ones(1, 2, 1, 1)
    (y,), log_det = constant_coupling(clamp, clamp)([x])
    log_scale = clamp * 0.636 * math.atan(1)
    assert log_det.item() == pytest.approx(2 * log_scale)
    assert y.flatten().tolist() == pytest.approx([math.exp(log_scale) + clamp] * 2)
    largest = constant_coupling(1e9, clamp)([x])[1].item() / 2
    assert 0.99 * clamp < largest < clamp


@torch.no_grad()
def test_half_of_the_channels_scales_and_shifts_the_other_and_then_the_other_way_round() -> None:
    coupling = constant_coupling(0.0, 3.0)
    coupling.subnet1.layers[0].weight.fill_(1.0)
    coupling.subnet1.layers[-1].weight.fill_(1.0)
    x = torch.tensor([1.0, 1.0]).view(1, 2, 1, 1)
    (y,), _ = coupling([x])
    assert y[0, 0].item() == x[0, 0].item()  # subnet2 returns 0
    assert y[0, 1].item() != x[0, 1].item()  # subnet1 has seen the first half


@torch.no_grad()
def test_the_border_sees_its_own_values_and_no_zeros() -> None:
    x, c = maps(6, 1, 1).expand(-1, -1, 5, 6), maps(4, 1, 1).expand(-1, -1, 5, 6)
    z, log_det = build()(x, c)
    torch.testing.assert_close(z, z[..., :1, :1].expand_as(z))
    torch.testing.assert_close(log_det, log_det[..., :1, :1].expand_as(log_det))


@pytest.mark.parametrize("blocks", [1, 4])
def test_the_last_block_alone_has_5x5_kernels(blocks: int) -> None:
    sizes = [m.kernel_size for m in build(blocks=blocks).modules() if isinstance(m, nn.Conv2d)]
    assert sizes == [(3, 3)] * 4 * (blocks - 1) + [(5, 5)] * 4


@torch.no_grad()
def test_every_block_sees_the_condition() -> None:
    flow, x, c = build(), maps(6, 3, 4), maps(4, 3, 4)
    assert not torch.allclose(flow(x, c)[0], flow(x, -c)[0])
    widths = [m.in_channels for m in flow.modules() if isinstance(m, nn.Conv2d)][::2]
    assert widths == [3 + 4] * 8


def permutations(flow: ConditionalFlow) -> list[list[int]]:
    return [value.tolist() for key, value in flow.state_dict().items() if key.endswith("perm")]


def test_permutations_come_from_torch_s_seed_and_differ_between_blocks() -> None:
    first, again, other = (permutations(build(64, seed=seed)) for seed in (3, 3, 4))
    assert first == again
    assert len({tuple(permutation) for permutation in first + other}) == 8


def test_numpy_s_generator_is_left_alone() -> None:
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    build()
    assert np.random.random() == expected  # noqa: NPY002


@torch.no_grad()
def test_under_autocast_only_the_subnetworks_are_rounded() -> None:
    flow, x, c = build().float(), maps(6, 3, 4).float(), maps(4, 3, 4).float()
    with torch.autocast("cpu", torch.bfloat16):
        z, log_det = flow(x, c)
        back = flow.inverse(z, c)
    assert z.dtype == log_det.dtype == torch.float32
    torch.testing.assert_close(log_det, flow(x, c)[1], atol=0.1, rtol=0)
    torch.testing.assert_close(back, x, atol=0.02, rtol=0)
    start = ConditionalFlow(6, 4, blocks=4, hidden=8, clamp=3.0)
    with torch.autocast("cpu", torch.bfloat16):
        z, _ = start(x, c)
    assert torch.equal(z.sort(1).values, x.sort(1).values)
