"""Networks of every family of timm: their layers, and weights files as timm and the first authors write them."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import regnet_x_400mf

from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from methods.weights import SUITE
from tests.conftest import PROJECT_ROOT

State = Mapping[str, Tensor]
NAMES = [
    "convnext_atto",
    "vit_tiny_patch16_224",
    "mobilenetv3_small_100",
    "regnetx_002",
    "mobilenetv2_100",
    "densenet121",
    "resnet18",
    "pit_ti_224",  # timm hooks its layers
]
OF_ONE_SIZE = ["levit_128s", "swin_tiny_patch4_window7_224"]
EACH = pytest.mark.parametrize("name", NAMES)


@cache
def whole_state(name: str) -> dict[str, Tensor]:
    """Weights of the whole network, with statistics of BatchNorm that are not its initial ones."""
    torch.manual_seed(3)
    state = timm.create_model(name).state_dict()
    for key, value in state.items():
        if key.endswith("running_mean"):
            value.normal_(std=0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return state


def image_for(name: str) -> Tensor:
    fixed = timm.get_pretrained_cfg(name).fixed_input_size
    side = 224 if fixed else 64
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def features_of_timm(name: str, state: State) -> dict[str, Tensor]:
    """Features of timm's own network, into which timm itself loads the weights."""
    overlay = {"state_dict": dict(state)}
    network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, features_only=True)
    return dict(zip(network.feature_info.module_name(), network.eval()(image_for(name)), strict=True))


@torch.no_grad()
def features_of_file(name: str, path: Path) -> dict[str, Tensor]:
    backbone = FeatureBackbone(name, str(path))
    return backbone.teacher(backbone.layers)(image_for(name))


def stored(path: Path, state: Any) -> Path:
    torch.save(state, path)
    return path


@EACH
def test_a_file_of_timm_gives_the_features_of_timm(name: str, tmp_path: Path) -> None:
    state = whole_state(name)
    save_file(state, tmp_path / "a.safetensors")
    expected = features_of_timm(name, state)
    for path in (tmp_path / "a.safetensors", stored(tmp_path / "a.pth", state)):
        features = features_of_file(name, path)
        for layer, value in expected.items():
            torch.testing.assert_close(features[layer], value, atol=0, rtol=0)


@pytest.mark.parametrize("name", NAMES + OF_ONE_SIZE)
@torch.no_grad()
def test_random_features_have_the_stated_channels_and_strides(name: str) -> None:
    backbone, image = FeatureBackbone(name, "random"), image_for(name)
    features = backbone.teacher(backbone.layers)(image)
    assert list(features) == list(backbone.layers)
    assert [value.shape[1] for value in features.values()] == backbone.channels(backbone.layers)
    # sides are rounded up where the image is no multiple of the stride, or down without padding
    for value, stride in zip(features.values(), backbone.strides(backbone.layers), strict=True):
        assert value.shape[2] == value.shape[3]
        assert abs(value.shape[2] - image.shape[2] / stride) <= 1
        assert value.isfinite().all()
        assert value.std() > 0


@pytest.mark.parametrize(
    "name", ["legacy_seresnet18", "nf_resnet26", "tf_efficientnet_b5.aa_in1k", "mixnet_s"]
)
def test_other_families_can_be_used(name: str) -> None:
    backbone = FeatureBackbone(name, "random")
    with torch.device("meta"):
        features = backbone.new_student(backbone.layers)(torch.empty(2, 3, 64, 64))
    assert [value.shape[1] for value in features.values()] == backbone.channels(backbone.layers)


@torch.no_grad()
def test_channels_come_first_where_timm_puts_them_last() -> None:
    backbone, image = FeatureBackbone("swin_tiny_patch4_window7_224", "random"), torch.randn(1, 3, 224, 224)
    teacher = backbone.teacher(["layers.0"])
    (value,) = teacher.network(image)
    assert value.shape == (1, 56, 56, 96)
    torch.testing.assert_close(teacher(image)["layers.0"], value.movedim(3, 1), atol=0, rtol=0)


@pytest.mark.parametrize("name", OF_ONE_SIZE)
def test_a_network_of_one_image_size_says_so(name: str) -> None:
    backbone = FeatureBackbone(name, "random")
    for network in (backbone.teacher(backbone.layers), backbone.new_student(backbone.layers)):
        with pytest.raises(MethodError, match=r"image_size: found 256 x 224; expected 224, the only size"):
            network(torch.randn(1, 3, 256, 224))


