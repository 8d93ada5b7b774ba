"""AST: the likelihood and distance of the definition, its rules for scores, and its training."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from benchmark.scoring import predict
from datasets.batch import Batch
from methods.ast import AsymmetricStudentTeacher, positional_encoding
from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from methods.flow import ConditionalFlow
from tests.methods.samples import batch_of, meta_batch, random_backbone, train

BACKBONE, CPU = random_backbone("resnet18"), torch.device("cpu")
EACH_STUDENT = pytest.mark.parametrize("student", ["asymmetric", "symmetric", "deeper_flow"])


def build(layer: str = "layer1", seed: int = 1, **options: Any) -> AsymmetricStudentTeacher:
    torch.manual_seed(seed)
    small = {"coupling_blocks": 2, "flow_hidden": 16, "student_hidden": 32, "student_blocks": 2}
    return AsymmetricStudentTeacher(BACKBONE, [layer], **(small | options)).eval()


def awake(method: AsymmetricStudentTeacher) -> AsymmetricStudentTeacher:
    """Set the gammas, which are 0 at first, so that the flows transform their inputs."""
    for name, parameter in method.named_parameters():
        if name.endswith("gamma"):
            nn.init.ones_(parameter)
    return method


def batch_with(features: Tensor, side: int = 32) -> Batch:
    count = len(features)
    return Batch(torch.zeros(count, 3, side, side), torch.zeros(count), features={"layer1": features})


def normal_features(count: int, seed: int, size: tuple[int, int] = (6, 6)) -> Tensor:
    """Return maps of 64 channels that lie in 4 dimensions, but for a little noise."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    values = torch.einsum("cd,bdhw->bchw", directions, torch.randn(count, 4, *size, generator=generator))
    return values.tanh() + 0.1 * torch.randn(values.shape, generator=generator)


@pytest.fixture(scope="module")
def batch() -> Batch:
    return batch_of(["layer1", "layer3"], backbone=BACKBONE)


@pytest.mark.parametrize("size", [(24, 24), (3, 5)], ids=str)
def test_the_encoding_gives_each_location_its_own_code(size: tuple[int, int]) -> None:
    code = positional_encoding(32, *size, CPU)
    assert code.shape == (32, *size)
    assert code.abs().max() <= 1
    columns, rows = code.chunk(2)
    assert torch.equal(columns, columns[:, :1].expand_as(columns))
    assert torch.equal(rows, rows[:, :, :1].expand_as(rows))
    locations = code.flatten(1).T
    distances = torch.cdist(locations, locations) + 9 * torch.eye(len(locations))
    assert distances.min() > 0.1


def test_sines_and_cosines_alternate_and_their_frequencies_fall() -> None:
    code = positional_encoding(16, 9, 9, CPU)
    for k, frequency in enumerate([1, 10**-1, 10**-2, 10**-3]):
        for at in (0, 1, 8):
            wave = [math.sin(at * frequency), math.cos(at * frequency)]
            assert code[2 * k : 2 * k + 2, 3, at].tolist() == pytest.approx(wave, abs=1e-6)
            assert code[8 + 2 * k : 10 + 2 * k, at, 3].tolist() == pytest.approx(wave, abs=1e-6)


def test_the_encoding_can_be_switched_off(batch: Batch) -> None:
    method = build(position_channels=0)
    assert positional_encoding(0, 3, 5, CPU).shape == (0, 3, 5)
    assert method.inputs(batch)[1].shape == (2, 0, 16, 16)
    assert method.anomaly_map(batch).shape == (2, 16, 16)


@EACH_STUDENT
@torch.no_grad()
def test_flow_and_student_know_where_they_are(student: Any) -> None:
    method = awake(build(student=student, position_channels=8))
    same = batch_with(normal_features(1, 0, (1, 1)).expand(-1, -1, 8, 8))
    for values in (method.nll(same), method.distance(same)):
        assert (values - values[0, 4, 4]).abs().max() > 1e-3


@torch.no_grad()
def test_nll_of_an_untrained_flow_is_that_of_a_standard_normal(batch: Batch) -> None:
    features = batch.features["layer1"]
    constant = 64 / 2 * math.log(2 * math.pi)
    expected = -Normal(0, 1).log_prob(features).sum(1) - constant
    torch.testing.assert_close(build().nll(batch), expected, rtol=1e-5, atol=1e-3)


@torch.no_grad()
def test_nll_takes_the_log_determinant_off(batch: Batch) -> None:
    method = awake(build())
    z, log_det = method.flow(*method.inputs(batch))
    assert log_det.abs().min() > 0
    torch.testing.assert_close(method.nll(batch), z.square().sum(1) / 2 - log_det)


