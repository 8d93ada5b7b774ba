"""EfficientAD: its losses, the normalisation of descriptors and maps, and what its stages see."""

import dataclasses
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from datasets.batch import Batch
from methods.efficient_ad import EfficientAD, hardest
from methods.errors import MethodError
from methods.jitter import jittered
from tests.methods.samples import IMAGENET, random_backbone

CHANNELS = 6


def make(seed: int = 0, **options: Any) -> EfficientAD:
    torch.manual_seed(seed)
    small = {"channels": CHANNELS, "width": 0.05, "pretrained_size": 72, "dropout": 0.0}
    return EfficientAD(random_backbone(), **{**small, **options}).eval()


def images(count: int = 2, side: int = 64, seed: int = 0) -> Batch:
    image = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))
    return Batch(image, torch.zeros(count, dtype=torch.int64))


def started(**options: Any) -> EfficientAD:
    """Return a method whose student is about to train."""
    method = make(**options)
    _, student = method.stages()
    with torch.no_grad():
        method.on_train_start(student, [images(4, seed=1)])
    return method


def test_the_hard_loss_of_a_hand_made_case() -> None:
    """Of 11 values, the quantile 0.85 lies between the 9th and the 10th: two values are above it."""
    eleven = torch.tensor([3.0, 7, 2, 10, 4, 5, 6, 1, 8, 9, 0])
    assert hardest(eleven.view(1, 11, 1, 1), 0.85) == 9.5
    assert hardest(eleven, 0.9) == 9.5  # the quantile is 9 itself
    assert hardest(eleven, 0.95) == 10


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.99, 0.999])
def test_the_hard_loss_is_the_mean_at_or_above_the_quantile(quantile: float) -> None:
    distance = torch.rand(2, 5, 20, 20, generator=torch.Generator().manual_seed(0)).requires_grad_()
    least = torch.quantile(distance, quantile)
    expected = distance[distance >= least].mean()
    found = hardest(distance, quantile)
    torch.testing.assert_close(found, expected)
    (own,) = torch.autograd.grad(found, distance)
    (theirs,) = torch.autograd.grad(expected, distance)
    torch.testing.assert_close(own, theirs)


def test_equal_values_at_the_quantile_all_count() -> None:
    assert hardest(torch.tensor([1.0, 1.0, 1.0, 1.0]), 0.9) == 1
    assert hardest(torch.tensor([0.0, 2.0, 2.0, 5.0]), 0.4) == 3


def test_the_loss_has_four_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = started(), images()
    other = torch.randn_like(batch.image)
    monkeypatch.setattr("methods.efficient_ad.jittered", lambda *_: other)
    student, autoencoder = method.trained["student"], method.trained["autoencoder"]
    restored = autoencoder(other, (8, 8))
    first, second = student(batch.image)[:, :CHANNELS], student(other)[:, CHANNELS:]
    expected = (
        hardest((method.teacher(batch.image) - first).square(), 0.999)
        + (method.teacher(other) - restored).square().mean()
        + (restored - second).square().mean()
    )
    torch.testing.assert_close(method.loss(batch), expected)
    natural = torch.randn(2, 3, 36, 36)
    penalty = student(natural)[:, :CHANNELS].square().mean()
    with_penalty = method.loss(dataclasses.replace(batch, natural=natural))
    torch.testing.assert_close(with_penalty, expected + penalty)


def test_student_and_autoencoder_learn_and_the_teacher_does_not() -> None:
    method = started()
    teacher, student = method.stages()
    assert (teacher.name, student.name) == ("teacher", "student")
    student.loss(images()).backward()
    assert all(parameter.grad is not None for parameter in student.module.parameters())
    assert all(parameter.grad is None for parameter in method.distillation.parameters())
    assert method.teacher_layers == ()


def test_the_teacher_learns_on_whole_natural_images_and_the_student_sees_quarters() -> None:
    method = make(pretrained_size=512)
    teacher, student = method.stages()
    crops, natural = method.crops(teacher), method.natural(student)
    assert (method.crops(student), method.natural(teacher)) == (None, None)
    assert crops is not None
    assert natural is not None
    assert (crops.size, crops.zoom, crops.layers, crops.grey) == (512, (1, 1), ("layer2", "layer3"), 0.1)
    assert (natural.size, natural.zoom, natural.layers, natural.grey) == (256, (2, 2), (), 0.3)


@pytest.mark.parametrize(
    "options", [{"width": 0.1}, {"channels": 7}, {"teacher_seed": 1}, {"size": "medium"}]
)
def test_what_changes_the_teacher_changes_its_module(options: dict[str, Any]) -> None:
    """So the key of the kept teacher needs no options."""
    one, other = (next(method.stages()).module.state_dict() for method in (make(), make(**options)))
    assert set(one) != set(other) or any(not torch.equal(one[name], other[name]) for name in one)


def test_the_teacher_has_a_seed_of_its_own() -> None:
    first, other = (make(seed).state_dict() for seed in (1, 2))
    for name in ("distillation.network", "trained.student"):
        weight = f"{name}.convolutions.0.weight"
        assert torch.equal(first[weight], other[weight]) == (name == "distillation.network")


