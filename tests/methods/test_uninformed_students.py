"""Uninformed students: scores, their normalisation on held-out images alone, and how it trains."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import pad

from datasets.batch import Batch
from methods.errors import MethodError
from methods.uninformed_students import UninformedStudents, random_window
from tests.methods.samples import crops_of, random_backbone

SIDE = 34


def make(seed: int = 0, **options: Any) -> UninformedStudents:
    torch.manual_seed(seed)
    return UninformedStudents(random_backbone(), **{"patch_sizes": [33], "students": 3, **options}).eval()


def images(count: int = 2, side: int = SIDE, seed: int = 0, scale: float = 1.0) -> Batch:
    image = scale * torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))
    return Batch(image, torch.zeros(count, dtype=torch.int64))


def raw(method: UninformedStudents, batch: Batch, patch_size: int = 33) -> torch.Tensor:
    return method.scales[patch_size].scores(batch.image)


def equal_students(method: UninformedStudents) -> None:
    for scale in method.scales.values():
        first, *others = list(scale.students.networks)
        for other in others:
            other.load_state_dict(first.state_dict())


@torch.no_grad()
def test_e_and_v_follow_their_equations() -> None:
    method, batch = make(), images()
    scale = method.scales[33]
    scale.fit_descriptors([images(seed=1)])
    padded = pad(batch.image, [16] * 4, mode="reflect")
    target = scale.distillation.network(padded, dense=True).numpy()
    mean, deviation = scale.mean.numpy()[:, None, None], scale.deviation.numpy()[:, None, None]
    students = np.stack([network(padded, dense=True).numpy() for network in scale.students.networks])
    error = ((students.mean(0) - (target - mean) / deviation) ** 2).sum(1)
    variance = (students**2).sum(2).mean(0) - (students.mean(0) ** 2).sum(1)
    found = raw(method, batch).numpy()
    assert found.shape == (2, 2, SIDE, SIDE)
    np.testing.assert_allclose(found[:, 0], error, rtol=1e-4)
    np.testing.assert_allclose(found[:, 1], variance, rtol=1e-3, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("patch_size", "seen"), [(17, 17), (33, 32), (65, 60)])
def test_a_pixel_changes_the_map_around_it(patch_size: int, seen: int) -> None:
    side, pixel = patch_size + 1, (patch_size + 1) // 2
    scale = make(patch_sizes=[patch_size], students=2).scales[patch_size]
    image = images(1, side).image
    before = scale.target(scale.padded(image), dense=True)
    image[..., pixel, pixel] += 5
    change = (scale.target(scale.padded(image), dense=True) - before).abs()
    moved = (change > 1e-4 * change.max())[0].any(0).nonzero()  # the rest is rounding
    for along in moved.T:  # rows, columns
        assert torch.equal(along.unique(), torch.arange(pixel - (seen - 1) // 2, pixel + seen // 2 + 1))


@torch.no_grad()
def test_an_ensemble_of_equal_students_has_no_variance() -> None:
    method = make()
    equal_students(method)
    assert raw(method, images())[:, 1].max() < 1e-10


@torch.no_grad()
def test_equal_students_score_by_error_alone_though_their_variance_has_no_deviation() -> None:
    method = make()
    equal_students(method)
    method.calibrate([images(seed=1)])
    both = method.anomaly_map(images())
    method.score = "e"
    torch.testing.assert_close(both, method.anomaly_map(images()), atol=0.05, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("score", ["e+v", "e", "v"])
def test_scores_are_standardised_on_the_images_of_calibration(score: str) -> None:
    method, held_out = make(score=score, students=2), images(seed=1)
    method.calibrate([held_out])
    found = raw(method, held_out)
    error, variance = (
        (value - value.mean()) / value.std(correction=0) for value in (found[:, 0], found[:, 1])
    )
    expected = {"e+v": error + variance, "e": error, "v": variance}[score]
    torch.testing.assert_close(method.anomaly_map(held_out), expected, atol=1e-3, rtol=1e-3)
    assert method.anomaly_map(held_out).mean().abs() < 1e-3


@torch.no_grad()
def test_scoring_other_images_leaves_the_standardisation_alone() -> None:
    method = make()
    method.calibrate([images(seed=1)])
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.anomaly_map(images(seed=2, scale=10))
    torch.testing.assert_close(dict(method.state_dict()), before, atol=0, rtol=0)


def test_calibration_insists_on_held_out_images() -> None:
    assert UninformedStudents.needs_validation


@torch.no_grad()
def test_scales_are_averaged() -> None:
    both, held_out, batch = make(patch_sizes=[17, 33], students=2), images(1, seed=1), images(1)
    both.calibrate([held_out])
    maps = [scale.standardised(batch.image).sum(1) for scale in both.scales.values()]
    torch.testing.assert_close(both.anomaly_map(batch), (maps[0] + maps[1]) / 2)


@torch.no_grad()
def test_the_teachers_descriptors_are_normalised_by_the_train_images() -> None:
    method = make()
    scale = method.scales[33]
    batch = images(8, seed=1)
    scale.fit_descriptors(Batch(image, torch.zeros(1)) for image in batch.image.split(1))
    target = scale.target(scale.padded(batch.image), dense=False)
    assert target.mean((0, 2, 3)).abs().max() < 1e-3
    torch.testing.assert_close(target.std((0, 2, 3), correction=0), torch.ones(128), atol=1e-3, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("crop", [None, 20])
def test_the_loss_at_a_grid_of_pixels_is_that_of_all_pixels_on_average(crop: int | None) -> None:
    torch.manual_seed(0)
    batch = images(1, side=40)
    options: dict[str, Any] = {"students": 1, "score": "e"}
    everywhere, grid = make(positions="all", **options), make(positions="grid", crop=crop, **options)
    scale = everywhere.scales[33]
    expected = everywhere.loss(scale, batch)
    drawn = torch.stack([grid.loss(grid.scales[33], batch) for _ in range(40)])
    assert drawn.std() > 0
    assert drawn.mean().item() == pytest.approx(expected.item(), abs=5 * drawn.std().item() / 40**0.5)


def test_the_loss_is_the_sum_of_what_each_student_would_have_alone() -> None:
    method, batch = make(positions="all"), images(1)
    scale = method.scales[33]
    padded = scale.padded(batch.image)
    target = scale.target(padded, dense=True)
    losses = [(n(padded, dense=True) - target).square().sum(1).mean() for n in scale.students.networks]
    torch.testing.assert_close(method.loss(scale, batch), sum(losses))


def test_stages_train_teachers_then_students_and_never_the_teacher_with_them() -> None:
    method = make(patch_sizes=[17, 33])
    stages = list(method.stages())
    assert [stage.name for stage in stages] == ["teacher_17", "students_17", "teacher_33", "students_33"]
    crops = [method.crops(stage) for stage in stages]
    assert [c.size if c else None for c in crops] == [17, None, 33, None]
    students = stages[3]
    students.loss(images()).backward()
    scale = method.scales[33]
    assert all(p.grad is not None for p in scale.students.parameters())
    assert all(p.grad is None for p in scale.distillation.parameters())


@pytest.mark.parametrize(
    "options",
    [{"students": 2}, {"score": "e"}, {"positions": "all"}, {"crop": 20}, {"compactness": "signed"}],
    ids=str,
)
def test_a_teacher_depends_on_its_crops_and_the_options_they_name_alone(options: dict[str, Any]) -> None:
    usual, other = make(), make(**options)
    (teacher, _), (changed, _) = usual.stages(), other.stages()
    crops = usual.crops(teacher)
    assert crops is not None
    assert crops == other.crops(changed)
    batch = crops_of(dataclasses.replace(crops, feature_size=32), random_backbone())
    same = torch.equal(teacher.loss(batch), changed.loss(batch))
    assert same == (not set(options) & set(crops.options or ()))


@torch.no_grad()
def test_only_students_start_with_the_statistics_of_the_train_images() -> None:
    method = make(patch_sizes=[17, 33])
    stages = {stage.name: stage for stage in method.stages()}
    for name, fitted in (("teacher_33", []), ("students_33", [33]), ("students_17", [17, 33])):
        method.on_train_start(stages[name], [images()])
        assert sorted(p for p, scale in method.scales.items() if scale.mean.any()) == fitted


def test_teachers_have_a_seed_of_their_own() -> None:
    first, again, other = make(seed=1), make(seed=2), make(seed=1, teacher_seed=1)

    def weights(method: UninformedStudents, part: str) -> torch.Tensor:
        return nn.utils.parameters_to_vector(getattr(method.scales[33], part).parameters())

    assert torch.equal(weights(first, "distillation"), weights(again, "distillation"))
    assert not torch.equal(weights(first, "distillation"), weights(other, "distillation"))
    assert not torch.equal(weights(first, "students"), weights(again, "students"))
    assert torch.equal(weights(first, "students"), weights(other, "students"))


def test_training_lowers_the_loss() -> None:
    method = make(students=2)
    scale = method.scales[33]
    smooth = nn.functional.interpolate(images(1, side=4).image, (SIDE, SIDE), mode="bilinear")
    batch = Batch(smooth, torch.zeros(1))
    with torch.no_grad():
        scale.fit_descriptors([batch])
    optimizer = torch.optim.Adam(scale.students.parameters(), 3e-4)
    losses = []
    for _ in range(20):
        loss = method.loss(scale, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])


@torch.no_grad()
def test_students_that_equal_the_teacher_make_no_error_and_agree() -> None:
    method = make(students=2)
    scale = method.scales[33]
    for network in scale.students.networks:
        network.load_state_dict(scale.distillation.network.state_dict())
    assert raw(method, images(1)).max() < 1e-8


def test_random_windows_lie_within_the_image_and_reach_its_corners() -> None:
    image = torch.arange(36.0).view(1, 1, 6, 6)
    firsts = {random_window(image, 4)[0, 0, 0, 0].item() for _ in range(200)}
    assert firsts == {0, 1, 2, 6, 7, 8, 12, 13, 14}
    assert random_window(image, 10).shape == (1, 1, 6, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_sizes": [16]}, r"method\.patch_sizes: found \[16\]; expected some of 17, 33, 65"),
        ({"patch_sizes": []}, r"method\.patch_sizes: found \[\]"),
        ({"patch_sizes": [33, 33]}, r"each once"),
        ({"students": 0}, r"method\.students: found 0"),
        ({"students": 1}, r"method\.students: found 1.*method\.score=e"),
        ({"students": 1, "score": "v"}, r"method\.students: found 1"),
        ({"crop": 0}, r"method\.crop: found 0; expected 1 to 8192"),
        ({"pretrained_size": 0}, r"method\.pretrained_size: found 0"),
        ({"zoom": [4]}, r"method\.zoom: found \[4\]"),
        ({"zoom": [16, 4]}, r"method\.zoom: found \[16, 4\]"),
        ({"zoom": [0.5, 4]}, r"method\.zoom: found \[0\.5, 4\]"),
        ({"pretrained_layer": "layer9"}, r"layer9.*known: .*layer4"),
    ],
)
def test_an_option_that_cannot_be_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        make(**options)


def test_one_student_may_score_by_its_error() -> None:
    assert make(students=1, score="e").anomaly_map(images(1)).shape == (1, SIDE, SIDE)


def test_an_image_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(MethodError, match=r"image_size: found 32 x 32; expected 33 or more"):
        make().anomaly_map(images(1, side=32))
