"""Simple student: how narrow it is, that width 1 is STFPM, and that it learns."""

import math
from typing import Any

import pytest
import torch
from timm.models.resnet import BasicBlock
from torch import nn

from datasets.batch import Batch
from methods.errors import MethodError
from methods.maps import resize_map
from methods.simple_student import SimpleStudent
from methods.stfpm import STFPM
from tests.methods.samples import LAYERS, batch_of, random_backbone

BACKBONE = random_backbone("resnet18")
WIDTHS = [0.001, 0.25, 0.3, 1.0]


def build(name: str = "resnet18", layers: list[str] = LAYERS, **options: Any) -> SimpleStudent:
    torch.manual_seed(1)
    return SimpleStudent(random_backbone(name), layers, **options).eval()


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def expected_count(blocks: tuple[int, ...], inner: list[int], outer: list[int]) -> int:
    """Add up weights of convolutions, and two numbers per channel of a BatchNorm, of stages 1 to 3."""
    total, inputs = 3 * 64 * 7 * 7 + 2 * 64, 64
    for stage, (depth, middle, outputs) in enumerate(zip(blocks, inner, outer, strict=True)):
        if stage > 0 or inputs != outputs:
            total += inputs * outputs + 2 * outputs
        for _ in range(depth):
            total += 9 * inputs * middle + 2 * middle + 9 * middle * outputs + 2 * outputs
            inputs = outputs
    return total


@pytest.fixture(scope="module")
def batch() -> Batch:
    return batch_of(backbone=BACKBONE)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("name", "blocks"), [("resnet18", (2, 2, 2)), ("resnet34", (3, 4, 6))])
def test_blocks_are_narrow_inside_alone(name: str, blocks: tuple[int, ...], width: float) -> None:
    student = build(name, width=width).student
    inner = [max(1, round(width * planes)) for planes in (64, 128, 256)]
    assert count(student) == expected_count(blocks, inner, [64, 128, 256])
    found = [
        (m.conv1.out_channels, m.conv2.out_channels) for m in student.modules() if isinstance(m, BasicBlock)
    ]
    depths = zip(blocks, inner, (64, 128, 256), strict=True)
    assert found == [pair for depth, i, planes in depths for pair in [(i, planes)] * depth]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_decoupled_student_is_narrow_everywhere_and_projected(width: float) -> None:
    student = build(width=width, decoupled=True).student
    stages = [max(1, round(width * planes)) for planes in (64, 128, 256)]
    projections = sum((own + 1) * planes for own, planes in zip(stages, (64, 128, 256), strict=True))
    assert count(student) == expected_count((2, 2, 2), stages, stages) + projections


def test_the_documented_numbers_of_parameters() -> None:
    assert count(build(width=1).student) == 2_782_784
    assert count(build().student) == 735_488
    assert count(build(decoupled=True).student) == 213_600


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("layers", [LAYERS, ["layer4"], ["layer3", "act1"]], ids=str)
@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
@torch.no_grad()
def test_features_have_the_shapes_of_the_teacher(name: str, layers: list[str], decoupled: bool) -> None:
    backbone = random_backbone(name)
    with torch.device("meta"):
        method = SimpleStudent(backbone, layers, width=0.1, decoupled=decoupled)
        image = torch.empty(2, 3, 64, 96)
        teacher, student = backbone.new_student(layers)(image), method.student(image)
    assert {k: f.shape for k, f in student.items()} == {k: f.shape for k, f in teacher.items()}


@torch.no_grad()
def test_width_1_is_stfpm(batch: Batch) -> None:
    released: dict[str, Any] = {"half": False, "map_size": 64}
    for options in ({}, released):
        method = build(width=1, **options)
        torch.manual_seed(1)
        stfpm = STFPM(BACKBONE, LAYERS, method.factor == 0.5, method.map_size).eval()
        torch.testing.assert_close(dict(method.state_dict()), dict(stfpm.state_dict()), atol=0, rtol=0)
        assert torch.equal(method.loss(batch), stfpm.loss(batch))
        assert torch.equal(method.anomaly_map(batch), stfpm.anomaly_map(batch))


def test_new_convolutions_start_as_the_others() -> None:
    for module in build(width=0.5).student.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)


@pytest.mark.parametrize("decoupled", [False, True])
@torch.no_grad()
def test_loss_and_map_follow_the_thesis(batch: Batch, decoupled: bool) -> None:
    method = build(decoupled=decoupled)
    students, loss, expected = method.student(batch.image), 0.0, torch.ones(2, 64, 64)
    for k in LAYERS:
        teacher, student = batch.features[k].double(), students[k].double()
        difference = teacher / teacher.norm(dim=1, keepdim=True) - student / student.norm(dim=1, keepdim=True)
        distance = difference.square().sum(1) / 2  # eq. 5
        loss += distance.mean().item()
        expected *= resize_map(distance.float(), (64, 64))
    assert method.loss(batch).item() == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(method.anomaly_map(batch), expected, atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_map_has_the_size_of_an_image_that_is_not_square() -> None:
    assert build().anomaly_map(batch_of(size=(64, 96), backbone=BACKBONE)).shape == (2, 64, 96)


@pytest.mark.parametrize("decoupled", [False, True])
def test_every_parameter_learns_and_the_loss_falls(decoupled: bool) -> None:
    batch = batch_of(count=4, backbone=BACKBONE)
    (stage,) = build(decoupled=decoupled).stages()
    stage.module.train()
    optimizer = torch.optim.SGD(stage.module.parameters(), lr=0.4, momentum=0.9, weight_decay=1e-4)
    losses: list[float] = []
    for _ in range(8):
        loss = stage.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.any() for p in stage.module.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("width", [0, -0.5, 1.01, math.nan])
def test_other_widths_are_answered_with_the_expected_ones(width: float) -> None:
    with pytest.raises(
        MethodError, match=rf"method\.width: found {width}; expected more than 0 and at most 1"
    ):
        build(width=width)


@pytest.mark.parametrize("name", ["resnet50", "wide_resnet50_2"])
def test_a_backbone_of_other_blocks_is_answered_with_the_expected_ones(name: str) -> None:
    with pytest.raises(MethodError, match=rf"backbone\.name: found {name}.*; expected resnet18 or resnet34"):
        build(name)


def test_a_map_without_pixels_is_refused() -> None:
    with pytest.raises(MethodError, match=r"method\.map_size: found 0; expected 1 to 8192 \(pixels\)"):
        build(map_size=0)
