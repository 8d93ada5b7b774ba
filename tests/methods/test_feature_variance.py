"""Feature variance: its loss and map, independent students, and the case of one student."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.batch import Batch
from methods.errors import MethodError
from methods.feature_variance import FeatureVariance
from methods.maps import resize_map
from methods.stfpm import STFPM
from tests.methods.samples import LAYERS, batch_of, random_backbone, train

EACH_SCORE = pytest.mark.parametrize("score", ["e+v", "e", "v"])


def build(**options: Any) -> FeatureVariance:
    torch.manual_seed(1)
    return FeatureVariance(random_backbone(), LAYERS, **options).eval()


def thesis_stfpm() -> STFPM:
    torch.manual_seed(1)
    return STFPM(random_backbone(), LAYERS, half=True, map_size=None).eval()


@pytest.fixture(scope="module")
def batch() -> Batch:
    return batch_of()


def units(features: Tensor, axis: int) -> np.ndarray:
    """Eq. 6."""
    values = features.double().numpy()
    return values / np.linalg.norm(values, axis=axis, keepdims=True)


@EACH_SCORE
@torch.no_grad()
def test_map_follows_the_equations(batch: Batch, score: Any) -> None:
    method = build(score=score)
    students, expected = method.students(batch.image), torch.ones(2, 64, 64)
    for k in LAYERS:
        teacher, student = units(batch.features[k], 1), units(students[k], 2)
        e = np.linalg.norm(teacher - student.mean(1), axis=1) ** 2 / 2
        v = np.linalg.norm(student.std(axis=1), axis=1) ** 2
        layer = torch.from_numpy({"e+v": e + v, "e": e, "v": v}[score]).float()
        expected *= resize_map(layer, (64, 64))
    found = method.anomaly_map(batch)
    torch.testing.assert_close(found, expected, atol=0, rtol=1e-4)
    torch.testing.assert_close(
        method.image_score(found, batch), expected.flatten(1).amax(1), atol=0, rtol=1e-4
    )


@torch.no_grad()
def test_map_has_the_size_of_an_image_that_is_not_square() -> None:
    assert build().anomaly_map(batch_of(size=(64, 96))).shape == (2, 64, 96)


@torch.no_grad()
def test_loss_is_the_sum_of_the_students_losses_as_stfpm(batch: Batch) -> None:
    method, alone = build(), thesis_stfpm()
    losses = []
    for network in method.students.networks:
        alone.student.load_state_dict(network.state_dict())
        losses.append(alone.loss(batch))
    torch.testing.assert_close(method.loss(batch), torch.stack(losses).sum())


@torch.no_grad()
def test_one_student_scored_by_its_error_is_stfpm_as_the_thesis_writes_it(batch: Batch) -> None:
    method, alone = build(students=1, score="e"), thesis_stfpm()
    torch.testing.assert_close(method.loss(batch), alone.loss(batch))
    torch.testing.assert_close(method.anomaly_map(batch), alone.anomaly_map(batch))
    (stage,), (expected,) = method.stages(), alone.stages()
    torch.testing.assert_close(method.validation_score(stage, batch), alone.validation_score(expected, batch))


def test_students_trained_together_end_as_those_trained_alone() -> None:
    batches = [batch_of(seed=seed, size=(32, 32)) for seed in range(3)]
    options: dict[str, float] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
    together = build(students=2)
    train(next(together.stages()), batches, torch.optim.SGD, **options)
    for network, trained in zip(build(students=2).students.networks, together.students.networks, strict=True):
        alone = thesis_stfpm()
        alone.student.load_state_dict(network.state_dict())
        train(next(alone.stages()), batches, torch.optim.SGD, **options)
        torch.testing.assert_close(
            dict(trained.state_dict()), dict(alone.student.state_dict()), atol=1e-4, rtol=1e-4
        )


@torch.no_grad()
def test_students_who_agree_have_no_variance_and_the_score_of_one(batch: Batch) -> None:
    method, alone = build(), build(students=1, score="e")
    for network in method.students.networks:
        network.load_state_dict(alone.students.networks[0].state_dict())
    torch.testing.assert_close(method.anomaly_map(batch), alone.anomaly_map(batch))
    method.score = "v"
    assert method.anomaly_map(batch).max() < 1e-12


@torch.no_grad()
def test_students_equal_to_the_teacher_find_nothing(batch: Batch) -> None:
    method = build()
    for network in method.students.networks:
        network.load_state_dict(random_backbone().teacher(LAYERS).state_dict())
    assert method.loss(batch).item() < 1e-10
    assert method.anomaly_map(batch).max() < 1e-10


@EACH_SCORE
@torch.no_grad()
def test_the_score_changes_neither_the_training_nor_the_choice_of_the_epoch(batch: Batch, score: Any) -> None:
    method, usual = build(score=score), build()
    (stage,), (expected,) = method.stages(), usual.stages()
    assert method.keeps_best_epoch
    assert stage.module is method.students
    torch.testing.assert_close(stage.loss(batch), expected.loss(batch), atol=0, rtol=0)
    torch.testing.assert_close(
        method.validation_score(stage, batch), usual.anomaly_map(batch).mean((1, 2)), atol=0, rtol=0
    )


def test_loss_falls_with_the_published_optimiser() -> None:
    (stage,) = build(students=2).stages()
    losses = train(stage, [batch_of(count=4)] * 6, torch.optim.SGD, lr=0.4, momentum=0.9, weight_decay=1e-4)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("students", [0, -1])
def test_no_students_are_refused(students: int) -> None:
    with pytest.raises(MethodError, match=rf"method\.students: found {students}; expected 1 to 100"):
        build(students=students, score="e")


@pytest.mark.parametrize("score", ["e+v", "v"])
def test_the_variance_of_one_student_is_refused(score: Any) -> None:
    with pytest.raises(MethodError, match=r"method\.students: found 1; .*method\.score=e"):
        build(students=1, score=score)
