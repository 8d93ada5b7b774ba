"""Simplex noise: zero at vertices, smooth, unbiased, within its range, and another function for another seed."""

from functools import cache

import pytest
import torch
from torch import Tensor

from methods.errors import MethodError
from methods.simplex import SimplexNoise


@cache
def noise(seed: int = 0) -> SimplexNoise:
    return SimplexNoise(torch.randperm(256, generator=torch.Generator().manual_seed(seed)))


@cache
def points(count: int = 5000) -> Tensor:
    return 50 * torch.randn(count, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_a_value_is_the_sum_of_the_bumps_of_all_vertices_around_it() -> None:
    """A loop over far more vertices than those that can reach the point, with the gradients written out."""
    permutation = noise().permutation.tolist()
    gradients = []
    for z in (1, -1):
        for y in (1, -1):
            for x in (-1, 1):
                gradients += [(11 * x, 4 * y, 4 * z), (4 * x, 11 * y, 4 * z), (4 * x, 4 * y, 11 * z)]
    for point in points()[:10].fmod(3).tolist():
        total = 0.0
        for i in range(-8, 9):
            for j in range(-8, 9):
                for k in range(-8, 9):
                    d = [p - v - (i + j + k) / 3 for p, v in zip(point, (i, j, k), strict=True)]
                    reach = 2 - sum(x * x for x in d)
                    if reach > 0:
                        hashed = permutation[(permutation[(permutation[i % 256] + j) % 256] + k) % 256]
                        total += reach**4 * sum(g * x for g, x in zip(gradients[hashed % 24], d, strict=True))
        assert noise().at(torch.tensor(point)).item() == pytest.approx(total / 103, abs=1e-6)


def test_values_are_within_their_range_and_unbiased() -> None:
    values = noise().at(points())
    assert values.abs().max() < 1
    assert values.abs().max() > 0.6
    assert abs(values.mean().item()) < 0.02
    assert 0.25 < values.std().item() < 0.35


def test_it_is_smooth() -> None:
    """A step of 1e-4 changes the value by a bounded slope, and twice the step by twice as much."""
    step = torch.tensor([1.0, -2.0, 2.0], dtype=torch.float64) / 3e4
    start, middle, end = (noise().at(points() + k * step) for k in range(3))
    assert (end - start).abs().max() < 4 * 2e-4
    assert (end - 2 * middle + start).abs().max() < 50 * 1e-8


def test_it_repeats_itself_after_256_vertices() -> None:
    vertex = torch.tensor([256 + 256 / 3, 256 / 3, 256 / 3], dtype=torch.float64)
    torch.testing.assert_close(noise().at(points(100) + vertex), noise().at(points(100)))


def test_seeds_give_other_functions_of_the_same_kind() -> None:
    first, second = noise(0).at(points()), noise(1).at(points())
    assert torch.equal(first, noise(0).at(points()))
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1].item()) < 0.05


def test_octaves_add_finer_and_weaker_noises() -> None:
    shape, period = (3, 5, 9), 8.0
    found = noise().octaves(shape, 3, 0.5, period)
    assert found.shape == shape
    assert found.dtype == torch.float32
    at = torch.tensor([7.0, 3.0, 2.0], dtype=torch.float64)  # column, row, depth
    expected = sum(0.5**k * noise().at(at * 2**k / period).item() for k in range(3))
    assert found[2, 3, 7].item() == pytest.approx(expected, rel=1e-6)
    assert found.abs().max() < sum(0.5**k for k in range(3))


def test_a_part_of_a_field_is_the_field_of_the_part() -> None:
    whole = noise().octaves((3, 31, 31), 6, 0.6, 32)
    assert torch.equal(noise().octaves((3, 12, 20), 6, 0.6, 32), whole[:, :12, :20])


@pytest.mark.parametrize("permutation", [torch.arange(255), torch.zeros(256, dtype=torch.long)])
def test_anything_but_a_permutation_is_refused(permutation: Tensor) -> None:
    with pytest.raises(MethodError, match=r"permutation: expected a permutation of 0\.\.255"):
        SimplexNoise(permutation)
