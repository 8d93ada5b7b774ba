"""This suite and the authors' released code, with equal weights: features, loss, one optimiser step, map and score.

    make parity AUTHORS=folder     # with checkouts in folder/RD4AD, folder/STFPM and folder/AST

Nothing is fetched. Differences are relative to the largest value; those after a step are larger, as Adam divides
gradients by their size, and so rounding errors where a gradient is zero.
"""

from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from FrEIA.modules import PermuteRandom
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from benchmark.scoring import predict
from datasets.batch import Batch
from methods.ast import AsymmetricStudentTeacher
from methods.backbone import FeatureBackbone
from methods.rd import ReverseDistillation
from methods.stfpm import STFPM
from tests.methods.samples import LAYERS, batch_of, random_backbone
from tests.parity.authors import check, checkout, copy_weights, in_order, modules_of, one_step

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

ROUNDING, AFTER_A_STEP = 2e-5, 1e-4


@torch.no_grad()
def scores_of(method: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    return predict(method.eval(), batch)


@pytest.mark.parametrize("network", ["resnet18", "wide_resnet50_2"])
def test_rd(network: str) -> None:
    with modules_of(checkout("RD4AD")) as load:
        main, scoring = load("main"), load("test")
    backbone = random_backbone(network)
    batch = batch_of(backbone=backbone)
    ours, teacher = ReverseDistillation(backbone).eval(), backbone.teacher(LAYERS)
    encoder, bottleneck = getattr(main, network)(pretrained=False)
    decoder = getattr(main, f"de_{network}")(pretrained=False)
    for module in (encoder, bottleneck, decoder):
        module.eval()

    def theirs() -> list[Tensor]:
        return decoder(bottleneck(encoder(batch.image)))

    known = in_order(teacher, lambda: teacher(batch.image))
    copy_weights(known, in_order(encoder, lambda: encoder(batch.image))[: len(known)])
    student = nn.ModuleList([bottleneck, decoder])
    copy_weights(in_order(ours, lambda: ours.student_features(batch)), in_order(student, theirs))

    features = encoder(batch.image)
    for layer, feature in zip(LAYERS, features, strict=True):
        check(f"rd {network} features, {layer}", batch.features[layer], feature, ROUNDING)

    def compare(when: str, limit: float) -> None:
        with torch.no_grad():
            restored = theirs()
        ones = [[[x[i : i + 1] for x in each] for each in (features, restored)] for i in range(len(batch))]
        maps = [scoring.cal_anomaly_map(*one, batch.image.shape[-1], amap_mode="a")[0] for one in ones]
        blurred = np.stack([gaussian_filter(each, sigma=4) for each in maps])
        anomaly_map, score = scores_of(ours, batch)
        check(f"rd {network} map{when}", anomaly_map, blurred, limit)
        check(f"rd {network} score{when}", score, blurred.max((1, 2)), limit)

    compare("", ROUNDING)
    student.train()
    optimizer = torch.optim.Adam(student.parameters(), lr=0.005, betas=(0.5, 0.999))  # main.py:87
    loss = main.loss_fucntion(encoder(batch.image), theirs())
    loss.backward()
    optimizer.step()
    student.eval()
    check(f"rd {network} loss", one_step("rd", next(ours.stages()), batch), loss.item(), ROUNDING)
    compare(" after a step", AFTER_A_STEP)


class Loader(list[Any]):
    """The batches of an epoch, with the length of the data set that the released code asks for."""

    dataset = range(2)


def test_stfpm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with modules_of(checkout("STFPM")) as load:
        main = load("main")
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    backbone, batch = random_backbone(), batch_of(count=2)
    ours, known = STFPM(backbone).eval(), backbone.teacher(LAYERS)
    teacher, student = (main.ResNet18_MS3(pretrained=False).eval() for _ in range(2))
    for source, target in ((known, teacher), (ours.student, student)):
        used = in_order(source, partial(source, batch.image))
        copy_weights(used, in_order(target, partial(target, batch.image))[: len(used)])
    for layer, feature in zip(LAYERS, teacher(batch.image), strict=True):
        check(f"stfpm features, {layer}", batch.features[layer], feature, ROUNDING)

    loader = Loader([(None, batch.image)])

    def compare(when: str, limit: float) -> None:
        maps = main.test(teacher, student, loader)
        anomaly_map, score = scores_of(ours, batch)
        check(f"stfpm map{when}", anomaly_map, maps, limit)
        check(f"stfpm score{when}", score, maps.max((1, 2)), limit)

    compare("", ROUNDING)
    before = capsys.readouterr().out
    main.train_val(
        teacher, student, loader, loader, Namespace(epochs=1, model_save_path=str(tmp_path), category="any")
    )
    loss = float(capsys.readouterr().out.split()[2])
    print(before)
    check("stfpm loss", one_step("stfpm", next(ours.stages()), batch), loss, ROUNDING)
    compare(" after a step", AFTER_A_STEP)


SIDE, SQUARE, HIDDEN = 8, 4, 32
"""Of the features, of the pixels of depth that belong to one of them, and inside the networks."""


class Released:
    """AST's released code, configured for features of 64 channels; models are prepared, not built by the trainings."""

    def __init__(self, mode: str, folder: Path) -> None:
        with modules_of(folder) as load:
            self.config = load("config")
            masked = mode != "RGB"
            vars(self.config).update(
                {"device": "cpu", "mode": mode, "n_feat": {"RGB": 64, "combi": 64 + SQUARE**2}[mode]},
                **{"training_mask": masked, "eval_mask": masked, "dilate_mask": False},
                **{"map_len": SIDE, "depth_len": SIDE * SQUARE, "depth_downscale": SQUARE, "clamp": 1.9},
                **{"channels_hidden_teacher": HIDDEN, "channels_hidden_student": HIDDEN, "n_st_blocks": 2},
                **{
                    "meta_epochs": 1,
                    "sub_epochs": 1,
                    "verbose": False,
                    "save_model": False,
                    "class_name": "any",
                },
            )
            self.model, self.utils = load("model"), load("utils")
            self.trainings = {"flow": load("train_teacher"), "student": load("train_student")}
        self.teacher = self.model.Model().eval()
        for name, parameter in self.teacher.named_parameters():
            if name.endswith("gamma"):  # 0 at first
                nn.init.constant_(parameter, 0.5)
        self.student = self.model.Model(nf=False, n_blocks=2, channels_hidden=HIDDEN).eval()
        for training in self.trainings.values():
            vars(training)["Model"] = lambda **options: self.student if options else self.teacher

    def train(self, stage: str, data: tuple[Tensor, ...], patch: pytest.MonkeyPatch) -> None:
        """Train one epoch of a single batch: an optimiser's step."""
        patch.setattr(torch, "load", lambda path: self.teacher.net.state_dict())
        training: ModuleType = self.trainings[stage]
        training.train([data], [data])
        (self.teacher if stage == "flow" else self.student).eval()


@torch.no_grad()
def test_the_features_of_ast() -> None:
    reason = "no package efficientnet_pytorch, whose network is compared"
    package = pytest.importorskip("efficientnet_pytorch", reason=reason)
    with modules_of(checkout("AST")) as load:
        vars(load("config"))["device"] = "cpu"
        model = load("model")
    with pytest.MonkeyPatch.context() as patch:  # weights are random, and would else be downloaded
        patch.setattr(package.EfficientNet, "from_pretrained", package.EfficientNet.from_name)
        extractor = model.FeatureExtractor().eval()
    newer = version("efficientnet_pytorch") >= "0.7"
    backbone = FeatureBackbone("tf_efficientnet_b5.aa_in1k", "random", padding_side=456 if newer else None)
    # in float64, as 36 random blocks amplify rounding errors a million times
    teacher, image = backbone.teacher(["blocks.5"]).double(), torch.randn(1, 3, 192, 192).double()
    extractor.double()
    copy_weights(in_order(teacher, lambda: teacher(image)), in_order(extractor, lambda: extractor(image)))
    check("ast features", teacher(image)["blocks.5"], extractor(image), ROUNDING)


@pytest.fixture
def quiet() -> Iterator[None]:
    """Have the order of numpy's global generator restored, which the released code seeds."""
    state = np.random.get_state()  # noqa: NPY002
    yield
    np.random.set_state(state)  # noqa: NPY002


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(("theirs", "mode"), [("RGB", "rgb"), ("combi", "rgbd")])
def test_ast(theirs: str, mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    released = Released(theirs, checkout("AST"))
    torch.manual_seed(0)
    foreground = torch.zeros(2, 1, SIDE, SIDE)
    foreground[:, :, 1:6, 2:7] = 1
    large = foreground.repeat_interleave(SQUARE, 2).repeat_interleave(SQUARE, 3)
    depth, features = torch.randn(2, 1, *large.shape[2:]), torch.randn(2, 64, SIDE, SIDE)
    labels = torch.tensor([0, 1])
    batch = Batch(torch.zeros(2, 3, *large.shape[2:]), labels, None, depth, large > 0, {"layer1": features})
    ours = AsymmetricStudentTeacher(
        random_backbone(),
        ["layer1"],
        mode,
        unshuffle=SQUARE,
        flow_hidden=HIDDEN,
        clamp=1.9,
        student_hidden=HIDDEN,
        student_blocks=2,
        leaky_slope=0.01,
    ).eval()

    copy_weights(
        in_order(released.teacher, lambda: released.teacher(features, depth)),
        in_order(ours.flow, lambda: ours.nll(batch), (PermuteRandom,)),
    )
    copy_weights(
        in_order(released.student, lambda: released.student(features, depth), (released.model.Student,)),
        in_order(ours.student, lambda: ours.distance(batch)),
    )
    first = next(ours.student.parameters())  # sees the encoding behind the features, theirs before them
    first.data = first.data.roll(-ours.position_channels, 1)
    permuted = [m for m in released.teacher.modules() if hasattr(m, "perm")]
    for source, target in zip(
        permuted, (m for m in ours.modules() if isinstance(m, PermuteRandom)), strict=True
    ):
        target.perm.data, target.perm_inv.data = source.perm, source.perm_inv

    mask = released.utils.downsampling(large, (SIDE, SIDE), bin=False)
    # the released losses are sums over the foreground, divided by all locations
    share = mask.mean().item() if ours.masked else 1.0
    stages = {stage.name: stage for stage in ours.stages()}

    def compare(when: str, limit: float) -> None:
        with torch.no_grad():
            (z, jacobian), (student, _) = (m(features, depth) for m in (released.teacher, released.student))
            values = released.utils.get_st_loss(z, student, mask, per_pixel=True)
            values = values * mask[:, 0] if ours.masked else values
            nll = released.utils.get_nf_loss(z, jacobian, mask, per_pixel=True)
            own = ours.nll(batch)
            check(f"ast {mode} likelihood{when}", own * mask[:, 0] if ours.masked else own, nll, limit)
            check(f"ast {mode} map{when}", ours.anomaly_map(batch), values, limit)
        enlarged = nn.Upsample(scale_factor=SQUARE, mode="bicubic", align_corners=False)(values[:, None])
        anomaly_map, score = scores_of(ours, batch)
        check(f"ast {mode} enlarged map{when}", anomaly_map, enlarged[:, 0], limit)
        expected = values.amax((1, 2)) if ours.masked else values.mean((1, 2))
        check(f"ast {mode} score{when}", score, expected, limit)

    compare("", ROUNDING)
    data = (depth, large, labels, torch.zeros(2), features)
    for name in ("flow", "student"):
        with torch.no_grad():
            (z, jacobian), (student, _) = (m(features, depth) for m in (released.teacher, released.student))
            losses = {
                "flow": released.utils.get_nf_loss(z, jacobian, mask),
                "student": released.utils.get_st_loss(z, student, mask),
            }
            loss = stages[name].loss(batch).item()
        check(f"ast {mode} loss of the {name}", loss * share, losses[name].item(), ROUNDING)
        released.train(name, data, monkeypatch)
        one_step("ast", stages[name], batch)
        compare(f" after a step of the {name}", AFTER_A_STEP)
