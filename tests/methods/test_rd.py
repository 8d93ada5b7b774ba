"""Reverse distillation: its layout, its two losses, its map, and its errors."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from datasets.batch import Batch
from methods.errors import MethodError
from methods.rd import ReverseDistillation
from tests.methods.samples import (
    LAYERS,
    RESNETS,
    WIDTHS,
    batch_of,
    check_bfloat16,
    meta_batch,
    random_backbone,
)

EACH_RESNET = pytest.mark.parametrize("name", RESNETS)
EACH_OCBE = pytest.mark.parametrize("ocbe", ["mff_oce", "oce", "pre"])
Maps = NDArray[np.float64]


def build(**options: Any) -> ReverseDistillation:
    torch.manual_seed(1)
    return ReverseDistillation(
        random_backbone(), LAYERS, options.pop("score_layers", LAYERS), **options
    ).eval()


def build_meta(name: str, ocbe: Any = "mff_oce") -> ReverseDistillation:
    """Build the real layout without values."""
    with torch.device("meta"):
        return ReverseDistillation(random_backbone(name), LAYERS, LAYERS, ocbe)


def bottleneck_of(name: str, ocbe: str = "mff_oce") -> Any:
    return build_meta(name, ocbe).bottleneck


def decoder_stages_of(name: str) -> Any:
    return build_meta(name).decoder.stages


def convolutions(module: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


def shape(convolution: nn.Conv2d | nn.ConvTranspose2d) -> tuple[int, ...]:
    """Inputs, outputs, kernel side and stride."""
    (kernel, other), (stride, _) = convolution.kernel_size, convolution.stride
    assert kernel == other
    return convolution.in_channels, convolution.out_channels, kernel, stride


@pytest.fixture(scope="module")
def batch() -> Batch:
    return batch_of([*LAYERS, "layer4"])


@EACH_OCBE
@EACH_RESNET
def test_restored_features_have_the_shapes_of_the_teacher(name: str, ocbe: str) -> None:
    method = build_meta(name, ocbe)
    batch = meta_batch(random_backbone(name), method.teacher_layers, side=64)
    restored = method.student_features(batch)
    assert list(restored) == LAYERS
    assert [f.shape for f in restored.values()] == [batch.features[layer].shape for layer in LAYERS]


def test_the_embedding_of_wide_resnet50_is_2048_x_8_x_8_at_256_pixels() -> None:
    method = build_meta("wide_resnet50_2")
    batch = meta_batch(random_backbone("wide_resnet50_2"), LAYERS, side=256, count=1)
    bottleneck: Any = method.bottleneck
    assert bottleneck(list(batch.features.values())).shape == (1, 2048, 8, 8)
    assert bottleneck.embed[0].conv1.in_channels == 3072


@EACH_RESNET
def test_the_embedding_has_the_shape_of_layer4(name: str) -> None:
    bottleneck = bottleneck_of(name)
    features = meta_batch(random_backbone(name), [*LAYERS, "layer4"], side=96).features
    assert bottleneck([features[layer] for layer in LAYERS]).shape == features["layer4"].shape


@EACH_RESNET
def test_mff_brings_layer1_and_layer2_to_layer3_by_3x3_convolutions_of_stride_2(name: str) -> None:
    bottleneck, unit = bottleneck_of(name), 64 * WIDTHS[name]
    first = [(unit, 2 * unit, 3, 2), (2 * unit, 4 * unit, 3, 2)]
    assert [shape(c) for c in convolutions(bottleneck.from_layer1)] == first
    assert [shape(c) for c in convolutions(bottleneck.from_layer2)] == [(2 * unit, 4 * unit, 3, 2)]
    for path in (bottleneck.from_layer1, bottleneck.from_layer2):
        kinds = [type(m) for m in path.modules() if not isinstance(m, nn.Sequential)]
        assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * (len(kinds) // 3)


@pytest.mark.parametrize(("ocbe", "depths"), [("mff_oce", 3), ("oce", 1)])
@EACH_RESNET
def test_oce_is_one_stage_of_the_networks_own_blocks(name: str, ocbe: str, depths: int) -> None:
    embed, unit = bottleneck_of(name, ocbe).embed, 64 * WIDTHS[name]
    assert len(embed) == (2 if name == "resnet18" else 3)
    assert {type(block) for block in embed} == {BasicBlock if WIDTHS[name] == 1 else Bottleneck}
    assert shape(embed[0].downsample[0]) == (4 * unit * depths, 8 * unit, 1, 2)
    assert all(block.downsample is None for block in list(embed)[1:])


def test_oce_alone_sees_only_layer3_and_pre_has_no_bottleneck(batch: Batch) -> None:
    for ocbe, used in (("mff_oce", LAYERS), ("oce", ["layer3"]), ("pre", ["layer4"])):
        method = build(ocbe=ocbe)
        inputs = {k: v.clone().requires_grad_() for k, v in batch.features.items()}
        restored = method.student_features(Batch(batch.image, batch.label, features=inputs))
        torch.stack([f.sum() for f in restored.values()]).sum().backward()
        assert [layer for layer, value in inputs.items() if value.grad is not None] == used
        assert (method.bottleneck is None) == (ocbe == "pre")


def test_only_pre_needs_layer4() -> None:
    assert build(ocbe="pre").teacher_layers == (*LAYERS, "layer4")
    assert build(ocbe="oce").teacher_layers == build().teacher_layers == tuple(LAYERS)


@EACH_RESNET
def test_the_decoder_has_the_released_numbers_of_blocks_from_deep_to_shallow(name: str) -> None:
    stages, unit = decoder_stages_of(name), 64 * WIDTHS[name]
    assert [len(stage) for stage in stages] == ([2, 2, 2] if name == "resnet18" else [3, 4, 6])
    assert [stage[0].downsample[0].out_channels for stage in stages] == [4 * unit, 2 * unit, unit]


@EACH_RESNET
def test_each_decoder_stage_opens_with_transposed_convolutions_on_both_paths(name: str) -> None:
    inner = 2 if name == "wide_resnet50_2" else 1
    planes = (256, 128, 64)
    for width, stage in zip(planes, decoder_stages_of(name), strict=True):
        first, outputs = stage[0], width * WIDTHS[name]
        basic = WIDTHS[name] == 1
        opening = first.conv1 if basic else first.conv2
        transposed = [m for m in stage.modules() if isinstance(m, nn.ConvTranspose2d)]
        assert transposed == [opening, first.downsample[0]]
        assert shape(opening) == ((2 * width, width, 2, 2) if basic else (width * inner, width * inner, 2, 2))
        assert shape(first.downsample[0]) == (2 * outputs, outputs, 2, 2)
        assert isinstance(first.downsample[1], nn.BatchNorm2d)
        assert all(shape(c)[3] == 1 for c in convolutions(stage) if c not in transposed)


@EACH_OCBE
@EACH_RESNET
def test_no_convolution_has_a_bias(name: str, ocbe: str) -> None:
    assert all(c.bias is None for c in convolutions(build_meta(name, ocbe)))


def test_convolutions_start_kaiming_normal_by_fan_out() -> None:
    for convolution in convolutions(build()):
        if isinstance(convolution, nn.Conv2d):
            fan_out = convolution.out_channels * math.prod(convolution.kernel_size)
            assert convolution.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)


def pairs(method: ReverseDistillation, batch: Batch) -> dict[str, tuple[Maps, Maps]]:
    """Return teacher and student features at each layer."""
    restored = method.student_features(batch)
    return {k: (batch.features[k].double().numpy(), restored[k].double().numpy()) for k in LAYERS}


def location_distances(teacher: Maps, student: Maps) -> Maps:
    products = (teacher * student).sum(1)
    return 1 - products / np.linalg.norm(teacher, axis=1) / np.linalg.norm(student, axis=1)


@EACH_OCBE
@torch.no_grad()
def test_flattened_loss_compares_each_layer_as_one_vector_per_image(batch: Batch, ocbe: str) -> None:
    method, expected = build(ocbe=ocbe), 0.0
    for teacher, student in pairs(method, batch).values():
        for t, s in zip(teacher, student, strict=True):
            expected += (1 - t.ravel() @ s.ravel() / np.linalg.norm(t) / np.linalg.norm(s)) / len(teacher)
    assert method.loss(batch).item() == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_per_location_loss_is_the_mean_over_locations_summed_over_layers(batch: Batch) -> None:
    method = build(loss="per_location")
    expected = sum(location_distances(t, s).mean() for t, s in pairs(method, batch).values())
    assert method.loss(batch).item() == pytest.approx(expected, rel=1e-5)


def enlarge(maps: Maps, size: int) -> Maps:
    """Interpolate (B, h, w) linearly along both axes; the corners of both grids coincide."""
    for axis in (1, 2):
        at = np.linspace(0, maps.shape[axis] - 1, size)
        known = np.arange(maps.shape[axis])
        maps = np.apply_along_axis(lambda line, at=at, known=known: np.interp(at, known, line), axis, maps)
    return maps


@pytest.mark.parametrize("score_layers", [["layer1"], ["layer3"], ["layer2", "layer3"], LAYERS], ids=str)
@pytest.mark.parametrize("blur_sigma", [0, 4.0])
@pytest.mark.parametrize("combine", ["sum", "multiply"])
@torch.no_grad()
def test_map_combines_and_blurs_the_distances_at_image_size(
    batch: Batch, combine: str, blur_sigma: float, score_layers: list[str]
) -> None:
    method = build(combine=combine, blur_sigma=blur_sigma, score_layers=score_layers)
    features = pairs(method, batch)
    maps = np.stack([enlarge(location_distances(*features[layer]), 64) for layer in score_layers])
    expected = maps.sum(0) if combine == "sum" else maps.prod(0)
    if blur_sigma:
        expected = np.stack([gaussian_filter(image, blur_sigma) for image in expected])
    np.testing.assert_allclose(method.anomaly_map(batch), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_image_score_is_the_largest_value_of_the_map_or_its_mean(batch: Batch) -> None:
    anomaly_map = build().anomaly_map(batch)
    assert torch.equal(build().image_score(anomaly_map, batch), anomaly_map.flatten(1).max(1).values)
    mean = build(image_score="mean").image_score(anomaly_map, batch)
    assert torch.allclose(mean, anomaly_map.flatten(1).mean(1))


@torch.no_grad()
def test_map_has_the_size_of_an_image_that_is_not_square() -> None:
    assert build().anomaly_map(batch_of(size=(64, 96))).shape == (2, 64, 96)


@pytest.mark.parametrize("loss", ["flattened", "per_location"])
def test_a_student_equal_to_the_teacher_finds_nothing(
    batch: Batch, loss: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = build(loss=loss)
    monkeypatch.setattr(
        method, "student_features", lambda given: {layer: given.features[layer] for layer in LAYERS}
    )
    assert method.loss(batch).item() == pytest.approx(0, abs=1e-5)
    assert method.anomaly_map(batch).abs().max() < 1e-5


@torch.no_grad()
def test_score_layers_do_not_change_the_training(batch: Batch) -> None:
    assert torch.equal(build(score_layers=["layer2"]).loss(batch), build().loss(batch))


@EACH_OCBE
@pytest.mark.parametrize("loss", ["flattened", "per_location"])
def test_every_parameter_learns_and_the_loss_falls(ocbe: Any, loss: Any) -> None:
    batch, method = batch_of([*LAYERS, "layer4"], count=4), build(ocbe=ocbe, loss=loss)
    (stage,) = method.stages()
    stage.module.train()
    optimizer = torch.optim.Adam(stage.module.parameters(), lr=0.005, betas=(0.5, 0.999))
    losses = []
    for _ in range(5):
        value = stage.loss(batch)
        optimizer.zero_grad()
        value.backward()
        assert all(p.grad is not None and p.grad.any() for p in method.parameters())
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_last_epoch_is_used() -> None:
    assert not build().keeps_best_epoch


def test_bfloat16_autocast_gives_nearly_the_same(batch: Batch) -> None:
    check_bfloat16(build(), batch)


def test_without_layers_all_three_are_scored() -> None:
    explicit, implicit = build(), ReverseDistillation(random_backbone())
    assert implicit.layers == implicit.score_layers == explicit.layers


@pytest.mark.parametrize("layers", [[], ["layer1"], LAYERS[::-1], ["layer2", "layer3", "layer4"]], ids=str)
def test_other_layers_are_answered_with_the_expected_ones(layers: list[str]) -> None:
    expected = r"expected three layers at strides 4, 8, 16, such as \['layer1', 'layer2', 'layer3'\]"
    with pytest.raises(MethodError, match=rf"method.layers: found \[.* at strides \[.*; {expected}"):
        ReverseDistillation(random_backbone(), layers, LAYERS)


@pytest.mark.parametrize("score_layers", [[], ["layer4"], ["layer1", "layer9"]], ids=str)
def test_other_score_layers_are_answered_with_the_expected_ones(score_layers: list[str]) -> None:
    with pytest.raises(
        MethodError, match=r"method.score_layers: found \[.*expected some of \['layer1', 'layer2', 'layer3'\]"
    ):
        ReverseDistillation(random_backbone(), LAYERS, score_layers)


@pytest.mark.parametrize("loss", ["flattened", "per_location"])
@pytest.mark.parametrize("side", [16, 48, 72])
def test_an_image_size_that_the_decoder_cannot_restore_is_refused(side: int, loss: Any) -> None:
    batch = batch_of(size=(side, side))
    with pytest.raises(MethodError, match=f"image_size: found {side} x {side}; expected multiples of 32"):
        build(loss=loss).loss(batch)