@EACH_STUDENT
@torch.no_grad()
def test_distance_is_the_mean_over_channels_of_the_squared_difference(batch: Batch, student: Any) -> None:
    method = build(student=student)
    features, encoding = method.inputs(batch)
    teacher = method.flow(features, encoding)[0]
    if student == "asymmetric":
        output = method.student(torch.cat([features, encoding], 1))
    else:
        output = method.student(features, encoding)[0]
    at = (1, slice(None), 3, 5)
    expected = sum((a - b) ** 2 for a, b in zip(teacher[at].tolist(), output[at].tolist(), strict=True)) / 64
    assert method.distance(batch).shape == (2, 16, 16)
    assert method.distance(batch)[1, 3, 5].item() == pytest.approx(expected, rel=1e-4)


def test_a_student_equal_to_the_teacher_finds_nothing(batch: Batch) -> None:
    method = build(student="symmetric")
    method.student.load_state_dict(method.flow.state_dict())
    assert not method.distance(batch).any()


@torch.no_grad()
def test_the_losses_are_means_over_images_and_locations(batch: Batch) -> None:
    method = build()
    flow, student = method.stages()
    assert (flow.name, student.name) == ("flow", "student")
    assert flow.module is method.flow
    assert student.module is method.student
    assert flow.loss(batch).item() == pytest.approx(method.nll(batch).mean().item())
    assert student.loss(batch).item() == pytest.approx(method.distance(batch).mean().item())
    assert not method.keeps_best_epoch


@EACH_STUDENT
def test_targets_are_the_teachers_outputs_that_the_students_loss_reads(batch: Batch, student: Any) -> None:
    method = awake(build(student=student))
    flow_stage, stage = method.stages()
    assert method.targets(flow_stage, batch) == {}
    targets = method.targets(stage, batch)
    assert {name: value.requires_grad for name, value in targets.items()} == {"flow": False}
    torch.testing.assert_close(targets["flow"], method.teacher_student_pairs(batch)[0])  # type: ignore[index]
    known = replace(batch, targets=targets)
    results = []
    for given in (batch, known):
        method.zero_grad()
        loss = stage.loss(given)
        loss.backward()
        results.append([loss, *(p.grad for p in method.student.parameters())])
    torch.testing.assert_close(results[1], results[0], atol=0, rtol=0)
    other = replace(batch, targets={"flow": targets["flow"] + 1})
    assert stage.loss(other) != stage.loss(known)
    assert flow_stage.loss(other) == flow_stage.loss(batch)


def test_training_the_student_leaves_the_flow_alone(batch: Batch) -> None:
    method = build()
    _, student = method.stages()
    student.loss(batch).backward()
    assert all(p.grad is not None and p.grad.any() for p in method.student.parameters())
    assert all(p.grad is None for p in method.flow.parameters())


@EACH_STUDENT
def test_every_loss_falls_and_an_anomaly_stands_out(student: Any) -> None:
    method = build(student=student, position_channels=8)
    batches = [batch_with(normal_features(16, seed=1))] * 30
    losses = {stage.name: train(stage, batches, torch.optim.Adam, lr=3e-3) for stage in method.stages()}
    assert losses["flow"][-1] < losses["flow"][0] - 10
    assert losses["student"][-1] < 0.7 * losses["student"][0]
    normal = normal_features(1, seed=2)
    defective = normal.clone()
    defective[0, :, 4, 2] = normal[0, :, 4, 2].flip(
        0
    )  # each value occurs in normal images, the combination does not
    both = batch_with(torch.cat([normal, defective]))
    with torch.no_grad():
        for values in (method.nll(both), method.distance(both)):
            rise = values[1] - values[0]
            assert divmod(int(rise.argmax()), 6) == (4, 2)
            assert rise[4, 2] > 3 * values[0].std()
        scores = method.image_score(method.anomaly_map(both), both)
    assert scores[1] > scores[0]


def test_the_likelihood_alone_needs_no_student(batch: Batch) -> None:
    method = build(score="nll")
    (stage,) = method.stages()
    assert stage.name == "flow"
    assert all(name.startswith("flow.") for name in method.state_dict())
    with torch.no_grad():
        assert torch.equal(method.anomaly_map(batch), method.nll(batch))


@torch.no_grad()
def test_the_map_has_the_size_of_an_image_that_is_not_square() -> None:
    anomaly_map, _ = predict(build("layer3"), batch_of(["layer3"], size=(64, 96), backbone=BACKBONE))
    assert anomaly_map.shape == (2, 64, 96)


