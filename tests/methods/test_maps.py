"""Distances, products and blurs equal their formulas and scipy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import cosine_similarity

from methods.errors import MethodError
from methods.maps import (
    cosine_distance,
    flattened_distance,
    gaussian_blur,
    multiply,
    normalised,
    resize_map,
    squared_distance,
)

Pair = tuple[torch.Tensor, torch.Tensor]
Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

DISTANCES = pytest.mark.parametrize(
    ("distance", "largest"), [(squared_distance, 4), (cosine_distance, 2)], ids=["squared", "cosine"]
)


@pytest.fixture
def features() -> Pair:
    torch.manual_seed(0)
    return torch.randn(2, 8, 5, 7), torch.randn(2, 8, 5, 7)


def test_cosine_distance_equals_numpy(features: Pair) -> None:
    a, b = (f.double().numpy() for f in features)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(cosine_distance(*features), 1 - cosine, atol=1e-6)


def test_squared_distance_is_twice_the_cosine_distance(features: Pair) -> None:
    torch.testing.assert_close(squared_distance(*features), 2 * cosine_distance(*features))


@DISTANCES
def test_distance_ignores_positive_factors(distance: Distance, largest: int, features: Pair) -> None:
    a, _ = features
    assert distance(a, 3.7 * a).abs().max() < 1e-6


@DISTANCES
def test_distance_of_opposite_features_is_the_largest(
    distance: Distance, largest: int, features: Pair
) -> None:
    a, b = features
    torch.testing.assert_close(distance(a, -a), torch.full((2, 5, 7), float(largest)))
    assert distance(a, b).min() >= 0
    assert distance(a, b).max() <= largest


@DISTANCES
def test_distance_of_features_without_direction_is_finite(
    distance: Distance, largest: int, features: Pair
) -> None:
    a, _ = features
    assert distance(a, torch.zeros_like(a)).isfinite().all()


@DISTANCES
def test_distance_is_float32_for_features_of_half_precision(
    distance: Distance, largest: int, features: Pair
) -> None:
    a, b = features
    low = distance(a.bfloat16(), b.bfloat16())
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, distance(a, b), atol=0.05, rtol=0)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0, 4.0, 7.3])
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (8, 8), (33, 20), (64, 64)], ids=str)
def test_blur_equals_scipy(size: tuple[int, int], sigma: float) -> None:
    maps = np.random.default_rng(0).random((2, *size))
    expected = np.stack([gaussian_filter(image, sigma) for image in maps])
    np.testing.assert_allclose(gaussian_blur(torch.from_numpy(maps), sigma), expected, atol=1e-12)
    single = gaussian_blur(torch.from_numpy(maps).float(), sigma)
    np.testing.assert_allclose(single, expected, atol=1e-6)


def test_blur_keeps_its_precision_under_autocast() -> None:
    # In bfloat16 a map has 256 levels per octave: most of its ranks would be ties.
    maps = torch.rand(1, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        blurred = gaussian_blur(maps, 2.0)
    torch.testing.assert_close(blurred, gaussian_blur(maps, 2.0), atol=0, rtol=0)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(3, 5), (4, 4), (19, 64)], ids=str)
def test_resize_gives_the_size_and_keeps_constants(size: tuple[int, int], align_corners: bool) -> None:
    resized = resize_map(torch.full((2, 4, 4), 0.3), size, align_corners)
    torch.testing.assert_close(resized, torch.full((2, *size), 0.3))


def test_resize_to_the_same_size_changes_nothing() -> None:
    maps = torch.rand(2, 6, 9)
    torch.testing.assert_close(resize_map(maps, (6, 9)), maps)


def test_resize_with_aligned_corners_keeps_the_corners() -> None:
    maps = torch.rand(1, 4, 4)
    resized = resize_map(maps, (13, 13), align_corners=True)
    torch.testing.assert_close(resized[:, ::12, ::12], maps[:, ::3, ::3])
    torch.testing.assert_close(resized[:, ::4, ::4], maps)


def test_multiply_is_the_elementwise_product_of_any_iterable() -> None:
    maps = [torch.rand(2, 3, 4) for _ in range(3)]
    expected = [
        [[math.prod(float(m[b, y, x]) for m in maps) for x in range(4)] for y in range(3)] for b in range(2)
    ]
    torch.testing.assert_close(multiply(m for m in maps), torch.tensor(expected))


def squared_formula(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    return (normalised(teacher) - normalised(student)).square().sum(-3)


def cosine_formula(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    return 1 - cosine_similarity(teacher.float(), student.float(), dim=1)


def flattened_formula(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    return 1 - cosine_similarity(teacher.float().flatten(1), student.float().flatten(1), dim=1)


FORMULAS = pytest.mark.parametrize(
    ("distance", "formula"),
    [
        (squared_distance, squared_formula),
        (cosine_distance, cosine_formula),
        (flattened_distance, flattened_formula),
    ],
    ids=["squared", "cosine", "flattened"],
)


@FORMULAS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_distances_and_their_gradients_are_those_of_their_formulas(
    distance: Distance, formula: Distance, dtype: torch.dtype, layout: torch.memory_format, features: Pair
) -> None:
    teacher, values = (f.to(dtype, memory_format=layout) for f in features)
    teacher[0, :, 0, 0] = 0  # no direction
    weights, found = torch.rand(2, 5, 7), []
    for function in (distance, formula):
        student = values.clone().requires_grad_()
        each = function(teacher, student)
        (each * (weights if each.ndim == 3 else weights[:, 0, 0])).sum().backward()
        assert student.grad is not None
        assert student.grad.dtype == dtype
        found.append((each, student.grad))
    torch.testing.assert_close(found[0][0], found[1][0])
    atol, rtol = (1e-6, 1e-5) if dtype is torch.float32 else (1e-3, 1e-2)
    torch.testing.assert_close(found[0][1], found[1][1], atol=atol, rtol=rtol)


@FORMULAS
def test_a_batch_in_chunks_has_the_same_distances_and_gradients(
    distance: Distance, formula: Distance, features: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, values = (f.repeat(3, 1, 1, 1)[:5] for f in features)
    found = []
    for chunk in (2**20, 2 * values[0].numel(), 1):  # all five at once, two at a time, one
        monkeypatch.setattr("methods.maps.CHUNK", chunk)
        student = values.clone().requires_grad_()
        each = distance(teacher, student)
        each.sum().backward()
        assert student.grad is not None
        found.append((each, student.grad))
    for each, gradient in found[1:]:
        assert torch.equal(each, found[0][0])
        assert torch.equal(gradient, found[0][1])
    torch.testing.assert_close(found[0][0], formula(teacher, values))


def test_several_students_are_compared_with_one_teacher(features: Pair) -> None:
    teacher, _ = features
    students = torch.randn(2, 3, 8, 5, 7, requires_grad=True)
    together = squared_distance(teacher[:, None], students)
    together.mean().backward()
    assert students.grad is not None
    apart = torch.stack([squared_distance(teacher, students[:, i]) for i in range(3)], 1)
    torch.testing.assert_close(together, apart)
    (gradient,) = torch.autograd.grad(apart.mean(), students)
    torch.testing.assert_close(students.grad, gradient)


@FORMULAS
def test_a_student_without_direction_gets_the_gradient_of_the_formula(
    distance: Distance, formula: Distance, features: Pair
) -> None:
    gradients = []
    for function in (distance, formula):
        student = torch.zeros_like(features[0]).requires_grad_()
        function(features[0], student).sum().backward()
        gradients.append(student.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


@FORMULAS
def test_a_teacher_with_gradients_is_refused(distance: Distance, formula: Distance, features: Pair) -> None:
    with pytest.raises(MethodError, match="expected detached features"):
        distance(features[0].requires_grad_(), features[1])
