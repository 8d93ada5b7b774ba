"""The rehearsal: impossible trainings are reported before the first step, and possible ones are left as they are."""

import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.data.batches import Images, as_batches
from benchmark.data.crops import open_crops
from benchmark.data.features import open_features
from benchmark.data.images import open_images_store
from benchmark.errors import BenchmarkError
from benchmark.settings.training import StageConfig, Training
from benchmark.training.checkpoint import random_states
from benchmark.training.fit import fit
from benchmark.training.loop import TrainingData
from benchmark.training.pretraining import PretrainedStages
from benchmark.training.rehearsal import rehearse, smallest_batch
from datasets.batch import Batch
from datasets.category import Category
from methods.ast import AsymmetricStudentTeacher
from methods.backbone import FeatureBackbone
from methods.dinomaly import Dinomaly
from methods.efficient_ad import EfficientAD
from methods.feature_variance import FeatureVariance
from methods.flow import ConditionalFlow
from methods.method import Crops, Method, Stage
from methods.rd import ReverseDistillation
from methods.rd_plus_plus import RDPlusPlus
from methods.simple_student import SimpleStudent
from methods.stfpm import STFPM
from methods.uninformed_students import UninformedStudents
from tests.benchmark.conftest import CPU, make_settings, make_training
from tests.benchmark.training.interruption import Ended
from tests.methods.samples import IMAGENET

Build = Callable[[FeatureBackbone], Method]
ADAM = {"_target_": "torch.optim.Adam", "lr": 1e-3}
METHODS: dict[str, Build] = {
    "stfpm": STFPM,
    "feature_variance": lambda backbone: FeatureVariance(backbone, students=2),
    "simple_student": SimpleStudent,
    "rd": ReverseDistillation,
    "rd_plus_plus": RDPlusPlus,
    "dinomaly": lambda backbone: Dinomaly(backbone, width=16, blocks=2, map_size=32),
    "ast": lambda backbone: AsymmetricStudentTeacher(
        backbone, coupling_blocks=1, flow_hidden=8, student_hidden=8, student_blocks=1
    ),
    "uninformed_students": lambda backbone: UninformedStudents(
        backbone, patch_sizes=[33], students=2, pretrained_size=32, crop=4
    ),
    "efficient_ad": lambda backbone: EfficientAD(backbone, channels=8, width=0.05, pretrained_size=66),
}
DISTILLED = ("uninformed_students", "efficient_ad")


def data_of(
    category: Category, backbone: FeatureBackbone, method: Method, folder: Path, side: int = 64
) -> TrainingData:
    """Return the train images, of which 3 of 12 are held out for methods that need some."""
    stored, settings = open_images_store(category, "train", side, folder), make_settings(folder)
    layers, features = method.teacher_layers, None
    if layers:
        features = open_features(stored, backbone, layers, CPU, settings, reread=True)
    images = as_batches(stored, features, IMAGENET, CPU, 1.0)
    shared = PretrainedStages(stored, {"compactness": "squared"}, backbone, CPU, folder / "stages")
    held_out = category.hold_out(0.25, 0)
    return TrainingData(images.select(held_out.train), images.select(held_out.validation), shared)


def schedule(**changes: Any) -> Training:
    stages = {"teacher": {"steps": 2, "batch_size": 2}}
    return make_training(**{"optimizer": ADAM, "epochs": 1, "stages": stages, **changes})