@torch.no_grad()
def test_the_map_is_interpolated_by_cubics(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    method = build("layer3")
    peak = torch.zeros(2, 8, 8)
    peak[:, 3, 5] = 1.0
    monkeypatch.setattr(method, "distance", lambda given: peak)
    first = predict(method, batch)[0][0]
    assert divmod(int(first.argmax()), 64) in [(row, column) for row in (27, 28) for column in (43, 44)]
    assert first.min() < 0  # cubics swing through, which straight lines do not
    assert first.mean().item() == pytest.approx(1 / 64, rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("rule", ["mean", "max"])
def test_images_are_scored_at_feature_size_or_after_enlarging(rule: Any, batch: Batch) -> None:
    """Cubics overshoot the largest distance, and change the mean through the border alone."""
    methods = [build("layer3", image_score=rule, score_size=size) for size in ("features", "image")]
    methods[1].load_state_dict(methods[0].state_dict())
    (large, before), (same, after) = (predict(method, batch) for method in methods)
    distance, reduce = methods[0].distance(batch), torch.amax if rule == "max" else torch.mean
    assert torch.equal(large, same)
    assert torch.equal(before, reduce(distance, (1, 2)))
    assert torch.equal(after, reduce(large, (1, 2)))
    torch.testing.assert_close(before, after, rtol=0.25 if rule == "max" else 0.01, atol=0)
    assert not torch.equal(before, after)


ANOMALY_MAP = torch.tensor([[[1.0, 2.0], [3.0, 10.0]], [[-4.0, -3.0], [-2.0, 9.0]]])


@pytest.mark.parametrize(
    ("rule", "expected"), [("auto", [4.0, 0.0]), ("mean", [4.0, 0.0]), ("max", [10.0, 9.0])]
)
def test_images_without_depth_are_scored_by_the_mean_by_default(rule: Any, expected: list[float]) -> None:
    batch = batch_with(torch.zeros(2, 64, 2, 2))
    assert build(image_score=rule).image_score(ANOMALY_MAP, batch).tolist() == expected


def test_the_published_pair_has_304_x_24_x_24_features_and_133_million_parameters() -> None:
    backbone = FeatureBackbone("tf_efficientnet_b5.aa_in1k", "random")
    with torch.device("meta"):
        method = AsymmetricStudentTeacher(backbone, ["blocks.5"])
    batch = meta_batch(backbone, ["blocks.5"], side=768)
    assert batch.features["blocks.5"].shape == (2, 304, 24, 24)
    assert method.nll(batch).shape == method.distance(batch).shape == (2, 24, 24)
    assert method.enlarged(method.anomaly_map(batch), batch).shape == (2, 768, 768)
    millions = {
        name: sum(p.numel() for p in module.parameters() if p.requires_grad) / 1e6
        for name, module in (("flow", method.flow), ("student", method.student))
    }
    assert millions == pytest.approx({"flow": 51.98, "student": 81.42}, abs=0.01)


def test_the_student_is_figure_4() -> None:
    kinds = [type(m) for m in build(student_blocks=1).student.modules() if not list(m.children())]
    unit = [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU]
    assert kinds == [nn.Conv2d, nn.LeakyReLU, *unit, *unit, nn.Conv2d]
    slopes = {
        m.negative_slope for m in build(leaky_slope=0.01).student.modules() if isinstance(m, nn.LeakyReLU)
    }
    assert slopes == {0.01}
    widths = [m.out_channels for m in build().student.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [32] * 5 + [64]


@pytest.mark.parametrize(("student", "blocks"), [("symmetric", 3), ("deeper_flow", 6)])
def test_a_flow_can_be_the_student(student: Any, blocks: int) -> None:
    method = build(student=student, coupling_blocks=3)
    assert isinstance(method.student, ConditionalFlow)
    assert (len(method.flow.steps), len(method.student.steps)) == (6, 2 * blocks)
    first, other = (flow.state_dict()["steps.module_list.0.perm"] for flow in (method.flow, method.student))
    assert not torch.equal(first, other)


def test_a_diverged_likelihood_exceeds_the_largest_loss() -> None:
    method = build()
    assert method.max_loss == 1e4 * 64
    for stage in method.stages():
        assert stage.loss(batch_with(normal_features(1, 0))) < method.max_loss / 100
    assert method.flow_loss(batch_with(1e3 * normal_features(1, 0))) > method.max_loss


@EACH_STUDENT
def test_bfloat16_autocast_gives_nearly_the_same(batch: Batch, student: Any) -> None:
    method = build(student=student)
    for stage in method.stages():
        with torch.autocast("cpu", torch.bfloat16):
            low = stage.loss(batch)
        low.backward()
        assert low.dtype == torch.float32
        assert low.item() == pytest.approx(stage.loss(batch).item(), rel=0.02)


@pytest.mark.parametrize("layers", [[], ["layer1", "layer2"]], ids=str)
def test_other_than_one_layer_is_refused(layers: list[str]) -> None:
    with pytest.raises(MethodError, match=r"method.layers: found \[.*; expected exactly one"):
        AsymmetricStudentTeacher(BACKBONE, layers)


def test_a_layer_of_another_backbone_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        MethodError, match=r"no layer 'blocks.5'; known: act1, layer1, layer2, layer3, layer4"
    ):
        AsymmetricStudentTeacher(BACKBONE, ["blocks.5"])


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("position_channels", 6, "a multiple of 4"),
        ("position_channels", -4, "0 to 1024"),
        ("coupling_blocks", 0, "1 to 128"),
        ("clamp", 0.0, "more than 0"),
        ("clamp", -1.9, "more than 0"),
    ],
)
def test_a_number_out_of_range_is_answered_with_the_expected_range(
    option: str, value: Any, expected: str
) -> None:
    with pytest.raises(MethodError, match=f"method.{option}: found {value}; expected {expected}"):
        build(**{option: value})
