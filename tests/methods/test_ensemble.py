"""Ensembles: grouped networks are the separate ones in outputs, gradients and training; e and v."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from methods.backbone import FeatureBackbone
from methods.ensemble import Ensemble, check_students, error_and_variance, group
from methods.errors import MethodError
from methods.patches import PatchNetwork
from tests.methods.samples import LAYERS, random_backbone

COUNT = 3
Build = Callable[[], nn.Module]
Form = Literal["separate", "grouped"]
FORMS: tuple[Form, ...] = ("separate", "grouped")


def plain() -> nn.Sequential:
    """Return convolutions with biases, one without, BatchNorm and pools."""
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 5), nn.LeakyReLU(5e-3), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, bias=False)),
        *(nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 4, 2, dilation=2)),
    )


def thin(name: str, layers: list[str]) -> Build:
    """Return what builds the network with stages of few channels, for speed."""
    return partial(random_backbone(name).untrained_copy, layers, channels=(4, 8, 8, 8))


NETWORKS: dict[str, tuple[Build, dict[str, Any]]] = {
    "plain": (plain, {}),
    "resnet18": (thin("resnet18", LAYERS), {}),
    "resnet50": (thin("resnet50", LAYERS[:1]), {}),
    "patches": (partial(PatchNetwork, 33), {"dense": False}),
}
EACH_NETWORK = pytest.mark.parametrize(("build", "options"), NETWORKS.values(), ids=NETWORKS)


def make(build: Build, form: Form, count: int = COUNT) -> Ensemble:
    """Return an ensemble in double precision, so that rounding stays far below any mistake."""
    torch.manual_seed(0)
    return Ensemble(build, count, form).double()


def images(seed: int = 0) -> Tensor:
    return torch.randn(2, 3, 34, 34, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def outputs(ensemble: Ensemble, image: Tensor, options: dict[str, Any]) -> list[Tensor]:
    found = ensemble(image, **options)
    return [found] if isinstance(found, Tensor) else list(found.values())


def members(
    ensemble: Ensemble, tensors: Callable[[nn.Module], Iterator[tuple[str, Tensor]]]
) -> dict[str, Tensor]:
    """Return the tensors of each network, (M, ...), whichever form holds them."""
    each = [dict(tensors(network)) for network in ensemble.networks]
    if len(each) == COUNT:
        return {name: torch.stack([tensors[name] for tensors in each]) for name in each[0]}
    return {
        name: torch.stack(value.chunk(COUNT)) if value.ndim else value.expand(COUNT)
        for name, value in each[0].items()
    }


def state(ensemble: Ensemble) -> dict[str, Tensor]:
    return members(ensemble, lambda network: iter(network.state_dict().items()))


def gradients(ensemble: Ensemble) -> dict[str, Tensor]:
    def of(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None
            yield name, parameter.grad

    return members(ensemble, of)


def loss_of(ensemble: Ensemble, image: Tensor, options: dict[str, Any]) -> Tensor:
    """Ask every student for the same values, which are none of theirs."""
    found = outputs(ensemble, image, options)
    return torch.stack([(output - 1).square().mean() for output in found]).sum()


@pytest.mark.parametrize("form", FORMS)
@EACH_NETWORK
@torch.no_grad()
def test_outputs_are_those_of_networks_drawn_one_after_the_other(
    build: Build, options: dict[str, Any], form: Form
) -> None:
    torch.manual_seed(0)
    networks = [build().double() for _ in range(COUNT)]
    expected = [network(images(), **options) for network in networks]
    found = make(build, form)(images(), **options)
    if isinstance(found, Tensor):
        found, expected = {"": found}, [{"": output} for output in expected]
    assert list(found) == list(expected[0])
    for layer, output in found.items():
        torch.testing.assert_close(output, torch.stack([e[layer] for e in expected], 1))
        assert not torch.equal(output[:, 0], output[:, 1])


@torch.no_grad()
def test_grouped_patch_networks_describe_every_pixel_as_separate_ones() -> None:
    separate, grouped = (make(partial(PatchNetwork, 33), form)(images()[:1], dense=True) for form in FORMS)
    assert separate.shape == (1, COUNT, 128, 2, 2)
    torch.testing.assert_close(grouped, separate)


@torch.no_grad()
def test_grouped_equals_separate_in_single_precision_and_full_size() -> None:
    build = partial(random_backbone().untrained_copy, LAYERS)
    separate, grouped = (make(build, form).float() for form in FORMS)
    for training in (False, True):
        pairs = (outputs(e.train(training), images().float(), {}) for e in (separate, grouped))
        for expected, found in zip(*pairs, strict=True):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@EACH_NETWORK
def test_grouped_has_the_gradients_and_running_statistics_of_separate(
    build: Build, options: dict[str, Any]
) -> None:
    separate, grouped = (make(build, form).train() for form in FORMS)
    for ensemble in (separate, grouped):
        loss_of(ensemble, images(), options).backward()
    torch.testing.assert_close(gradients(grouped), gradients(separate))
    torch.testing.assert_close(state(grouped), state(separate))


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=1e-4),
        partial(torch.optim.Adam, lr=1e-3, weight_decay=1e-5),
    ],
    ids=["SGD", "Adam"],
)
@pytest.mark.parametrize("name", ["plain", "resnet18"])
def test_grouped_trains_as_separate(name: str, optimizer: Callable[..., torch.optim.Optimizer]) -> None:
    build, options = NETWORKS[name]
    separate, grouped = (make(build, form).train() for form in FORMS)
    start = state(separate)
    for ensemble in (separate, grouped):
        steps = optimizer(ensemble.parameters())
        for seed in range(3):
            loss = loss_of(ensemble, images(seed), options)
            steps.zero_grad()
            loss.backward()
            steps.step()
    torch.testing.assert_close(state(grouped), state(separate), atol=1e-6, rtol=1e-6)
    assert all(not torch.equal(value, start[name]) for name, value in state(separate).items())
    with torch.no_grad():
        pairs = zip(*(outputs(e.eval(), images(9), options) for e in (separate, grouped)), strict=True)
        for expected, found in pairs:
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_grouping_leaves_the_networks_alone_and_tells_how_wide_it_is() -> None:
    networks = [plain() for _ in range(COUNT)]
    before = [{k: v.clone() for k, v in network.state_dict().items()} for network in networks]
    merged: Any = group(networks)
    with torch.no_grad():
        for parameter in merged.parameters():
            parameter.zero_()
    torch.testing.assert_close([dict(n.state_dict()) for n in networks], before, atol=0, rtol=0)
    shapes = [(c.in_channels, c.out_channels, c.groups) for c in merged if isinstance(c, nn.Conv2d)]
    assert shapes == [(3, 18, 1), (18, 24, COUNT), (24, 12, COUNT)]
    assert merged[4].num_features == 24


def test_weights_that_do_not_learn_stay_so() -> None:
    network = plain()
    network[0].requires_grad_(False)
    merged: Any = group([network, plain()])
    assert [p.requires_grad for p in merged[0].parameters()] == [False, False]
    assert merged[3].weight.requires_grad


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_an_ensemble_of_one_is_its_network(form: Form) -> None:
    ensemble = make(plain, form, count=1)
    torch.manual_seed(0)
    torch.testing.assert_close(ensemble(images()), plain().double()(images())[:, None])


class WithScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))


@pytest.mark.parametrize(
    ("build", "culprit"),
    [
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(4, 4)), r"1 \(Linear\)"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(1, 4)), r"1 \(GroupNorm\)"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Softmax2d()), r"1 \(Softmax2d\)"),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, groups=2)),
            r"1 \(Conv2d\).*groups already",
        ),
        (WithScale, r"the network \(WithScale\)"),
        (partial(FeatureBackbone("densenet121", "random").untrained_copy, ["features.denseblock1"]), "Norm"),
        (partial(FeatureBackbone("convnext_atto", "random").untrained_copy, ["stages.0"]), "LayerNorm"),
    ],
    ids=["linear", "group norm", "softmax", "groups", "own weights", "densenet", "convnext"],
)
def test_what_cannot_be_merged_is_named_and_can_be_separate(build: Build, culprit: str) -> None:
    with pytest.raises(
        MethodError, match=rf"method\.ensemble=grouped: .*{culprit}.*ensemble=separate accepts any network"
    ):
        Ensemble(build, 2, "grouped")
    assert len(Ensemble(build, 2, "separate").networks) == 2


def test_any_network_can_be_in_a_separate_ensemble() -> None:
    ensemble = Ensemble(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)), 2)
    assert ensemble(images().float()).shape == (2, 2, 4, 32, 32)


def test_e_and_v_follow_their_equations() -> None:
    outputs = np.random.default_rng(0).normal(size=(2, 3, 5, 4, 6))
    target = np.random.default_rng(1).normal(size=(2, 5, 4, 6))
    mean = outputs.mean(1)
    e, v = (
        value.numpy() for value in error_and_variance(torch.from_numpy(target), torch.from_numpy(outputs))
    )
    # eq. 8, which halves it; eq. 4; eq. 7; and what the two add up to
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
    with pytest.raises(MethodError, match=r"method\.students=0: accepted: 1 or more"):
        check_students(0, score)
    check_students(2, score)


@pytest.mark.parametrize("score", ["v", "e+v"])
def test_one_student_has_no_variance(score: str) -> None:
    with pytest.raises(
        MethodError, match=r"method\.students=1: .*method\.score=.*2 or more, or method\.score=e"
    ):
        check_students(1, score)
    check_students(1, "e")