@torch.no_grad()
def test_a_vision_transformer_takes_multiples_of_its_patches() -> None:
    backbone = FeatureBackbone("vit_tiny_patch16_224", "random")
    teacher = backbone.teacher(["blocks.1"])
    assert teacher(torch.randn(1, 3, 64, 96))["blocks.1"].shape == (1, 192, 4, 6)
    with pytest.raises(MethodError, match=r"image_size: found 64 x 100; .*divisible by patch size \(16\)"):
        teacher(torch.randn(1, 3, 64, 100))


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("convnext_atto", ("stages.0", "stages.1", "stages.2")),
        ("swin_tiny_patch4_window7_224", ("layers.0", "layers.1", "layers.2")),
        ("densenet121", ("features.denseblock1", "features.denseblock2", "features.denseblock3")),
        ("mobilenetv2_100", ("blocks.1", "blocks.2", "blocks.4")),
        ("regnetx_002", ("s1", "s2", "s3")),
    ],
)
def test_the_pyramid_is_the_deepest_layer_of_strides_4_8_and_16(name: str, layers: tuple[str, ...]) -> None:
    backbone = FeatureBackbone(name, "random")
    assert backbone.pyramid == layers
    assert backbone.strides(layers) == [4, 8, 16]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("vit_tiny_patch16_224", r"no layer at stride 4; its layers and strides: blocks.0 \(16\), "),
        ("levit_128s", r"no layer at stride 4; its layers and strides: stages.0 \(16\), "),
    ],
)
def test_a_network_without_a_pyramid_says_what_it_has(name: str, problem: str) -> None:
    with pytest.raises(MethodError, match=problem):
        print(FeatureBackbone(name, "random").pyramid)


@pytest.mark.parametrize("name", ["crossvit_9_240", "coat_tiny", "tresnet_m"])
def test_a_network_without_features_by_layer_is_refused(name: str) -> None:
    message = f"backbone.name: timm gives the features of {name} no distinct layer names: '"
    for use in (lambda b: b.layers, lambda b: b.pyramid, lambda b: b.teacher(["x"])):
        with pytest.raises(MethodError, match=message):
            use(FeatureBackbone(name, "random"))


