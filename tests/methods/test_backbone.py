"""The backbone: shapes, random weights, and features that neither training nor other draws can change."""

import copy
import math
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize
from torchvision.models import resnet

from datasets.batch import Normalisation
from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from methods.networks import PaddedConv2d
from tests.methods.samples import LAYERS, RESNETS, WIDTHS, random_backbone

EACH_RESNET = pytest.mark.parametrize("name", RESNETS)


def weights(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@EACH_RESNET
def test_layers_1_to_3_have_the_strides_4_8_16(name: str) -> None:
    with torch.device("meta"):
        features = random_backbone(name).new_student(LAYERS)(torch.empty(2, 3, 64, 96))
    assert {layer: tuple(value.shape) for layer, value in features.items()} == {
        "layer1": (2, 64 * WIDTHS[name], 16, 24),
        "layer2": (2, 128 * WIDTHS[name], 8, 12),
        "layer3": (2, 256 * WIDTHS[name], 4, 6),
    }


@EACH_RESNET
def test_channels_are_those_of_the_features(name: str) -> None:
    backbone = random_backbone(name)
    assert backbone.channels(["layer3", "layer1"]) == [256 * WIDTHS[name], 64 * WIDTHS[name]]


@EACH_RESNET
def test_features_are_those_of_torchvision_with_the_same_weights(name: str) -> None:
    teacher = random_backbone(name).teacher([*LAYERS, "layer4"])
    with torch.device("meta"):
        theirs = getattr(resnet, name)(num_classes=1).eval()
    state = {key.removeprefix("network."): value for key, value in teacher.state_dict().items()}
    theirs.fc = nn.Identity()
    theirs.load_state_dict(state, assign=True)
    x = image = torch.randn(1, 3, 64, 64)
    for step in ("conv1", "bn1", "relu", "maxpool", *LAYERS):
        x = getattr(theirs, step)(x)
        if step in LAYERS:
            torch.testing.assert_close(teacher(image)[step], x)


def test_the_stem_is_a_layer_after_its_relu() -> None:
    backbone = random_backbone("resnet18")
    assert backbone.teacher(["act1", "layer1"])(torch.randn(1, 3, 64, 64))["act1"].min() == 0
    assert backbone.new_student(["act1"])(torch.randn(1, 3, 64, 64))["act1"].shape == (1, 64, 32, 32)


def test_layers_may_be_named_in_any_order_and_twice() -> None:
    image = torch.randn(1, 3, 64, 64)
    expected = random_backbone("resnet18").teacher(LAYERS)(image)
    for layers in (["layer3", "layer1"], ["layer1", "layer3", "layer1"]):
        features = random_backbone("resnet18").teacher(layers)(image)
        assert set(features) == set(layers)
        for layer in layers:
            torch.testing.assert_close(features[layer], expected[layer])


def test_an_unknown_layer_is_answered_with_the_known_ones() -> None:
    known = "resnet18.tv_in1k: found no layer 'layer5'; known: act1, layer1, layer2, layer3, layer4"
    backbone = random_backbone("resnet18")
    for use in (backbone.channels, backbone.teacher, backbone.new_student):
        with pytest.raises(MethodError, match=known):
            use(["layer1", "layer5"])


def test_no_layer_at_all_is_refused() -> None:
    with pytest.raises(MethodError, match="found no layers; expected some of act1, layer1"):
        random_backbone("resnet18").teacher([])


def test_an_unknown_model_is_answered_with_near_ones() -> None:
    with pytest.raises(MethodError, match=r"backbone.name: found resnet_18; .*e.g. resnet18, "):
        FeatureBackbone("resnet_18")
    with pytest.raises(MethodError, match=r"backbone.name: found \?\?\?; expected a timm model"):
        FeatureBackbone("???")


def test_unknown_weights_of_a_known_model_are_answered_with_the_known_ones() -> None:
    with pytest.raises(MethodError, match=r"backbone.name: found resnet18.tv; .*resnet18.tv_in1k"):
        FeatureBackbone("resnet18.tv")


def test_a_model_may_be_named_without_its_weights() -> None:
    assert FeatureBackbone("resnet18", "random").channels(LAYERS) == [64, 128, 256]


@pytest.mark.parametrize(
    ("name", "strides", "layers"),
    [
        ("resnet18", (4, 8, 16), ("layer1", "layer2", "layer3")),
        ("resnet18", (16, 4), ("layer3", "layer1")),
        # the deepest of blocks.3 and blocks.4, both at stride 16
        ("tf_efficientnet_b5", (4, 8, 16, 32), ("blocks.1", "blocks.2", "blocks.4", "blocks.6")),
    ],
)
def test_layers_at_strides_are_the_deepest_ones(
    name: str, strides: tuple[int, ...], layers: tuple[str, ...]
) -> None:
    backbone = FeatureBackbone(name, "random")
    assert backbone.layers_at(strides) == layers
    assert backbone.strides(layers) == list(strides)


def test_a_stride_without_a_layer_is_answered_with_the_known_ones() -> None:
    known = r"act1 \(2\), layer1 \(4\), layer2 \(8\), layer3 \(16\), layer4 \(32\)"
    message = f"backbone.name: resnet18.tv_in1k has no layer at stride 64; its layers and strides: {known}"
    with pytest.raises(MethodError, match=message):
        random_backbone("resnet18").layers_at([4, 64])


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("resnet18.tv_in1k", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("tf_efficientnet_b5.aa_in1k", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("tf_efficientnet_b5.ap_in1k", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # other weights, other images
        ("vit_tiny_patch16_224", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ],
)
def test_the_normalisation_is_that_of_the_training_of_the_network(
    name: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    for weights in ("imagenet", "random", "a.pth"):
        assert FeatureBackbone(name, weights).normalisation == Normalisation(mean, std)


STAGES = [f"blocks.{i}" for i in range(7)]


def test_an_efficientnet_has_all_its_stages_as_layers() -> None:
    backbone = FeatureBackbone("tf_efficientnet_b5.aa_in1k", "random")
    assert list(backbone.layers) == STAGES
    with torch.device("meta"):
        features = backbone.new_student(STAGES)(torch.empty(1, 3, 768, 768))
    assert {layer: tuple(value.shape[1:]) for layer, value in features.items()} == {
        "blocks.0": (24, 384, 384),
        "blocks.1": (40, 192, 192),
        "blocks.2": (64, 96, 96),
        "blocks.3": (128, 48, 48),
        "blocks.4": (176, 48, 48),
        "blocks.5": (304, 24, 24),
        "blocks.6": (512, 24, 24),
    }


def test_blocks_5_of_efficientnet_b5_ends_with_block_35_counted_from_0() -> None:
    with torch.device("meta"):
        network: Any = FeatureBackbone("tf_efficientnet_b5").new_student(["blocks.5"]).network
    assert sum(len(stage) for stage in network.blocks) - 1 == 35
    assert set(dict(network.named_children())) == {"conv_stem", "bn1", "blocks"}


@torch.no_grad()
def test_features_of_an_efficientnet_are_those_of_timm_with_the_same_weights() -> None:
    teacher, image = (
        FeatureBackbone("tf_efficientnet_b0", "random").teacher(STAGES),
        torch.randn(2, 3, 64, 64),
    )
    features = teacher(image)
    with torch.device("meta"):
        theirs = timm.create_model("tf_efficientnet_b0", features_only=True).eval()
    state = {key.removeprefix("network."): value for key, value in teacher.state_dict().items()}
    theirs.load_state_dict(state, assign=True)
    names = [info["module"] for info in theirs.feature_info]
    assert names == ["blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6"]
    for name, expected in zip(names, theirs(image), strict=True):
        torch.testing.assert_close(features[name], expected)
    x = theirs.bn1(theirs.conv_stem(image))
    for name, stage in zip(STAGES, theirs.blocks, strict=True):
        x = stage(x)
        torch.testing.assert_close(features[name], x)


@torch.no_grad()
def test_stages_may_be_named_in_any_order_and_nothing_behind_the_deepest_is_computed() -> None:
    backbone, image = FeatureBackbone("tf_efficientnet_b0", "random"), torch.randn(1, 3, 64, 64)
    deep, shallow = backbone.new_student(["blocks.3", "blocks.1"]), backbone.new_student(["blocks.1"])
    assert list(deep(image)) == ["blocks.1", "blocks.3"]
    for network, last in ((deep, 3), (shallow, 1)):
        keys = network.state_dict()
        assert max(int(key.split(".")[2]) for key in keys if ".blocks." in key) == last


def test_padding_for_456_px_differs_from_that_of_768_px_in_two_convolutions_of_b5() -> None:
    """The released code of AST pads so with `efficientnet_pytorch` from 0.7 on."""
    with torch.device("meta"):
        found = [
            FeatureBackbone("tf_efficientnet_b5", padding_side=side).new_student(["blocks.5"])
            for side in (456, 768)
        ]
    ours, own = (
        {name: m.sides for name, m in network.named_modules() if isinstance(m, PaddedConv2d)}
        for network in found
    )
    assert {name: (own[name][::2], ours[name][::2]) for name in own if own[name] != ours[name]} == {
        "network.blocks.3.0.conv_dw": ((0, 0), (1, 1)),
        "network.blocks.5.0.conv_dw": ((1, 1), (2, 2)),
    }


@torch.no_grad()
def test_padding_for_the_true_size_changes_nothing_and_for_another_shifts_the_features() -> None:
    image = interpolate(torch.randn(1, 3, 8, 8), (64, 64), mode="bilinear")
    plain, same, other = (
        FeatureBackbone("tf_efficientnet_b0", "random", padding_side=side) for side in (None, 64, 57)
    )
    other.teacher(STAGES).load_state_dict(plain.teacher(STAGES).state_dict())
    expected, found, shifted = (each.teacher(STAGES)(image) for each in (plain, same, other))
    assert len({each.digest(STAGES) for each in (plain, same, other)}) == 1
    assert len({each.identity(STAGES) for each in (plain, same, other)}) == 3
    for stage in STAGES:
        assert torch.equal(found[stage], expected[stage])
        assert shifted[stage].shape == expected[stage].shape
    assert not torch.allclose(shifted["blocks.5"], expected["blocks.5"], rtol=0.1)


@pytest.mark.parametrize(
    ("side", "message"),
    [(456, "found 456, but no convolution of resnet18 pads by the size"), (0, "found 0; expected 1 to 8192")],
)
def test_padding_of_a_network_that_has_none_by_size_is_refused(side: int, message: str) -> None:
    with pytest.raises(MethodError, match=rf"backbone\.padding_side: {message}"):
        FeatureBackbone("resnet18", "random", padding_side=side).teacher(LAYERS)


def test_an_unknown_stage_is_answered_with_the_known_ones() -> None:
    with pytest.raises(MethodError, match=r"no layer 'blocks.7'; known: blocks.0, .*, blocks.6"):
        FeatureBackbone("tf_efficientnet_b0").channels(["blocks.7"])


@torch.no_grad()
def test_random_features_of_an_efficientnet_neither_vanish_nor_explode() -> None:
    # smooth images, as BatchNorm was calibrated on smooth noise
    image = interpolate(torch.randn(2, 3, 8, 8), (64, 64), mode="bilinear")
    for value in FeatureBackbone("tf_efficientnet_b0", "random").teacher(STAGES)(image).values():
        assert 0.1 < value.std() < 10


def test_random_weights_are_those_of_their_seed() -> None:
    first, again = (FeatureBackbone("resnet18", "random", seed=3) for _ in range(2))
    other = FeatureBackbone("resnet18", "random", seed=4)
    assert first.identity(LAYERS) == again.identity(LAYERS)
    assert first.identity(LAYERS) != other.identity(LAYERS)


def test_random_weights_and_the_global_generator_leave_each_other_alone() -> None:
    identities = set()
    for seed in range(2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        identities.add(FeatureBackbone("resnet18", "random").identity(LAYERS))
        assert torch.equal(torch.get_rng_state(), before)
    assert len(identities) == 1


def test_a_student_of_the_same_seed_does_not_start_as_its_teachers_copy() -> None:
    torch.manual_seed(0)
    student = random_backbone("resnet18").new_student(LAYERS).state_dict()
    teacher = random_backbone("resnet18").teacher(LAYERS).state_dict()
    assert not any(torch.equal(student[key], teacher[key]) for key in student if student[key].ndim == 4)


def test_random_weights_do_not_reseed_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    FeatureBackbone("resnet18", "random").teacher(["layer1"])
    assert seeds == []


def mean_cosine(features: Tensor) -> float:
    """Mean over all pairs of locations, of all images."""
    unit = normalize(features, dim=1).transpose(0, 1).flatten(1)
    count = unit.shape[1]
    return float(((unit.T @ unit).sum() - count) / (count * (count - 1)))


@pytest.mark.parametrize("layer", LAYERS)
@torch.no_grad()
def test_random_features_of_different_places_differ(layer: str) -> None:
    # With BatchNorm's initial statistics they all point almost the same way.
    backbone, image = random_backbone("resnet18"), torch.randn(2, 3, 64, 64)
    calibrated = mean_cosine(backbone.teacher([layer])(image)[layer])
    initial = mean_cosine(backbone.new_student([layer]).eval()(image)[layer])
    assert calibrated < initial - 0.1


@torch.no_grad()
def test_random_features_neither_vanish_nor_explode() -> None:
    for value in random_backbone("resnet18").teacher(LAYERS)(torch.randn(2, 3, 64, 64)).values():
        assert 0.1 < value.std() < 10


def test_the_teacher_is_frozen_and_in_evaluation_mode() -> None:
    teacher = FeatureBackbone("resnet18", "random").teacher(LAYERS)
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_features_do_not_depend_on_the_rest_of_the_batch() -> None:
    teacher, images = random_backbone("resnet18").teacher(LAYERS), torch.randn(3, 3, 64, 64)
    before = copy.deepcopy(teacher.state_dict())
    together, alone = teacher(images), teacher(images[:1])
    for layer in LAYERS:
        torch.testing.assert_close(together[layer][:1], alone[layer], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(teacher.state_dict(), before, atol=0, rtol=0)


@EACH_RESNET
def test_a_new_student_starts_like_torchvisions_network(name: str) -> None:
    torch.manual_seed(0)
    for module in random_backbone(name).new_student(LAYERS).modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert not module.bias.any()
        elif isinstance(module, nn.Conv2d):
            assert module.bias is None
            fan_out = module.out_channels * math.prod(module.kernel_size)
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)


def test_new_students_differ_and_their_seed_repeats_them() -> None:
    torch.manual_seed(0)
    first, second = (weights(random_backbone("resnet18").new_student(LAYERS)) for _ in range(2))
    torch.manual_seed(0)
    again = weights(random_backbone("resnet18").new_student(LAYERS))
    assert not torch.equal(first, second)
    assert torch.equal(first, again)


def test_a_new_student_is_ready_to_be_trained() -> None:
    student = random_backbone("resnet18").new_student(LAYERS)
    assert all(module.training for module in student.modules())
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_random_weights_do_not_depend_on_the_number_of_threads() -> None:
    threads = torch.get_num_threads()
    digests = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        try:
            digests.append(FeatureBackbone("resnet18", "random").digest(["layer3"]))
            assert torch.get_num_threads() == count
        finally:
            torch.set_num_threads(threads)
    assert len(set(digests)) == 1
