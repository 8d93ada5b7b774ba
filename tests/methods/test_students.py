"""The decoupled student: any teacher's shapes from a network of its own."""

from typing import Any

import pytest
import torch
from torch import nn

from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from methods.feature_variance import FeatureVariance
from methods.simple_student import SimpleStudent
from methods.stfpm import STFPM
from methods.students import DecoupledStudent
from tests.methods.samples import LAYERS, batch_of, random_backbone, train

TEACHERS = ["tf_efficientnet_lite0", "convnext_atto", "regnetx_002", "mobilenetv3_small_100", "resnet50"]
USERS = pytest.mark.parametrize(
    ("method", "options"),
    [
        (STFPM, {"student": "decoupled"}),
        (FeatureVariance, {"student": "decoupled"}),
        (SimpleStudent, {"decoupled": True}),
    ],
    ids=["stfpm", "feature_variance", "simple_student"],
)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", TEACHERS)
@torch.no_grad()
def test_features_have_the_shapes_of_any_teacher(name: str) -> None:
    backbone = FeatureBackbone(name, "random")
    with torch.device("meta"):
        image = torch.empty(2, 3, 64, 96)
        teacher = backbone.new_student(backbone.pyramid)(image)
        student = DecoupledStudent(backbone, backbone.pyramid, 0.5)(image)
    assert {k: f.shape for k, f in student.items()} == {k: f.shape for k, f in teacher.items()}


@torch.no_grad()
def test_several_layers_at_one_stride_have_projections_of_their_own() -> None:
    backbone, layers = FeatureBackbone("vit_tiny_patch16_224", "random"), ["blocks.2", "blocks.8"]
    student = DecoupledStudent(backbone, layers, 0.25)
    first, second = student(torch.randn(1, 3, 64, 64)).values()
    assert first.shape == second.shape == (1, 192, 4, 4)
    assert not torch.equal(first, second)


def test_its_size_is_the_widths_and_not_the_teachers() -> None:
    sizes = [count(DecoupledStudent(random_backbone(), LAYERS, width)) for width in (0.25, 0.5, 1)]
    assert sizes == sorted(sizes)
    wide = DecoupledStudent(random_backbone("wide_resnet50_2"), LAYERS, 0.25)
    narrow = DecoupledStudent(random_backbone(), LAYERS, 0.25)
    assert count(wide.features) == count(narrow.features)


def test_a_teacher_at_another_stride_is_refused() -> None:
    backbone = FeatureBackbone("vit_small_patch8_224", "random")
    assert DecoupledStudent(backbone, ["blocks.1"], 0.25)
    with pytest.raises(MethodError, match="resnet18 has no layer at stride 14"):
        DecoupledStudent(FeatureBackbone("vit_small_patch14_dinov2", "random"), ["blocks.1"], 0.25)


@USERS
def test_each_method_learns_with_it(method: Any, options: dict[str, Any]) -> None:
    backbone = FeatureBackbone("tf_efficientnet_lite0", "random")
    torch.manual_seed(0)
    model = method(backbone, **options)
    assert model.teacher_layers == ("blocks.1", "blocks.2", "blocks.4")
    batch = batch_of(model.teacher_layers, count=4, backbone=backbone)
    (stage,) = model.stages()
    losses = train(stage, [batch] * 8, torch.optim.SGD, lr=0.4, momentum=0.9, weight_decay=1e-4)
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.grad is not None and p.grad.any() for p in stage.module.parameters())


@USERS
def test_other_widths_are_answered_with_the_expected_ones(method: Any, options: dict[str, Any]) -> None:
    with pytest.raises(MethodError, match=r"method\.width: found 2; expected more than 0 and at most 1"):
        method(random_backbone(), width=2, **options)


@USERS
def test_an_image_size_at_which_the_shapes_differ_is_refused(method: Any, options: dict[str, Any]) -> None:
    backbone = FeatureBackbone("convnext_atto", "random")  # its stem drops rows that a ResNet's pads
    model = method(backbone, **options).eval()
    batch = batch_of(model.teacher_layers, size=(70, 70), backbone=backbone)
    message = r"image_size: the teacher has 17 x 17 features of an image and the student 18 x 18; expected a multiple"
    with torch.no_grad(), pytest.raises(MethodError, match=message):
        model.anomaly_map(batch)
