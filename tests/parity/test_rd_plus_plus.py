"""RD++ and its authors' released code, with equal weights: noise, losses, a step on two batches, map and score."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
import yaml
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from benchmark.scoring import predict
from benchmark.settings.training import StageConfig
from benchmark.training.steps import Steps
from datasets.batch import Batch
from methods.rd_plus_plus import OCTAVES, PERIOD, PERSISTENCE, RDPlusPlus
from methods.simplex import SimplexNoise
from tests.conftest import PROJECT_ROOT
from tests.methods.samples import IMAGENET, LAYERS, batch_of, random_backbone
from tests.parity.authors import CPU, check, checkout, copy_weights, in_order, modules_of

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

NAME = "Revisiting-Reverse-Distillation"
ROUNDING, AFTER_A_STEP = 2e-5, 1e-4
SKIPPED_VERTICES = 5e-4
"""The released noise leaves out some vertices whose bumps are below 1e-4; relative to its largest value."""


@pytest.fixture(autouse=True)
def compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the released code's compiled loops as they are, and on the CPU."""
    numba: Any = ModuleType("numba")
    numba.prange, numba.njit = range, plain
    move = torch.Tensor.to
    monkeypatch.setitem(sys.modules, "numba", numba)
    monkeypatch.setattr(torch.Tensor, "to", lambda x, *where: x if where == ("cuda",) else move(x, *where))


def plain(*function: Any, **_: Any) -> Any:
    return function[0] if function else lambda given: given


def test_noise(tmp_path: Path) -> None:
    with modules_of(checkout(NAME)) as load:
        data: Any = load("dataset.dataset")
    side, image = 256, np.full((256, 256, 3), 127.5)
    data.cv2 = MagicMock(imread=lambda _: image, cvtColor=lambda x, _: x, resize=lambda x, _: x)
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "000.png").touch()
    np.random.seed(0)  # noqa: NPY002 - the released code draws from it
    theirs = data.MVTecDataset_train(tmp_path, data.get_data_transforms(side, side)[0])
    permutation = torch.from_numpy(theirs.simplexNoise._perm)
    field = SimplexNoise(permutation).octaves((3, 31, 31), OCTAVES, PERSISTENCE, PERIOD)
    released = theirs.simplexNoise.rand_3d_octaves((3, 31, 31), 6, 0.6)
    check("rd_plus_plus noise", field, released, SKIPPED_VERTICES)

    method = RDPlusPlus(random_backbone())
    method.simplex = SimplexNoise(permutation)
    for _ in range(3):
        clean, noisy, _name = theirs[0]
        added = (noisy - clean).double()
        rows, columns = (added.abs().amax((0, axis)).nonzero().flatten() for axis in (2, 1))
        top, left = int(rows[0]), int(columns[0])
        height, width = int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
        assert all(10 <= size < 32 for size in (height, width))
        patch = added[:, top : top + height, left : left + width]
        check("rd_plus_plus patch", method.field(32, 32)[:, :height, :width], patch, SKIPPED_VERTICES)
    assert tuple(data.Normalize().std) == IMAGENET.std


@pytest.mark.parametrize(("network", "base"), [("resnet18", 16), ("wide_resnet50_2", 64)])
def test_rd_plus_plus(network: str, base: int) -> None:
    pytest.importorskip("geomloss")
    with modules_of(checkout(NAME)) as load:
        encoders, decoders = load("model.resnet"), load("model.de_resnet")
        training, scoring = load("utils.utils_train"), load("utils.utils_test")
    backbone = random_backbone(network)
    ours, teacher = RDPlusPlus(backbone).eval(), backbone.teacher(LAYERS)
    batches = [completed(ours, batch_of(backbone=backbone, seed=seed), teacher) for seed in (0, 1)]
    batch = batches[0]
    encoder, bottleneck = getattr(encoders, network)(pretrained=False)
    decoder = getattr(decoders, f"de_{network}")(pretrained=False)
    projections = training.MultiProjectionLayer(base)
    for module in (encoder, bottleneck, decoder, projections):
        module.eval()

    def theirs() -> Any:
        return decoder(bottleneck(projections(encoder(batch.image))))

    known = in_order(teacher, lambda: teacher(batch.image))
    copy_weights(known, in_order(encoder, lambda: encoder(batch.image))[: len(known)])
    student = nn.ModuleList([projections, bottleneck, decoder])
    copy_weights(in_order(ours, lambda: ours.student_features(batch)), in_order(student, theirs))

    def compare(when: str, limit: float) -> None:
        with torch.no_grad():
            found: Sequence[Sequence[Tensor]] = (encoder(batch.image), theirs())
        ones = [[[x[i : i + 1] for x in each] for each in found] for i in range(len(batch))]
        maps = [scoring.cal_anomaly_map(*one, batch.image.shape[-1], amap_mode="a")[0] for one in ones]
        blurred = np.stack([gaussian_filter(each, sigma=4) for each in maps])
        with torch.no_grad():
            anomaly_map, score = predict(ours.eval(), batch)
        check(f"rd_plus_plus {network} map{when}", anomaly_map, blurred, limit)
        check(f"rd_plus_plus {network} score{when}", score, blurred.max((1, 2)), limit)

    compare("", ROUNDING)
    released = training.Revisit_RDLoss()
    compare_losses(network, ours, batch, released, encoder, projections)

    settings = yaml.safe_load((PROJECT_ROOT / "conf/method/rd_plus_plus.yaml").read_text())["training"]
    (stage,) = ours.stages()
    steps = Steps(stage, StageConfig(2, settings["optimizer"], accumulate=settings["accumulate"]), 1)
    student.train()
    ours.train()
    rates = [
        (list(projections.parameters()), 0.001),
        (list(student[1:].parameters()), 0.005),
    ]  # main.py:72-73
    optimizers = [torch.optim.Adam(each, lr=lr, betas=(0.5, 0.999)) for each, lr in rates]
    for number, each in enumerate(batches):  # main.py:135-154
        inputs, noisy = encoder(each.image), [each.changed[k] for k in LAYERS]
        changed, features = projections(inputs, features_noise=noisy)
        restored = decoder(bottleneck(features))
        loss = training.loss_fucntion(inputs, restored) + 0.2 * released(noisy, changed, features)
        loss.backward()
        check(f"rd_plus_plus {network} loss {number + 1}", steps.take(each, CPU), loss, ROUNDING)
    for optimizer in optimizers:
        optimizer.step()
    student.eval()
    compare(" after a step", AFTER_A_STEP)


def completed(method: RDPlusPlus, batch: Batch, teacher: Callable[[Tensor], dict[str, Tensor]]) -> Batch:
    """Return the batch with the teacher's features of its images with noise."""
    (stage,) = method.stages()
    with torch.no_grad():
        return replace(batch, changed=teacher(method.changed(stage, batch)))


def compare_losses(
    network: str, ours: RDPlusPlus, batch: Batch, released: Any, encoder: nn.Module, projections: Any
) -> None:
    """Compare the losses of the projections, summed as they are weighted."""
    with torch.no_grad():
        inputs, noisy = encoder(batch.image), [batch.changed[k] for k in LAYERS]
        changed, features = projections(inputs, features_noise=noisy)
        expected = released(noisy, changed, features)
        found = ours.projection_loss(batch, ours.projected(batch.features), ours.projected(batch.changed))
    check(f"rd_plus_plus {network} projections' loss", found, expected, ROUNDING)
