"""EfficientAD and the code that reaches its published numbers, with equal weights: its whole training, shortened.

    make parity AUTHORS=folder     # with a checkout in folder/EfficientAD

Its main function trains for two steps on images of noise: without random changes, whose numbers differ, and with the
learning rate's drop between the steps.
"""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
import yaml
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader

from benchmark.scoring import predict
from benchmark.settings.training import StageConfig
from benchmark.training.steps import Steps
from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.efficient_ad import EfficientAD
from tests.conftest import PROJECT_ROOT
from tests.methods.samples import random_backbone
from tests.parity.authors import CPU, check, checkout, copy_weights, in_order, modules_of

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

ROUNDING, AFTER_STEPS = 2e-5, 1e-4
CHANNELS, STEPS = 16, 2
SETTINGS = yaml.safe_load((PROJECT_ROOT / "conf/method/efficient_ad.yaml").read_text())["training"]


def convolutions(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def write_noise(path: Path, side: int, seed: int) -> None:
    """Write an image of coarse noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).resize((side, side)).save(path)


class Bar:
    """Shows no progress."""

    def __init__(self, items: Any, desc: str = "") -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def set_description(self, text: str) -> None:
        pass


class Released:
    """The released main function on prepared networks, and what it computes on its way."""

    def __init__(self, main: ModuleType, patch: pytest.MonkeyPatch, networks: list[nn.Module]) -> None:
        self.main = main
        self.losses: list[float] = []
        self.maps: dict[str, Any] = {}
        self.loaded: dict[str, list[Tensor]] = {}
        self.statistics: tuple[Tensor, ...] = ()
        self.quantiles: tuple[Tensor, ...] = ()
        teacher, student, autoencoder = networks
        pdns = iter([teacher, student])
        own = {
            "out_channels": CHANNELS,
            "on_gpu": False,
            "tqdm": Bar,
            "DataLoader": lambda data, **options: DataLoader(data),
            "transform_ae": lambda image: image,
            "get_pdn_small": lambda channels: next(pdns),
            "get_autoencoder": lambda channels: autoencoder,
            "teacher_normalization": self._keep("statistics", main.teacher_normalization),
            "map_normalization": self._keep("quantiles", main.map_normalization),
        }
        for name, value in own.items():
            patch.setattr(main, name, value)
        patch.setattr(main.transforms, "RandomGrayscale", lambda share: torchvision.transforms.Lambda(_same))
        patch.setattr(main.tifffile, "imwrite", lambda file, values: self.maps.update({file: values}))
        patch.setattr(torch, "load", lambda *args, **options: teacher.state_dict())
        patch.setattr(torch, "save", lambda *args: None)
        backward = Tensor.backward

        def recorded(loss: Tensor) -> None:
            self.losses.append(loss.item())
            backward(loss)

        patch.setattr(Tensor, "backward", recorded)

    def _keep(self, name: str, function: Any) -> Any:
        def kept(*args: Any, **options: Any) -> Any:
            loader = options.get("validation_loader") or args[1]
            self.loaded[name] = [image for image, _ in loader]
            values = function(*args, **options)
            setattr(self, name, values)
            return values

        return kept


def _same(image: Any) -> Any:
    return image


def test_efficient_ad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with modules_of(checkout("EfficientAD")) as load:
        main = load("efficientad")
    torch.manual_seed(0)
    theirs = [
        main.get_pdn_small(CHANNELS),
        main.get_pdn_small(2 * CHANNELS),
        main.get_autoencoder(CHANNELS),
    ]
    for module in theirs[2].modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    ours = EfficientAD(random_backbone(), channels=CHANNELS, dropout=0.0).eval()
    student, autoencoder = ours.trained["student"], ours.trained["autoencoder"]
    for source, target in zip(theirs, (ours.distillation.network, student, autoencoder), strict=True):
        copy_weights(convolutions(source), convolutions(target))

    names = ("train/good/0", "train/good/1", "test/good/2", "test/bad/3")
    for seed, name in enumerate(names):
        write_noise(tmp_path / "data/bottle" / f"{name}.png", 256, seed)
    write_noise(tmp_path / "natural/any/0.png", 512, 9)
    natural = main.default_transform(Image.open(tmp_path / "natural/any/0.png").crop((128, 128, 384, 384)))
    released = Released(main, monkeypatch, theirs)
    monkeypatch.setattr("methods.efficient_ad.jittered", lambda image, *_: image)
    arguments = {"-o": "out", "-a": "data", "-i": "natural"}
    argv = [part for option, folder in arguments.items() for part in (option, str(tmp_path / folder))]
    monkeypatch.setattr("sys.argv", ["efficientad.py", *argv, "-t", str(STEPS)])
    main.main()

    _, stage = ours.stages()
    (train,) = released.loaded["statistics"]
    batch = Batch(train, torch.zeros(1), natural=natural[None])
    with torch.no_grad():
        ours.on_train_start(stage, [batch])
    for name, own, value in zip(
        ("mean", "deviation"), (ours.mean, ours.deviation), released.statistics, strict=True
    ):
        check(f"efficient_ad {name} of the teacher", own, value.flatten(), ROUNDING)
    schedule = [{**SETTINGS["stages"]["student"]["schedule"][0], "step_size": int(0.95 * STEPS)}]
    steps = Steps(stage, StageConfig(1, SETTINGS["optimizer"], steps=STEPS, schedule=schedule), STEPS)
    ours.trained.train()
    for number in range(STEPS):
        limit = AFTER_STEPS if number else ROUNDING
        check(f"efficient_ad loss {number + 1}", steps.take(batch, CPU), released.losses[number], limit)
    ours.eval()
    with torch.no_grad():
        ours.calibrate([Batch(image, torch.zeros(1)) for image in released.loaded["quantiles"]])
    check("efficient_ad quantiles", ours.quantiles.T.flatten(), torch.stack(released.quantiles), AFTER_STEPS)
    for file, expected in released.maps.items():
        image = main.default_transform(
            Image.open(
                tmp_path
                / "data/bottle/test"
                / Path(file)
                .relative_to(tmp_path / "out/anomaly_maps/mvtec_ad/bottle/test")
                .with_suffix(".png")
            )
        )
        with torch.no_grad():
            anomaly_map, score = predict(ours, Batch(image[None], torch.zeros(1)))
        check(f"efficient_ad map, {Path(file).stem}", anomaly_map[0], expected, AFTER_STEPS)
        check(f"efficient_ad score, {Path(file).stem}", score[0], expected.max(), AFTER_STEPS)
    assert len(released.maps) == 2


@torch.no_grad()
def test_the_teacher_of_efficient_ad() -> None:
    with modules_of(checkout("EfficientAD")) as load:
        main = load("pretraining")
    network = torchvision.models.resnet18().eval()
    backbone: FeatureBackbone = random_backbone()
    ours = EfficientAD(backbone)
    stage = next(ours.stages())
    crops = ours.crops(stage)
    assert crops is not None
    teacher, side = backbone.teacher(crops.layers), crops.size
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    image = interpolate(image, (side, side), mode="bilinear")
    known = in_order(teacher, lambda: teacher(image))
    copy_weights(known, in_order(network, lambda: network(image))[: len(known)])
    extractor = main.FeatureExtractor(network, list(crops.layers), "cpu", (3, side, side))
    batch = Batch(image, torch.zeros(2), features=teacher(image))
    expected = extractor.embed(image)
    check("efficient_ad pooled features", ours.distillation.pooled(batch), expected, ROUNDING)

    ours.on_train_start(stage, [batch])
    vars(main)["tqdm"] = lambda **options: _Count()
    mean, deviation = main.feature_normalization(extractor, [(image, None)], steps=2)
    check("efficient_ad mean of features", ours.distillation.mean, mean.flatten(), ROUNDING)
    check("efficient_ad deviation of features", ours.distillation.deviation, deviation.flatten(), ROUNDING)
    pdn = main.get_pdn_small(384, padding=True)
    copy_weights(convolutions(ours.distillation.network), convolutions(pdn))
    half = interpolate(image, scale_factor=0.5, mode="bilinear", antialias=True)
    loss = ((expected - mean) / deviation - pdn(half)).square().mean()
    check("efficient_ad loss of the teacher", stage.loss(batch), loss, ROUNDING)


class _Count:
    """A progress bar of which nothing is shown."""

    n = 0

    def __enter__(self) -> "_Count":
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def update(self, number: int) -> None:
        pass