@torch.no_grad()
def test_descriptors_are_normalised_once_by_the_train_images() -> None:
    method, train = make(), [images(3, seed=seed) for seed in (1, 2)]
    _, student = method.stages()
    for _ in range(2):  # a second look changes nothing
        method.on_train_start(student, train)
        found = torch.cat([method.teacher(batch.image) for batch in train])
        torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(CHANNELS), atol=1e-4, rtol=0)
        torch.testing.assert_close(
            found.std((0, 2, 3), correction=0), torch.ones(CHANNELS), atol=1e-4, rtol=0
        )


@torch.no_grad()
def test_maps_are_normalised_by_quantiles_of_the_held_out_maps() -> None:
    method, held_out = started(), [images(2, seed=2), images(1, seed=3)]
    raw = torch.cat([method.distances(batch.image) for batch in held_out])
    expected = 0.0
    for place in range(2):
        start, end = np.quantile(raw[:, place].numpy(), [0.9, 0.995])
        expected = expected + 0.5 * 0.1 * (raw[:, place] - start) / (end - start)
    for _ in range(2):  # a second calibration changes nothing
        method.calibrate(held_out)
        maps = torch.cat([method.anomaly_map(batch) for batch in held_out])
        torch.testing.assert_close(maps[:, 4:-4, 4:-4], expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_map_has_zeros_where_no_whole_patch_is_seen_and_its_maximum_is_the_score() -> None:
    method, batch = started(), images(1)
    method.calibrate([batch])
    found = method.anomaly_map(batch)
    assert found.shape == (1, 16, 16)
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[4:-4, 4:-4] = True
    assert not found[:, ~inside].any()
    assert found[:, inside].all()
    enlarged = method.enlarged(found, batch)
    assert enlarged.shape == (1, 64, 64)
    assert method.image_score(enlarged, batch) == enlarged.max()
    assert method.scores_enlarged_maps


@torch.no_grad()
def test_an_image_of_one_colour_has_a_flat_map_of_the_student() -> None:
    """The teacher is applied without padding, so there are no circles along the border."""
    grey = torch.full((1, 3, 64, 64), 0.5)
    of_teacher = started().distances(grey)[0, 0]
    torch.testing.assert_close(of_teacher, of_teacher[:1, :1].expand(8, 8))


@torch.no_grad()
def test_a_student_of_teacher_and_autoencoder_has_no_distance() -> None:
    method, batch = started(), images(1)
    networks = method.trained["student"], method.distillation.network
    (*student, last), (*teacher, known) = (cast("list[nn.Conv2d]", n.convolutions) for n in networks)
    for own, theirs in zip(student, teacher, strict=True):
        own.load_state_dict(theirs.state_dict())
    assert last.bias is not None
    assert known.bias is not None
    last.weight[:CHANNELS] = known.weight / method.deviation[:, None, None, None]
    last.bias[:CHANNELS] = (known.bias - method.mean) / method.deviation
    assert method.distances(batch.image)[:, 0].max() < 1e-8
    assert method.distances(batch.image)[:, 1].min() > 1e-8


def mean_of(image: Tensor) -> Tensor:
    return image.mean((1, 2, 3))


def test_one_of_three_changes_is_made_to_each_image_and_colours_stay_in_range() -> None:
    torch.manual_seed(0)
    mean, std = (torch.tensor(value)[:, None, None] for value in (IMAGENET.mean, IMAGENET.std))
    raw = torch.rand(1, 3, 8, 8)
    changed = jittered(((raw - mean) / std).expand(60, -1, -1, -1), IMAGENET, 0.2) * std + mean
    assert changed.min() > -1e-5
    assert changed.max() < 1 + 1e-5
    ratio = mean_of(changed) / mean_of(raw)
    assert ratio.min() > 0.8
    assert ratio.max() < 1.2
    grey = (raw * torch.tensor([0.2989, 0.587, 0.114])[:, None, None]).sum(1)
    spread = (changed - grey).abs().mean((1, 2, 3))
    assert len({round(value, 5) for value in spread.tolist()}) == 60
    torch.testing.assert_close(jittered((raw - mean) / std, IMAGENET, 0.0) * std + mean, raw)


def test_calibration_insists_on_held_out_images() -> None:
    assert EfficientAD.needs_validation


def test_training_lowers_the_loss() -> None:
    method, batch = started(), images(1, seed=1)
    _, student = method.stages()
    optimizer = torch.optim.Adam(student.module.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss = student.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, r"method\.channels: found 0"),
        ({"width": 0.0}, r"method\.width: found 0\.0; expected more than 0"),
        ({"pretrained_size": 64}, r"method\.pretrained_size: found 64; expected 66"),
        ({"dropout": 1.0}, r"method\.dropout: found 1\.0; expected 0 or more and below 1"),
        ({"hard_quantile": 1.0}, r"method\.hard_quantile: found 1\.0"),
        ({"pretrained_layers": ["layer9"]}, r"layer9.*known: .*layer4"),
        ({"pretrained_layers": []}, r"method\.pretrained_layers: found \[\]; expected one"),
        ({"pretrained_layers": ["layer2", "layer2"]}, r"method\.pretrained_layers: .*each layer once"),
    ],
)
def test_an_option_that_cannot_be_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        make(**options)


def test_an_image_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(MethodError, match=r"image_size: found 32 x 32; expected 33 or more"):
        make().anomaly_map(images(1, side=32))