def fitted(
    name: str, category: Category, backbone: FeatureBackbone, folder: Path, stages: Path
) -> dict[str, Any]:
    build, side = METHODS[name], 36 if name in DISTILLED else 64
    data = data_of(category, backbone, build(backbone), folder, side)
    training = schedule() if name in DISTILLED else schedule(stages={})
    shared = PretrainedStages(data.train.stored, {"compactness": "squared"}, backbone, CPU, stages)
    images = data.train.select(category.train)
    method, records = fit(lambda: build(backbone), training, category, images, None, 7, name, shared)
    return Ended(method, records, random_states(CPU.device)).numbers


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("stfpm", "ast", "uninformed_students") else pytest.mark.slow)
        for name in METHODS
    ],
)
def test_detectors_are_the_same_to_the_last_bit_with_and_without_it(
    washer: Category, backbone: FeatureBackbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rehearsed = fitted(name, washer, backbone, tmp_path, tmp_path / "stages 1")
    monkeypatch.setattr("benchmark.training.fit.rehearse", lambda *_: None)
    assert fitted(name, washer, backbone, tmp_path, tmp_path / "stages 2") == rehearsed


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_the_suite_need_one_line_for_a_last_batch_of_one_small_image(
    washer: Category, backbone: FeatureBackbone, tmp_path: Path, name: str
) -> None:
    """At stride 32 (RD) or 16 an image of one stride is a single location, too few for BatchNorm."""
    method, side = METHODS[name](backbone), 32 if name.startswith("rd") else 16
    data = data_of(washer, backbone, method, tmp_path, side)
    training = schedule(image_size=side, batch_size=4, stages={})  # of 9 images, the last batch has 1
    if name == "dinomaly":  # without BatchNorm: a single location is enough
        rehearse(method, training, data, f"{name} washer")
        return
    with pytest.raises(ValueError, match=r"^.*$") as caught:
        rehearse(method, training, data, f"{name} washer")
    message = str(caught.value)
    if name in DISTILLED:  # without BatchNorm
        assert message.startswith("method.training.image_size: found 16 x 16; expected 33 or more")
        return
    assert message.startswith(f"{name} washer: stage 'student")
    assert "9 train images in batches of method.training.batch_size=4 leave a batch of 1" in message
    assert "set method.training.batch_size=3, or a larger method.training.image_size" in message
    rehearse(METHODS[name](backbone), schedule(image_size=side, batch_size=3, stages={}), data, "the way out")


class Toy(Method):
    """Predicts the mean colour with a linear student; counts its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Linear(3, 3)
        self.sizes: list[int] = []

    def stages(self) -> Iterator[Stage]:
        yield Stage("student", self.student, self.loss)

    def loss(self, batch: Batch) -> Tensor:
        self.sizes.append(len(batch))
        return self.student(batch.image.mean((2, 3))).square().mean()

    def anomaly_map(self, batch: Batch) -> Tensor:
        return batch.image.mean(1)


@pytest.fixture(scope="module")
def images(washer: Category, tmp_path_factory: pytest.TempPathFactory) -> Images:
    return as_batches(
        open_images_store(washer, "train", 64, tmp_path_factory.mktemp("store")), None, IMAGENET, CPU, 1.0
    )


@pytest.fixture
def data(images: Images, washer: Category) -> TrainingData:
    held_out = washer.hold_out(0.25, 0)
    return TrainingData(images.select(held_out.train), images.select(held_out.validation[:1]))


def try_out(method: Method, data: TrainingData, **changes: Any) -> None:
    rehearse(method, schedule(**{"stages": {}, **changes}), data, "toy washer")


@pytest.mark.parametrize(
    ("count", "batch_size", "steps", "smallest"),
    [
        *((9, 4, None, 1), (9, 3, None, 3), (9, 5, None, 4), (9, 32, None, 9), (1, 1, None, 1)),
        *((9, 4, 2, 4), (9, 4, 3, 1), (9, 32, 1, 9)),  # two steps are full batches, the third is not
    ],
)
def test_the_smallest_batch_is_what_full_ones_leave_if_the_training_gets_there(
    data: TrainingData, washer: Category, count: int, batch_size: int, steps: int | None, smallest: int
) -> None:
    source = data.train.select(washer.hold_out(0.25, 0).train[:count])
    config = StageConfig(batch_size, ADAM, epochs=None if steps else 1, steps=steps)
    assert smallest_batch(source, config) == smallest
    met = [len(batch) for batch in source.batches(batch_size)][:steps]
    assert min(met) == smallest


def test_one_step_is_taken_on_the_smallest_batch(data: TrainingData) -> None:
    method = Toy()
    before = method.student.weight.clone()
    try_out(method, data, batch_size=4)
    assert method.sizes == [1]
    assert not torch.equal(method.student.weight, before)


def test_the_options_of_the_stage_are_named_if_it_has_its_own(data: TrainingData) -> None:
    class Normalised(Toy):
        def loss(self, batch: Batch) -> Tensor:
            return nn.BatchNorm1d(3)(self.student(batch.image.mean((2, 3)))).sum()

    with pytest.raises(BenchmarkError, match=r"set method\.training\.stages\.student\.batch_size=3, or"):
        try_out(Normalised(), data, stages={"student": {"batch_size": 4}})
    with pytest.raises(BenchmarkError, match=r"set method\.training\.batch_size=7, or"):
        try_out(Normalised(), data, stages={"student": {"epochs": 2}}, batch_size=8)


@pytest.mark.parametrize(
    ("layer", "sign"),
    [
        (nn.Conv2d(3, 3, 65), "Kernel size can't be greater than actual input size"),
        (nn.MaxPool2d(128), "Output size is too small"),
        (nn.ReflectionPad2d(64), "Padding size should be less than"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.InstanceNorm2d(3)), "more than 1 spatial element"),
    ],
    ids=["convolution", "pool", "reflection", "instance norm"],
)
@pytest.mark.parametrize("place", ["anomaly_map", "loss"])
def test_images_too_small_for_a_layer_need_one_line(
    data: TrainingData, layer: nn.Module, sign: str, place: str
) -> None:
    method = Toy()
    method.student = nn.ModuleList([layer, nn.Linear(3, 3)])  # type: ignore[assignment]
    setattr(method, place, lambda batch: layer(batch.image))
    if place == "anomaly_map" and "spatial" in sign:
        return  # InstanceNorm asks for more only while it trains
    with pytest.raises(BenchmarkError) as caught:
        try_out(method, data)
    message = str(caught.value)
    assert message.startswith(
        "toy washer cannot score" if place == "anomaly_map" else "toy washer: stage 'student'"
    )
    assert "\n" not in message
    assert sign in message
    assert message.endswith("set a larger method.training.image_size")
    assert caught.value.__cause__ is not None  # for the traceback among the cell's files


@pytest.mark.parametrize("place", ["anomaly_map", "loss", "validation_score", "targets"])
@pytest.mark.parametrize("error", [RuntimeError("The size of tensor a (3) must match"), KeyError("layer9")])
def test_a_bug_of_a_method_is_raised_as_it_is(data: TrainingData, place: str, error: Exception) -> None:
    method = Toy()

    def broken(*_: object) -> Tensor:
        raise error

    setattr(method, place, broken)
    method.keeps_best_epoch = True
    with pytest.raises(type(error)) as caught:
        try_out(method, data)
    assert caught.value is error


@pytest.mark.parametrize("place", ["anomaly_map", "loss"])
def test_what_torch_refuses_of_a_method_of_the_suite_needs_one_line(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(Toy, "__module__", "methods.toy")
    method = Toy()
    setattr(method, place, lambda batch: torch.zeros(3) + torch.zeros(4))
    with pytest.raises(
        BenchmarkError, match=r"^toy washer.*tensor a \(3\).*; look at method\.layers, .*options$"
    ):
        try_out(method, data)
    setattr(method, place, lambda batch: torch.zeros(10**9, 10**9))  # for `benchmark.limits` to explain
    with pytest.raises(RuntimeError, match="memory"):
        try_out(method, data)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_flow_of_one_channel_needs_one_line(
    washer: Category, backbone: FeatureBackbone, tmp_path: Path
) -> None:
    data = data_of(washer, backbone, METHODS["ast"](backbone), tmp_path)
    method: Any = METHODS["ast"](backbone)
    method.flow = ConditionalFlow(1, 4, 1, 8, 3.0)
    method.position_channels = 4
    method.inputs = lambda batch: (batch.image[:, :1], torch.zeros(len(batch), 4, 64, 64))
    with pytest.raises(BenchmarkError, match=r"^ast washer.*; look at method\.layers"):
        rehearse(method, schedule(stages={}), data, "ast washer")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_first_loss_that_is_no_number_is_reported(data: TrainingData, value: float) -> None:
    method = Toy()
    nn.init.constant_(method.student.weight, value)
    with pytest.raises(BenchmarkError, match=r"^toy washer: the loss of stage 'student' is (nan|inf) before"):
        try_out(method, data)


@pytest.mark.parametrize("shape", [(1, 1, 64, 64), (2, 64, 64), (64, 64)])
def test_maps_of_another_shape_are_refused_by_the_name_of_the_hook(
    data: TrainingData, shape: tuple[int, ...]
) -> None:
    method = Toy()
    method.anomaly_map = lambda batch: torch.zeros(shape)  # type: ignore[method-assign]
    with pytest.raises(
        BenchmarkError, match=re.escape(f"Toy.anomaly_map: found shape {shape} for one image")
    ):
        try_out(method, data)


def test_scores_of_another_shape_are_refused_and_computed_from_maps_of_the_images_size(
    data: TrainingData,
) -> None:
    method, seen = Toy(), []
    method.anomaly_map = lambda batch: torch.zeros(1, 8, 8)  # type: ignore[method-assign]
    method.image_score = lambda maps, batch: seen.append(maps.shape) or maps.mean()  # type: ignore
    with pytest.raises(
        BenchmarkError, match=r"Toy\.image_score: found shape \(\) for one image; expected \(1,\)"
    ):
        try_out(method, data)
    assert seen == [(1, 64, 64)]


@pytest.mark.parametrize("keeps", [True, False])
def test_validation_images_are_scored_where_they_choose_the_epoch(data: TrainingData, keeps: bool) -> None:
    method, scored = Toy(), []
    method.keeps_best_epoch = keeps

    def score(stage: Stage, batch: Batch) -> Tensor:
        scored.append(len(batch))
        return batch.image.mean((1, 2, 3))

    method.validation_score = score  # type: ignore[method-assign]
    try_out(method, data)
    assert scored == ([1] if keeps else [])


def test_shares_of_a_schedule_are_of_all_steps_that_the_training_takes(data: TrainingData) -> None:
    """Of 20 epochs of 3 batches; of 20 steps both phases would end at the first."""
    constant = {"_target_": "torch.optim.lr_scheduler.ConstantLR"}
    phases = [{**constant, "until": 0.02}, {**constant, "until": 0.06}, constant]
    try_out(Toy(), data, epochs=20, batch_size=4, schedule=phases)


class Whitened(Toy):
    """Needs all 9 train images for its statistics, which it draws its targets from."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def on_train_start(self, stage: Stage, batches: Iterable[Batch]) -> None:
        self.seen.append(sum(len(batch) for batch in batches))
        if self.seen[-1] < 9:
            raise torch.linalg.LinAlgError("the covariance is singular")


class Undefined(Whitened):
    """Has a loss only with the statistics of all images."""

    def on_train_start(self, stage: Stage, batches: Iterable[Batch]) -> None:
        self.seen.append(sum(len(batch) for batch in batches))

    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * (1.0 if self.seen[-1] == 9 else math.nan)


@pytest.mark.parametrize("kind", [Whitened, Undefined])
def test_it_reports_nothing_that_the_training_accepts(
    images: Images, washer: Category, caplog: pytest.LogCaptureFixture, kind: type[Whitened]
) -> None:
    caplog.set_level(logging.INFO)
    method, _ = fit(kind, make_training(), washer, images, None, 0, "toy washer")
    assert isinstance(method, Whitened)
    assert method.seen == [9]
    assert ("cannot be tried on 4 images" in caplog.text) == (kind is Whitened)


def test_an_error_in_statistics_of_all_images_is_raised(data: TrainingData) -> None:
    method = Whitened()
    method.on_train_start = lambda stage, batches: 1 / 0  # type: ignore
    Whitened.on_train_start(method, next(method.stages()), data.train.batches(9))
    with pytest.raises(ZeroDivisionError):
        try_out(method, data, batch_size=9)


class Cropped(Toy):
    """Its only stage trains on crops."""

    zoom = (2.0, 4.0)

    def crops(self, stage: Stage) -> Crops | None:
        return Crops(8, self.zoom, (), 32)


def test_a_stage_on_crops_is_tried_with_a_full_batch_until_it_has_been_trained(
    images: Images, backbone: FeatureBackbone, tmp_path: Path
) -> None:
    method, training = Cropped(), schedule(batch_size=5, stages={})
    shared = PretrainedStages(images.stored, {}, backbone, CPU, tmp_path)
    with_crops = TrainingData(images, None, shared)
    rehearse(method, training, with_crops, "toy")
    assert method.sizes == [5]
    torch.manual_seed(0)
    fresh, again = Cropped(), Cropped()
    again.load_state_dict(fresh.state_dict())
    (stage,) = fresh.stages()
    shared.train_once(fresh, stage, training.stage("student"), "toy")
    rehearse(again, training, with_crops, "toy")
    assert again.sizes == []


@pytest.mark.parametrize(
    ("zoom", "message"),
    [
        ((0.5, 4.0), "crops: found zoom 0.5, a crop larger than its image; expected 1 or more"),
        (
            (2.0, 64.5),
            "method.training.pretraining.image_size: found 64, of which a crop at zoom 64.5 has less than one "
            "pixel a side; expected 65 or more",
        ),
    ],
)
def test_crops_that_do_not_fit_their_images_are_refused(
    images: Images, backbone: FeatureBackbone, zoom: tuple[float, float], message: str
) -> None:
    with pytest.raises(BenchmarkError) as caught:
        open_crops(images.stored, Crops(8, zoom, (), 32), backbone, CPU)
    assert str(caught.value) == message
