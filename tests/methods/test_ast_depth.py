"""AST on depth: the input of each mode, a background that never counts, and unusable depth."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle

from datasets.batch import Batch
from methods.ast import AsymmetricStudentTeacher
from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from tests.methods.samples import meta_batch, random_backbone, train

EACH_DEPTH_MODE = pytest.mark.parametrize("mode", ["depth", "rgbd"])
EACH_SCORE = pytest.mark.parametrize("score", ["distance", "nll"])
SQUARE = 4  # pixels of depth a side that make one location


def build(mode: str = "rgbd", **options: Any) -> AsymmetricStudentTeacher:
    torch.manual_seed(1)
    small = {"coupling_blocks": 2, "flow_hidden": 16, "student_hidden": 32, "student_blocks": 1}
    given: dict[str, Any] = small | {"mode": mode, "unshuffle": SQUARE} | options
    return AsymmetricStudentTeacher(random_backbone("resnet18"), ["layer1"], **given).eval()


def example(foreground: Tensor, seed: int = 0) -> Batch:
    """Return features and depth of noise for a foreground (B, h, w) of locations."""
    count, height, width = foreground.shape
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 64, height, width, generator=generator)
    depth = torch.randn(count, 1, SQUARE * height, SQUARE * width, generator=generator)
    mask = foreground.repeat_interleave(SQUARE, 1).repeat_interleave(SQUARE, 2)[:, None]
    image = torch.zeros(count, 3, 8 * height, 8 * width)
    return Batch(image, torch.zeros(count), depth=depth, foreground=mask, features={"layer1": features})


def left(count: int = 2, side: int = 6, columns: int = 2) -> Tensor:
    foreground = torch.zeros(count, side, side, dtype=torch.bool)
    foreground[..., :columns] = True
    return foreground


def results(method: AsymmetricStudentTeacher, batch: Batch) -> list[Tensor]:
    """Return losses, map and scores of a batch."""
    with torch.no_grad():
        anomaly_map = method.anomaly_map(batch)
        losses = [stage.loss(batch) for stage in method.stages()]
        return [*losses, anomaly_map, method.image_score(anomaly_map, batch)]


def test_unshuffled_depth_can_be_shuffled_back() -> None:
    batch = example(left())
    inputs, _ = build("depth").inputs(batch)
    assert inputs.shape == (2, SQUARE**2, 6, 6)
    assert batch.depth is not None
    assert torch.equal(pixel_shuffle(inputs, SQUARE), batch.depth)


def test_each_mode_sees_its_part() -> None:
    batch = example(left())
    rgb, depth, both = (build(mode).inputs(batch)[0] for mode in ("rgb", "depth", "rgbd"))
    assert torch.equal(rgb, batch.features["layer1"])
    assert torch.equal(both, torch.cat([rgb, depth], 1))
    assert [build(mode).teacher_layers for mode in ("rgb", "depth", "rgbd")] == [("layer1",), (), ("layer1",)]


def test_the_rgb_mode_looks_neither_at_depth_nor_at_the_foreground() -> None:
    batch = example(left())
    plain = replace(batch, depth=None, foreground=None)
    method = build("rgb")
    for value, expected in zip(results(method, batch), results(method, plain), strict=True):
        assert torch.equal(value, expected)


def test_the_published_modes_have_304_64_and_368_channels() -> None:
    backbone = FeatureBackbone("tf_efficientnet_b5.aa_in1k", "random")
    batch = meta_batch(backbone, ["blocks.5"], side=768)
    with torch.device("meta"):
        batch.depth = torch.empty(2, 1, 192, 192)
        channels = [
            AsymmetricStudentTeacher(backbone, ["blocks.5"], mode=mode).inputs(batch)[0].shape
            for mode in ("rgb", "depth", "rgbd")
        ]
    assert channels == [(2, 304, 24, 24), (2, 64, 24, 24), (2, 368, 24, 24)]


def add_to_outputs(method: AsymmetricStudentTeacher, change: Tensor) -> None:
    """Add `change` (B, h, w) to the outputs of teacher and student."""

    def flow_hook(module: Any, given: Any, output: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return output[0] + change[:, None], output[1] + change

    method.flow.register_forward_hook(flow_hook)
    if method.score == "distance":
        method.student.register_forward_hook(lambda module, given, output: output - change[:, None])


@EACH_DEPTH_MODE
@EACH_SCORE
def test_the_background_never_reaches_losses_maps_or_scores(mode: str, score: str) -> None:
    inside = left()
    batch = example(inside)
    clean, disturbed = build(mode, score=score), build(mode, score=score)
    add_to_outputs(disturbed, 100.0 * ~inside)
    for value, expected in zip(results(disturbed, batch), results(clean, batch), strict=True):
        assert torch.equal(value, expected)


@EACH_DEPTH_MODE
@EACH_SCORE
def test_the_foreground_reaches_all_of_them(mode: str, score: str) -> None:
    inside = left()
    batch = example(inside)
    clean, disturbed = build(mode, score=score), build(mode, score=score)
    add_to_outputs(disturbed, 100.0 * inside)
    for value, expected in zip(results(disturbed, batch), results(clean, batch), strict=True):
        assert not torch.equal(value, expected)


def test_losses_without_the_mask_are_those_of_every_location() -> None:
    batch, method = example(left()), build(masked=False)
    with torch.no_grad():
        assert torch.equal(method.flow_loss(batch), method.nll(batch).mean())


def test_the_loss_is_the_mean_over_all_foreground_locations_of_the_batch() -> None:
    inside = torch.stack([left(1, columns=1)[0], left(1, columns=5)[0]])
    values = torch.arange(72.0).view(2, 6, 6)
    loss = build().average(values, example(inside))
    assert loss.item() == pytest.approx(values[inside].mean().item())


def test_images_without_foreground_add_nothing_to_a_loss() -> None:
    inside = torch.cat([left(1), torch.zeros(1, 6, 6, dtype=torch.bool)])
    both, first, second = example(inside), example(inside), example(inside)
    for batch, part in ((first, slice(0, 1)), (second, slice(1, 2))):
        batch.depth, batch.foreground = both.depth[part], both.foreground[part]  # type: ignore[index]
        batch.features = {"layer1": both.features["layer1"][part]}
    method = build()
    assert method.flow_loss(both).item() == pytest.approx(method.flow_loss(first).item())
    alone = method.flow_loss(second)
    alone.backward()
    assert alone.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in method.parameters())


ANOMALY_MAP = torch.arange(36.0).view(1, 6, 6).repeat(2, 1, 1)
"""The largest values of a row stand on the right, where the background is."""


@pytest.mark.parametrize(
    ("rule", "masked", "expected"),
    [
        ("auto", True, 31.0),
        ("max", True, 31.0),
        ("mean", True, 15.5),
        ("auto", False, 17.5),
        ("max", False, 35.0),
    ],
)
def test_images_are_scored_by_the_maximum_over_their_foreground(
    rule: str, masked: bool, expected: float
) -> None:
    method = build(image_score=rule, masked=masked)
    assert method.image_score(ANOMALY_MAP, example(left())).tolist() == [expected, expected]


@pytest.mark.parametrize(("rule", "expected"), [("auto", 35.0), ("mean", 17.5)])
def test_an_image_without_foreground_is_scored_as_a_whole(rule: str, expected: float) -> None:
    method, batch = build(image_score=rule), example(torch.zeros(2, 6, 6, dtype=torch.bool))
    assert method.image_score(ANOMALY_MAP, batch).tolist() == [expected, expected]
    values = method.distance(batch)
    assert torch.equal(method.scored(batch), torch.ones_like(values, dtype=torch.bool))


@EACH_SCORE
@torch.no_grad()
def test_no_location_of_the_background_exceeds_one_of_the_foreground(
    score: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, batch = build(score=score), example(left())
    values = torch.randn(2, 6, 6) - (5 if score == "nll" else -5)
    monkeypatch.setattr(method, score, lambda given: values)
    anomaly_map = method.anomaly_map(batch)
    assert torch.equal(anomaly_map[..., :2], values[..., :2])
    assert (anomaly_map[..., 2:].amax((1, 2)) <= anomaly_map[..., :2].amin((1, 2))).all()


@pytest.mark.parametrize(
    ("pixel", "expected"), [((0, 0), False), ((1, 1), True), ((2, 2), True), ((3, 3), False)]
)
def test_a_location_is_foreground_where_bilinear_reduction_is_above_zero(
    pixel: tuple[int, int], expected: bool
) -> None:
    batch = example(torch.zeros(1, 2, 2, dtype=torch.bool))
    assert batch.foreground is not None
    batch.foreground[0, 0, pixel[0], SQUARE + pixel[1]] = True
    assert build().foreground(batch).tolist() == [[[False, expected], [False, False]]]


@EACH_DEPTH_MODE
def test_images_without_depth_are_refused(mode: str) -> None:
    batch = replace(example(left()), depth=None, foreground=None)
    with pytest.raises(
        MethodError, match=rf"method\.mode: found {mode}, but the images have no depth; expected rgb"
    ):
        build(mode).anomaly_map(batch)


@pytest.mark.parametrize(
    ("mode", "options", "message"),
    [
        (
            "rgbd",
            {"unshuffle": 8},
            "depth_size: found 24; expected 48, for 6 locations a side with method.unshuffle=8",
        ),
        ("depth", {"unshuffle": 5}, "depth_size: found 24; expected 20, for whole squares"),
        ("depth", {"unshuffle": 32}, "depth_size: found 24; expected 32, for whole squares"),
    ],
)
def test_a_size_of_depth_that_does_not_fit_is_answered_with_one_that_does(
    mode: str, options: dict[str, int], message: str
) -> None:
    with pytest.raises(MethodError, match=message):
        build(mode, **options).inputs(example(left()))


def test_less_than_one_pixel_a_location_is_refused() -> None:
    with pytest.raises(MethodError, match=r"method\.unshuffle: found 0; expected 1 to 64"):
        build(unshuffle=0)


@EACH_DEPTH_MODE
@pytest.mark.parametrize("student", ["asymmetric", "symmetric"])
def test_its_losses_fall_and_a_defect_in_depth_stands_out(mode: str, student: str) -> None:
    inside = left(8, columns=4)

    def smooth(seed: int) -> Batch:
        batch = example(inside, seed)
        levels = torch.rand(8, 1, 1, 1, generator=torch.Generator().manual_seed(seed))
        assert batch.depth is not None
        assert batch.foreground is not None
        return replace(batch, depth=(levels + 0.05 * batch.depth) * batch.foreground)

    method = build(mode, student=student)
    for stage in method.stages():
        losses = train(stage, [smooth(1)] * 60, torch.optim.Adam, lr=3e-3)
        assert losses[-1] < losses[0]
    normal = smooth(2)
    assert normal.depth is not None
    defective = replace(normal, depth=normal.depth.clone())
    defective.depth[:, :, 8:16, 4:12] += torch.linspace(-1, 1, 8)  # type: ignore[index]
    with torch.no_grad():
        scores = [method.image_score(method.anomaly_map(batch), batch) for batch in (normal, defective)]
    assert (scores[1] > scores[0].max()).all()


@EACH_DEPTH_MODE
def test_its_distances_are_those_of_its_pairs(mode: str) -> None:
    method, batch = build(mode), example(left())
    with torch.no_grad():
        pairs = method.teacher_student_pairs(batch)
        assert pairs is not None
        teacher, student, counts = pairs
        torch.testing.assert_close((student - teacher).square().mean(1), method.distance(batch))
    assert torch.equal(counts, left())


def test_without_a_student_there_are_no_pairs() -> None:
    assert build("depth", score="nll").teacher_student_pairs(example(left())) is None
