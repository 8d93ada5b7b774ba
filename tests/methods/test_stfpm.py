"""STFPM: the loss and map of the definition, and its training."""

import copy

import pytest
import torch
from torch.nn.functional import cosine_similarity

from datasets.batch import Batch
from methods.maps import resize_map
from methods.stfpm import STFPM
from tests.methods.samples import LAYERS, batch_of, random_backbone, train


def build(half: bool = False, map_size: int = 64, seed: int = 1) -> STFPM:
    torch.manual_seed(seed)
    return STFPM(random_backbone(), LAYERS, half, map_size).eval()


def loss_by_loops(method: STFPM, batch: Batch) -> float:
    """Sum over layers of the mean over images and locations of the squared distance of unit vectors."""
    total = 0.0
    students = method.student(batch.image)
    for layer in LAYERS:
        values = []
        for t_image, s_image in zip(batch.features[layer].double(), students[layer].double(), strict=True):
            for t, s in zip(t_image.flatten(1).T, s_image.flatten(1).T, strict=True):
                values.append((t / t.norm() - s / s.norm()).square().sum())
        total += float(torch.stack(values).mean())
    return total


@pytest.fixture(scope="module")
def batch() -> Batch:
    return batch_of()


@torch.no_grad()
def test_loss_equals_a_loop_over_pixels(batch: Batch) -> None:
    method = build()
    assert method.loss(batch).item() == pytest.approx(loss_by_loops(method, batch), rel=1e-5)


@torch.no_grad()
def test_half_halves_the_loss(batch: Batch) -> None:
    assert build(half=True).loss(batch).item() == pytest.approx(build().loss(batch).item() / 2)


@torch.no_grad()
def test_map_is_the_product_of_the_resized_distances(batch: Batch) -> None:
    method = build()
    students = method.student(batch.image)
    expected = torch.ones(2, 64, 64)
    for layer in LAYERS:
        t, s = batch.features[layer], students[layer]
        squared = 2 - 2 * (t * s).sum(1) / t.norm(dim=1) / s.norm(dim=1)
        expected *= resize_map(squared, (64, 64))
    torch.testing.assert_close(method.anomaly_map(batch), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("side", [64, 96])
@torch.no_grad()
def test_map_has_its_own_size_whatever_the_image(side: int) -> None:
    assert build().anomaly_map(batch_of(size=(side, side))).shape == (2, 64, 64)
    assert build(map_size=16).anomaly_map(batch_of(size=(side, side))).shape == (2, 16, 16)


@torch.no_grad()
def test_a_student_equal_to_the_teacher_finds_nothing(batch: Batch) -> None:
    method = build()
    method.student.load_state_dict(random_backbone().teacher(LAYERS).state_dict())
    assert method.loss(batch).item() < 1e-10
    assert method.anomaly_map(batch).max() < 1e-10


@torch.no_grad()
def test_one_wrong_layer_alone_raises_no_alarm(batch: Batch) -> None:
    features = batch.features | {"layer1": -batch.features["layer1"]}
    method = build()
    method.student.load_state_dict(random_backbone().teacher(LAYERS).state_dict())
    assert method.loss(Batch(batch.image, batch.label, features=features)).item() == pytest.approx(
        4, rel=1e-5
    )
    assert method.anomaly_map(Batch(batch.image, batch.label, features=features)).max() < 1e-10


@torch.no_grad()
def test_image_score_is_the_largest_value_of_the_map(batch: Batch) -> None:
    method = build()
    anomaly_map = method.anomaly_map(batch)
    expected = torch.stack([image.max() for image in anomaly_map])
    torch.testing.assert_close(method.image_score(anomaly_map, batch), expected)


def test_every_parameter_of_the_student_learns_and_the_teacher_stays(batch: Batch) -> None:
    teacher = random_backbone().teacher(LAYERS)
    before = copy.deepcopy(teacher.state_dict())
    method = build()
    method.train()
    method.loss(batch).backward()
    torch.optim.SGD(method.parameters(), lr=0.4).step()
    assert all(p.grad is not None and p.grad.any() for p in method.student.parameters())
    assert all(p.grad is None for p in teacher.parameters())
    assert not any(module.training for module in teacher.modules())
    torch.testing.assert_close(teacher.state_dict(), before, atol=0, rtol=0)


@torch.no_grad()
def test_one_stage_keeps_the_epoch_with_the_lowest_mean_validation_map(batch: Batch) -> None:
    method = build()
    (stage,) = method.stages()
    assert stage.module is method.student
    assert method.keeps_best_epoch
    expected = method.anomaly_map(batch).flatten(1).mean(1)
    torch.testing.assert_close(method.validation_score(stage, batch), expected)


def test_loss_falls_with_the_published_optimiser() -> None:
    (stage,) = build().stages()
    losses = train(stage, [batch_of(count=4)] * 8, torch.optim.SGD, lr=0.4, momentum=0.9, weight_decay=1e-4)
    assert losses[-1] < 0.7 * losses[0]


def test_the_student_ends_at_the_deepest_layer() -> None:
    names = {name.split(".")[1] for name, _ in build().student.named_parameters()}
    assert names == {"conv1", "bn1", "layer1", "layer2", "layer3"}


def test_bfloat16_autocast_changes_neither_the_gradient_nor_the_map_much(batch: Batch) -> None:
    """Norms, distances and the loss are in float32; only the student's layers round."""
    method, gradients, maps = build(), [], []
    for enabled in (False, True):
        own = copy.deepcopy(method)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            maps.append(own.anomaly_map(batch).detach())
            own.train().loss(batch).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in own.parameters() if p.grad is not None]))
    assert maps[1].dtype == torch.float32
    torch.testing.assert_close(maps[1], maps[0], atol=0.02 * maps[0].max().item(), rtol=0)
    assert cosine_similarity(gradients[0], gradients[1], dim=0) > 0.9