def test_an_efficientnet_is_read_up_to_its_deepest_stage(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = timm.create_model("tf_efficientnet_b0").eval()
    state = network.state_dict()
    path, image = stored(tmp_path / "full.pth", state), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = network.blocks[:4](network.bn1(network.conv_stem(image)))
        features = FeatureBackbone("tf_efficientnet_b0", str(path)).teacher(["blocks.3"])(image)
    torch.testing.assert_close(features["blocks.3"], expected)
    kept = ("conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2", "blocks.3")
    stored(tmp_path / "part.pth", {key: value for key, value in state.items() if key.startswith(kept)})
    files = (FeatureBackbone("tf_efficientnet_b0", str(tmp_path / name)) for name in ("full.pth", "part.pth"))
    assert len({backbone.identity(["blocks.3"]) for backbone in files}) == 1
    with pytest.raises(MethodError, match=r"the file lacks \d+ entries, e.g. blocks.4"):
        FeatureBackbone("tf_efficientnet_b0", str(tmp_path / "part.pth")).teacher(["blocks.4"])


def facebooks_names(state: State) -> dict[str, Tensor]:
    """A ConvNeXt by the names and shapes of its authors, whose pointwise convolutions are linear layers."""
    renamed = {}
    for key, value in state.items():
        key = re.sub(r"stages\.(\d)\.blocks\.", r"stages.\1.", key)
        key = re.sub(r"stages\.(\d)\.downsample\.", r"downsample_layers.\1.", key)
        key = re.sub(r"^stem\.", "downsample_layers.0.", key)
        key = key.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        key = key.replace("head.norm.", "norm.").replace("head.fc.", "head.")
        renamed[key] = value.flatten(1) if "pwconv" in key and value.ndim == 4 else value
    return renamed


@pytest.mark.parametrize("prefix", ["", "module.", "module.encoder."])
def test_a_convnext_by_the_names_of_its_authors(prefix: str, tmp_path: Path) -> None:
    state = whole_state("convnext_atto")
    theirs = {prefix + key: value for key, value in facebooks_names(state).items()}
    assert not {key.removeprefix(prefix) for key in theirs} <= state.keys()
    features = features_of_file("convnext_atto", stored(tmp_path / "a.pth", {"model": theirs}))
    for layer, value in features_of_timm("convnext_atto", state).items():
        torch.testing.assert_close(features[layer], value, atol=0, rtol=0)


@torch.no_grad()
def test_a_regnet_of_torchvision(tmp_path: Path) -> None:
    torch.manual_seed(3)
    theirs, image = regnet_x_400mf().eval(), image_for("regnetx_004_tv")
    features = features_of_file("regnetx_004_tv", stored(tmp_path / "a.pth", theirs.state_dict()))
    x = theirs.stem(image)
    for layer, block in zip(("s1", "s2", "s3", "s4"), theirs.trunk_output.children(), strict=True):
        x = block(x)
        torch.testing.assert_close(features[layer], x)


def test_a_vision_transformer_without_its_classifier(tmp_path: Path) -> None:
    state = {k: v for k, v in whole_state("vit_tiny_patch16_224").items() if not k.startswith("head.")}
    features = features_of_file("vit_tiny_patch16_224", stored(tmp_path / "a.pth", state))
    assert len(features) == 12


def error_of(name: str, path: Path) -> str:
    with pytest.raises(MethodError) as caught:
        features_of_file(name, path)
    return str(caught.value)


def test_weights_are_not_resampled_for_another_image_size(tmp_path: Path) -> None:
    # the filters of timm would resample them
    state = whole_state("vit_tiny_patch16_224") | {"pos_embed": torch.randn(1, 577, 192)}
    for change in (state, {f"module.{key}": value for key, value in state.items()}):
        message = error_of("vit_tiny_patch16_224", stored(tmp_path / "a.pth", change))
        assert "the file has other shapes for 1 entries, e.g. pos_embed" in message


def test_entries_that_are_missing_by_other_names_are_reported(tmp_path: Path) -> None:
    theirs = facebooks_names(whole_state("convnext_atto"))
    del theirs["stages.3.1.pwconv1.weight"]
    message = error_of("convnext_atto", stored(tmp_path / "a.pth", theirs))
    assert "the file lacks 1 entries, e.g. stages.3.blocks.1.mlp.fc1.weight" in message


@pytest.mark.parametrize(
    "name", ["convnext_atto", "edgenext_xx_small", "vit_tiny_patch16_224", "regnetx_002"]
)
def test_weights_of_another_family_are_refused_by_the_usual_error(name: str, tmp_path: Path) -> None:
    # some filters raise an error for them
    message = error_of(name, stored(tmp_path / "a.pth", whole_state("resnet18")))
    assert f"not the weights of {name}: the file lacks" in message
    assert message.endswith("it fits resnet18: backbone=resnet18 sets one network for all methods")


@pytest.mark.parametrize("classes", [2, 1000])
@pytest.mark.parametrize("option", SUITE)
def test_weights_of_another_network_name_the_one_that_they_fit(
    tmp_path: Path, option: str, classes: int
) -> None:
    with torch.device("meta"):
        state = timm.create_model(SUITE[option], num_classes=classes).state_dict()
    state = {key: torch.zeros((), dtype=value.dtype).expand(value.shape) for key, value in state.items()}
    path = stored(tmp_path / "a.pth", {f"module.{key}": value for key, value in state.items()})
    other = "resnet34.tv_in1k" if option == "resnet18" else "resnet18.tv_in1k"
    message = error_of(other, path)
    assert f"backbone.weights={path}: not the weights of {other}: the file " in message
    assert message.endswith(f"; it fits {option}: backbone={option} sets one network for all methods")


def test_weights_that_fit_no_network_of_the_suite_name_the_option(tmp_path: Path) -> None:
    message = error_of("resnet18", stored(tmp_path / "a.pth", whole_state("convnext_atto")))
    assert message.endswith("; backbone=<network> sets one network for all methods")


def test_the_networks_that_errors_name_are_those_of_the_configuration() -> None:
    files = (PROJECT_ROOT / "conf/backbone").glob("*.yaml")
    names = {path.stem: yaml.safe_load(path.read_text())["name"].partition(".")[0] for path in files}
    assert names == SUITE
