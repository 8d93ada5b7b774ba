"""Reverse distillation on backbones for which no decoder was published."""

from typing import Any

import pytest
import torch
from torchvision.models.resnet import BasicBlock

from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from methods.rd import ReverseDistillation
from tests.methods.samples import batch_of, meta_batch, train

EACH_OCBE = pytest.mark.parametrize("ocbe", ["mff_oce", "oce", "pre"])
OTHERS = ["tf_efficientnet_lite0", "convnext_atto", "regnetx_002", "mobilenetv3_small_100", "resnet101"]
EACH_OTHER = pytest.mark.parametrize("name", OTHERS)


@EACH_OTHER
@EACH_OCBE
def test_features_of_every_backbone_with_the_strides_are_restored(name: str, ocbe: Any) -> None:
    backbone = FeatureBackbone(name, "random")
    with torch.device("meta"):
        method = ReverseDistillation(backbone, ocbe=ocbe)
        batch = meta_batch(backbone, method.teacher_layers, 64)
        students = method.student_features(batch)
    assert list(students) == list(backbone.pyramid)
    for layer, student in students.items():
        assert student.shape == batch.features[layer].shape


@EACH_OTHER
def test_decoders_for_other_backbones_have_at_least_64_channels(name: str) -> None:
    backbone = FeatureBackbone(name, "random")
    with torch.device("meta"):
        decoder: Any = ReverseDistillation(backbone).decoder
    own = backbone.channels(backbone.pyramid)[::-1]
    for stage, channels in zip(decoder.stages, own, strict=True):
        first, second, projection = stage
        assert isinstance(first, BasicBlock)
        assert isinstance(second, BasicBlock)
        assert (second.conv2.in_channels, second.conv2.out_channels) == (max(channels, 64),) * 2
        assert (projection.in_channels, projection.out_channels) == (max(channels, 64), channels)
        assert (projection.kernel_size, projection.stride) == ((1, 1), (1, 1))


def test_decoder_and_bottleneck_of_another_backbone_learn() -> None:
    backbone = FeatureBackbone("tf_efficientnet_lite0", "random")
    torch.manual_seed(0)
    method = ReverseDistillation(backbone)
    batch = batch_of(method.teacher_layers, count=4, backbone=backbone)
    (stage,) = method.stages()
    losses = train(stage, [batch] * 5, torch.optim.Adam, lr=0.005, betas=(0.5, 0.999))
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.grad is not None and p.grad.any() for p in method.parameters())


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "levit_128s"])
def test_a_backbone_without_the_strides_is_answered_with_its_own(name: str) -> None:
    message = rf"backbone.name: {name} has no layer at stride 4; its layers and strides: .* \(16\)"
    with pytest.raises(MethodError, match=message):
        ReverseDistillation(FeatureBackbone(name, "random"))
