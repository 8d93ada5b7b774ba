"""RD++: its projections, its noise, its three losses, and what it shares with RD."""

import dataclasses
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from datasets.batch import Batch
from methods.errors import MethodError
from methods.method import Stage
from methods.rd import ReverseDistillation
from methods.rd_plus_plus import RDPlusPlus, projection
from tests.conftest import PROJECT_ROOT
from tests.methods.samples import batch_of, random_backbone

SIDE = 128
BACKBONE = random_backbone()
LAYERS = BACKBONE.pyramid
DEVIATION = torch.tensor(BACKBONE.normalisation.std)[:, None, None]


def build(**options: Any) -> RDPlusPlus:
    torch.manual_seed(1)
    return RDPlusPlus(BACKBONE, **options).eval()


def stage_of(method: RDPlusPlus) -> Stage:
    (stage,) = method.stages()
    return stage


def with_noise(method: RDPlusPlus, batch: Batch) -> Batch:
    """Return a batch with the teacher's features of what the method made of its images."""
    with torch.no_grad():
        features = BACKBONE.teacher(LAYERS)(method.changed(stage_of(method), batch))
    return dataclasses.replace(batch, changed=features)


@pytest.fixture(scope="module")
def batch() -> Batch:
    return with_noise(build(), batch_of(LAYERS, count=3))


