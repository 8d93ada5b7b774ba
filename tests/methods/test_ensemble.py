"""Ensembles: outputs of independent networks, stacked; mean error e and variance v."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from methods.ensemble import Ensemble, check_students, error_and_variance
from methods.errors import MethodError
from methods.patches import PatchNetwork
from tests.methods.samples import LAYERS, random_backbone

COUNT = 3
Build = Callable[[], nn.Module]


def plain() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4))


NETWORKS: dict[str, tuple[Build, dict[str, Any]]] = {
    "plain": (plain, {}),
    "resnet18": (partial(random_backbone().new_student, LAYERS, channels=(4, 8, 8, 8)), {}),
    "patches": (partial(PatchNetwork, 33), {"dense": True}),
}


def images() -> Tensor:
    return torch.randn(2, 3, 34, 34, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("build", "options"), NETWORKS.values(), ids=NETWORKS)
@torch.no_grad()
def test_outputs_are_those_of_networks_drawn_one_after_the_other(
    build: Build, options: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    expected = [build()(images(), **options) for _ in range(COUNT)]
    torch.manual_seed(0)
    outputs = Ensemble(build, COUNT)(images(), **options)
    if isinstance(outputs, Tensor):
        outputs, expected = {"": outputs}, [{"": output} for output in expected]
    assert list(outputs) == list(expected[0])
    for layer, output in outputs.items():
        assert torch.equal(output, torch.stack([e[layer] for e in expected], 1))
        assert not torch.equal(output[:, 0], output[:, 1])


@torch.no_grad()
def test_an_ensemble_of_one_is_its_network() -> None:
    torch.manual_seed(0)
    ensemble = Ensemble(plain, 1)
    torch.manual_seed(0)
    assert torch.equal(ensemble(images()), plain()(images())[:, None])


def test_e_and_v_follow_their_equations() -> None:
    outputs = np.random.default_rng(0).normal(size=(2, 3, 5, 4, 6))
    target = np.random.default_rng(1).normal(size=(2, 5, 4, 6))
    mean = outputs.mean(1)
    e, v = (
        value.numpy() for value in error_and_variance(torch.from_numpy(target), torch.from_numpy(outputs))
    )
    # eq. 8, which halves it; eq. 4; eq. 7; and their sum
    np.testing.assert_allclose(e, np.linalg.norm(target - mean, axis=1) ** 2)
    np.testing.assert_allclose(
        v, (np.linalg.norm(outputs, axis=2) ** 2).mean(1) - np.linalg.norm(mean, axis=1) ** 2
    )
    np.testing.assert_allclose(v, np.linalg.norm(outputs.std(axis=1), axis=1) ** 2)
    np.testing.assert_allclose(e + v, ((outputs - target[:, None]) ** 2).sum(2).mean(1))


def test_e_and_v_of_a_location_by_hand() -> None:
    target = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    students = torch.tensor([[0.0, 1.0], [0.0, 3.0]]).view(1, 2, 2, 1, 1)
    e, v = error_and_variance(target, students)
    assert (e.item(), v.item()) == (5.0, 1.0)


def test_students_who_agree_have_no_variance() -> None:
    agreed = torch.randn(2, 1, 64, 5, 5, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1, -1)
    _, v = error_and_variance(torch.zeros(2, 64, 5, 5), agreed)
    assert v.max() < 1e-12


@pytest.mark.parametrize("score", ["e", "v", "e+v"])
def test_without_students_there_is_no_score(score: str) -> None:
    with pytest.raises(MethodError, match=r"method\.students: found 0; expected 1 to 100"):
        check_students(0, score)
    check_students(2, score)


@pytest.mark.parametrize("score", ["v", "e+v"])
def test_one_student_has_no_variance(score: str) -> None:
    with pytest.raises(
        MethodError,
        match=r"method\.students: found 1; expected 2 or more with method\.score=.*, or method\.score=e",
    ):
        check_students(1, score)
    check_students(1, "e")
