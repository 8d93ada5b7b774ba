"""Dinomaly: its groups, its mined gradient, its map and score, and what it refuses."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, interpolate

from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.dinomaly import Dinomaly, blur, heads_of, middle_groups, scale_easy_gradients
from methods.errors import MethodError
from methods.stable_adamw import StableAdamW
from tests.methods.samples import batch_of, check_bfloat16, train

SMALL: dict[str, Any] = {"blocks": 2, "map_size": 32}


@cache
def vit(name: str = "vit_tiny_patch16_224") -> FeatureBackbone:
    return FeatureBackbone(name, "random")


@cache
def cnn() -> FeatureBackbone:
    return FeatureBackbone("tf_efficientnet_lite0", "random")


def build(backbone: FeatureBackbone | None = None, **options: Any) -> Dinomaly:
    torch.manual_seed(0)
    return Dinomaly(backbone or vit(), **SMALL | options).eval()


@pytest.fixture(scope="module")
def batch() -> Batch:
    return batch_of(build().teacher_layers, backbone=vit())


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("vit_base_patch14_reg4_dinov2", [[2, 3, 4, 5], [6, 7, 8, 9]]),
        ("vit_large_patch16_224", [[4, 6, 8, 10], [12, 14, 16, 18]]),
        ("deit_tiny_patch16_224", [[2, 3, 4, 5], [6, 7, 8, 9]]),
    ],
)
def test_the_default_groups_are_the_released_blocks(name: str, numbers: list[list[int]]) -> None:
    assert middle_groups(vit(name)) == [tuple(f"blocks.{i}" for i in group) for group in numbers]


def test_the_layers_of_another_network_are_a_group_each() -> None:
    assert middle_groups(cnn()) == [("blocks.2",), ("blocks.4",)]


def test_targets_are_the_averages_of_the_groups_and_the_student_sees_that_of_all(batch: Batch) -> None:
    method = build(groups=[["blocks.1", "blocks.4"], ["blocks.7"]])
    batch = batch_of(method.teacher_layers, backbone=vit())
    a, b, c = (batch.features[f"blocks.{i}"] for i in (1, 4, 7))
    seen: list[Tensor] = []
    method.student.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    (first, student), (second, _) = method.pairs(batch)
    torch.testing.assert_close(first, (a + b) / 2)
    torch.testing.assert_close(second, c)
    torch.testing.assert_close(seen[0], ((a + b + c) / 3).flatten(2).transpose(1, 2))
    assert student.shape == first.shape


def test_layers_of_different_sizes_are_enlarged_and_concatenated() -> None:
    method = build(cnn(), groups=[["blocks.4", "blocks.2"]], width=32)
    batch = batch_of(method.teacher_layers, backbone=cnn())
    ((teacher, student),) = method.pairs(batch)
    assert teacher.shape == student.shape == (2, 112 + 40, 8, 8)
    enlarged = interpolate(batch.features["blocks.4"], (8, 8), mode="bilinear")
    torch.testing.assert_close(teacher[:, :112], enlarged)
    torch.testing.assert_close(teacher[:, 112:], batch.features["blocks.2"])


def test_tokens_keep_their_places_in_images_that_are_not_square() -> None:
    method = build()
    batch = batch_of(method.teacher_layers, size=(32, 64), backbone=vit())
    method.student.forward = lambda tokens: [tokens, tokens]  # type: ignore[method-assign]
    mean = torch.stack([batch.features[k] for k in method.teacher_layers]).mean(0)
    for _, student in method.pairs(batch):
        torch.testing.assert_close(student, mean)


@torch.no_grad()
def test_the_loss_is_the_mean_over_groups_of_the_flattened_cosine_distance(batch: Batch) -> None:
    method = build()
    pairs = [(t.flatten(1).double(), s.flatten(1).double()) for t, s in method.pairs(batch)]
    expected = torch.stack([1 - cosine_similarity(t, s) for t, s in pairs]).mean().item()
    assert method.loss(batch).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("share", "easy"), [(0.0, []), (0.25, [0]), (0.5, [0, 2]), (0.9, [0, 2, 3])])
def test_gradients_of_the_locations_with_the_lowest_distances_are_scaled(
    share: float, easy: list[int]
) -> None:
    # (1, 2, 2, 2): four locations with the cosines 1, -1, 0.8, 0 to the teacher
    teacher = torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]).reshape(1, 2, 2, 2)
    values = torch.tensor([[2.0, -1.0, 0.8, 0.0], [0.0, 0.0, 0.6, 3.0]]).reshape(1, 2, 2, 2)
    student = values.clone().requires_grad_()
    restored = student * 1
    scale_easy_gradients(teacher, restored, torch.tensor(share, dtype=torch.float64), 0.1)
    assert torch.equal(restored, values)
    (restored * torch.arange(1.0, 9.0).reshape(1, 2, 2, 2)).sum().backward()
    expected = torch.arange(1.0, 9.0).reshape(2, 4)
    expected[:, easy] *= 0.1
    assert student.grad is not None
    torch.testing.assert_close(student.grad.reshape(2, 4), expected)


def test_locations_are_compared_over_the_whole_batch() -> None:
    teacher = torch.ones(2, 2, 1, 2)
    student = torch.stack([torch.full((1, 2), 1.0), torch.tensor([[1.0, 2.0]])])[:, None].repeat(1, 2, 1, 1)
    student[1, 0] *= -1
    student.requires_grad_()
    restored = student * 1
    scale_easy_gradients(teacher, restored, torch.tensor(0.5), 0.0)
    restored.sum().backward()
    assert student.grad is not None
    assert student.grad[0].eq(0).all()
    assert student.grad[1].eq(1).all()


def test_the_share_of_easy_locations_grows_with_the_steps(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []
    monkeypatch.setattr(
        "methods.dinomaly.scale_easy_gradients",
        lambda teacher, student, share, factor: shares.append(round(share.item(), 12)),
    )
    method = build(easy_steps=4, easy_share=0.8)
    method.student.train()
    for _ in range(6):
        method.loss(batch)
    assert shares[::2] == shares[1::2] == [0.0, 0.2, 0.4, 0.6, 0.8, 0.8]
    other = build(easy_steps=4, easy_share=0.8)
    method.steps.fill_(3)
    other.load_state_dict(method.state_dict())
    other.loss(batch)
    assert shares[-1] == 0.6
    assert other.steps.item() == 3, "only steps of a training count"


@torch.no_grad()
def test_the_map_is_the_blurred_mean_of_the_enlarged_distances(batch: Batch) -> None:
    method = build(map_size=32)
    maps = [1 - cosine_similarity(*pair) for pair in method.pairs(batch)]
    enlarged = [interpolate(m[:, None], (64, 64), mode="bilinear", align_corners=True) for m in maps]
    mean = interpolate((enlarged[0] + enlarged[1]) / 2, (32, 32), mode="bilinear")[:, 0]
    torch.testing.assert_close(method.anomaly_map(batch), blur(mean), atol=1e-5, rtol=1e-5)
    assert build(map_size=None).anomaly_map(batch).shape == (2, 64, 64)


def test_the_blur_is_a_gaussian_of_five_pixels_with_zeros_outside() -> None:
    point = torch.zeros(1, 9, 9)
    point[0, 4, 4] = 1
    found = blur(point)[0]
    line = torch.exp(-torch.tensor([4.0, 1.0, 0.0, 1.0, 4.0]) / 32)
    torch.testing.assert_close(found[2:7, 2:7], torch.outer(line, line) / line.sum() ** 2)
    assert found.sum().item() == pytest.approx(1)
    corner = (line[2:].sum() / line.sum()) ** 2
    assert blur(torch.ones(1, 9, 9))[0, 0, 0].item() == pytest.approx(corner.item())


@pytest.mark.parametrize(("share", "count"), [(0.01, 4), (1.0, 400), (1e-6, 1)])
def test_the_image_score_is_the_mean_of_the_largest_values(share: float, count: int) -> None:
    values = torch.stack([torch.randperm(400), torch.randperm(400) * 2]).float().reshape(2, 20, 20)
    mean = sum(range(400 - count, 400)) / count
    score = build(top_share=share).image_score(values, batch_of([]))
    assert score.tolist() == [pytest.approx(mean), pytest.approx(2 * mean)]


def test_the_score_is_that_of_the_map_before_it_is_enlarged() -> None:
    assert not build().scores_enlarged_maps
    assert not build().keeps_best_epoch


@pytest.mark.parametrize("backbone", [vit, cnn])
def test_every_parameter_learns_and_the_loss_falls(backbone: Any) -> None:
    method = build(backbone(), easy_steps=10, width=64)
    batch = batch_of(method.teacher_layers, backbone=backbone())
    (stage,) = method.stages()
    losses = train(stage, [batch] * 15, StableAdamW, lr=2e-3, amsgrad=True)
    assert losses[-1] < 0.7 * losses[0]
    assert all(p.grad is not None and p.grad.any() for p in method.parameters())
    assert method.steps.item() == 15


def test_bfloat16_autocast_gives_nearly_the_same(batch: Batch) -> None:
    check_bfloat16(build(), batch)


@pytest.mark.parametrize(("width", "heads"), [(768, 12), (384, 6), (192, 3), (96, 1), (152, 2), (7, 1)])
def test_heads_have_64_channels_where_they_divide_the_width(width: int, heads: int) -> None:
    assert heads_of(width) == heads


@pytest.mark.parametrize("groups", [[], [[]], [["blocks.1"], []], [["blocks.1"]] * 3], ids=str)
def test_groups_that_no_blocks_restore_are_refused(groups: list[list[str]]) -> None:
    with pytest.raises(MethodError, match=rf"method\.groups: found {len(groups)} groups .* for 8 blocks"):
        build(groups=groups, blocks=8)


def test_a_transformer_of_few_blocks_needs_groups() -> None:
    with pytest.raises(
        MethodError, match=r"method\.groups: found null for test_vit, which has 6 blocks; expected"
    ):
        build(vit("test_vit"))
    build(vit("test_vit"), groups=[["blocks.2"], ["blocks.3"]])


def test_layers_in_two_groups_and_unknown_ones_are_refused() -> None:
    with pytest.raises(MethodError, match=r"expected each layer once"):
        build(groups=[["blocks.1"], ["blocks.1"]])
    with pytest.raises(MethodError, match=r"found no layer 'layer1'; known: blocks.0, "):
        build(groups=[["layer1"], ["blocks.1"]])


def test_an_image_size_that_the_patches_do_not_divide_is_refused() -> None:
    with pytest.raises(MethodError, match=r"method\.training\.image_size: found 40 x 40; "):
        batch_of(build().teacher_layers, size=(40, 40), backbone=vit())