@pytest.mark.parametrize("channels", [16, 64, 1])
def test_a_projection_narrows_to_a_quarter_and_keeps_shapes(channels: int) -> None:
    found = projection(channels)
    kinds = [type(layer) for layer in found]
    assert kinds == [nn.Conv2d, nn.InstanceNorm2d, nn.LeakyReLU] * 4
    convolutions = [layer for layer in found if isinstance(layer, nn.Conv2d)]
    half, quarter = max(channels // 2, 1), max(channels // 4, 1)
    assert [c.out_channels for c in convolutions] == [half, quarter, half, channels]
    assert all(c.kernel_size == (3, 3) and c.bias is not None for c in convolutions)
    assert found(torch.randn(2, channels, 8, 6)).shape == (2, channels, 8, 6)


def test_a_projection_sees_an_image_alone_and_no_scale() -> None:
    """InstanceNorm: neither other images, nor brightness, nor evaluation mode changes what an image gives."""
    found, x = projection(16), torch.randn(3, 16, 8, 8)
    with torch.no_grad():
        expected = found.train()(x)
        torch.testing.assert_close(found(x[:1]), expected[:1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.eval()(x), expected)


def test_the_projections_are_a_group_of_their_own_with_the_published_rates() -> None:
    method = build()
    assert dict(stage_of(method).groups) == {"projections": method.projections}
    assert stage_of(method).module is method
    published = yaml.safe_load((PROJECT_ROOT / "conf/method/rd_plus_plus.yaml").read_text())["training"]
    optimizer = published["optimizer"]
    assert (optimizer["lr"], optimizer["groups"]) == (0.005, {"projections": {"lr": 0.001}})
    assert published["accumulate"] == 2


@torch.no_grad()
def test_the_bottleneck_sees_projections_and_the_decoder_restores_the_teacher(batch: Batch) -> None:
    method = build()
    projected = method.projected(batch.features)
    assert [x.shape for x in projected] == [batch.features[k].shape for k in LAYERS]
    assert method.bottleneck is not None
    expected = method.decoder(method.bottleneck(projected))
    restored = method.student_features(batch)
    for k, value in zip(LAYERS, expected, strict=True):
        assert torch.equal(restored[k], value)
        assert value.shape == batch.features[k].shape


@torch.no_grad()
def test_with_projections_that_change_nothing_it_is_rd(batch: Batch) -> None:
    ours = build(projection_weight=0.0)
    torch.manual_seed(1)
    rd = ReverseDistillation(BACKBONE).eval()
    ours.projections = nn.ModuleList(nn.Identity() for _ in LAYERS)
    assert torch.equal(ours.loss(batch), rd.loss(batch))
    assert torch.equal(ours.anomaly_map(batch), rd.anomaly_map(batch))


def noise_of(method: RDPlusPlus, count: int = 8, side: int = SIDE) -> Tensor:
    """Return what the method adds to images, for pixels from 0 to 1."""
    image = torch.randn(count, 3, side, side)
    added = method.changed(stage_of(method), Batch(image, torch.zeros(count))) - image
    return added * DEVIATION


def test_noise_is_a_patch_of_random_size_and_place() -> None:
    torch.manual_seed(0)
    added = noise_of(build(), count=40, side=256)
    sizes, corners = set(), set()
    for each in added.abs().amax(1) > 1e-5:
        rows, columns = (each.any(axis).nonzero().flatten() for axis in (1, 0))
        assert rows.numel() >= 9
        sizes.add((int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1))
        corners.add((int(rows[0]), int(columns[0])))
    assert all(9 <= side <= 31 for size in sizes for side in size)
    assert len(sizes) > 20
    assert len(corners) > 30
    assert 0.1 < added.abs().max() < 0.2 * sum(0.6**k for k in range(6))


def test_all_patches_begin_the_same_field_and_the_seed_decides_it() -> None:
    method = build()
    assert torch.equal(method.field(31, 31), build().field(31, 31))
    torch.manual_seed(2)
    assert not torch.equal(RDPlusPlus(BACKBONE).field(31, 31), method.field(31, 31))
    for each in noise_of(method):
        rows, columns = (each.abs().amax((0, axis)).gt(1e-5).nonzero().flatten() for axis in (2, 1))
        top, left = int(rows[0]), int(columns[0])
        found = each[:, top : top + 9, left : left + 9]
        field = method.field(SIDE // 8, SIDE // 8) * DEVIATION
        torch.testing.assert_close(found, field[:, :9, :9], rtol=1e-4, atol=1e-5)


def test_size_and_place_come_from_the_global_generator() -> None:
    method, found = build(), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(noise_of(method, count=2))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-6)
    assert not torch.equal(found[0] > 1e-5, found[2] > 1e-5)


def test_the_noise_has_values_where_the_networks_have_none() -> None:
    with torch.device("meta"):
        method = RDPlusPlus(BACKBONE)
    assert noise_of(method).any()


def test_without_noise_images_stay_as_they_are_and_small_ones_have_room() -> None:
    assert not noise_of(build(noise=0.0)).any()
    for side in (16, 32, 64):
        assert noise_of(build(), side=side).any()


def parts(method: RDPlusPlus, batch: Batch) -> dict[str, float]:
    """Return the losses of the projections, each written out."""
    found = {"reconstruction": 0.0, "contrast": 0.0}
    clean, noisy = (method.projected(f) for f in (batch.features, batch.changed))
    for k, p, q in zip(LAYERS, clean, noisy, strict=True):
        lengths = p.norm(dim=1) * q.norm(dim=1)
        found["reconstruction"] += (1 - (p * q).sum(1) / lengths).mean().item()
        for t, each in zip(batch.changed[k].flatten(1), p.flatten(1), strict=True):
            cosine = (t @ each / t.norm() / each.norm()).item()
            found["contrast"] += max(cosine - 0.5, 0) / len(batch)
    return found


@torch.no_grad()
def test_the_loss_is_rds_plus_the_weighted_losses_of_the_projections(batch: Batch) -> None:
    method = build()
    for project in method.projections:  # close to the teacher, so that the contrast is not 0
        project.forward = lambda x: x + 0.1 * x.roll(1, 2)
    found = parts(method, batch)
    assert min(found.values()) > 1e-4
    own = method.distillation(batch, method.student_features(batch)).item()
    expected = own + 0.2 * (0.01 * found["reconstruction"] + 0.1 * found["contrast"]) / 1.11
    assert method.loss(batch).item() == pytest.approx(expected, rel=1e-5)
    other = build(projection_weight=1.0, reconstruction_weight=1.0, contrast_weight=0.0)
    other.projections = method.projections
    assert other.loss(batch).item() == pytest.approx(own + found["reconstruction"] / 2, rel=1e-5)


def test_the_teachers_features_of_noise_reach_the_projections(batch: Batch) -> None:
    method = build()
    changed = {k: value.clone().requires_grad_() for k, value in batch.changed.items()}
    method.loss(dataclasses.replace(batch, changed=changed)).backward()
    assert all(value.grad is not None and value.grad.any() for value in changed.values())
    silent = dataclasses.replace(batch, changed=batch.features)
    assert method.loss(silent).item() != pytest.approx(method.loss(batch).item(), rel=1e-7)


def test_transport_changes_neither_value_nor_gradient(batch: Batch) -> None:
    """Compared with the projections' other losses, at what they give: no convolution follows that would round."""
    found: list[list[Any]] = []
    for transport in (True, False):
        method = build(transport=transport)
        with torch.no_grad():
            normal, noisy = method.projected(batch.features), method.projected(batch.changed)
        given = [x.requires_grad_() for x in (*normal, *noisy)]
        loss = method.projection_loss(batch, normal, noisy)
        loss.backward()
        found.append([loss, *(x.grad for x in given)])
    for mine, other in zip(*found, strict=True):
        assert (mine - other).abs().max() <= 1e-6 * other.abs().max()


def test_every_parameter_learns_and_the_loss_falls() -> None:
    method = build(transport=False).train()
    seen, losses = with_noise(method, batch_of(LAYERS, count=4)), []
    optimizer = torch.optim.Adam(method.parameters(), lr=0.005, betas=(0.5, 0.999))
    for _ in range(5):
        value = method.loss(seen)
        optimizer.zero_grad()
        value.backward()
        assert all(p.grad is not None for p in method.parameters())
        weights = [p for p in method.parameters() if p.dim() > 1]
        assert all(p.grad.any() for p in weights if p.grad is not None)
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("option", "value"),
    [("projection_weight", -1.0), ("reconstruction_weight", -0.1), ("contrast_weight", 1e9), ("noise", -1.0)],
)
def test_weights_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(MethodError, match=rf"method\.{option}: found {value}; expected 0 to "):
        build(**{option: value})
