"""The training loop: what it trains, which epoch it keeps, what it never sees, and when it stops."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.data.batches import Images, as_batches
from benchmark.data.images import open_images_store
from benchmark.errors import BenchmarkError
from benchmark.training.loop import TrainingData, stages_of, train
from benchmark.training.records import StageRecord
from datasets.batch import Batch
from datasets.category import Category
from methods.method import Method, Stage
from tests.benchmark.conftest import CPU, make_training
from tests.methods.samples import IMAGENET


class Toy(Method):
    """One number per stage, drawn towards `target`; remembers images and modules in training mode."""

    def __init__(self, target: float = 1.0, names: tuple[str, ...] = ("first",), **attributes: Any) -> None:
        super().__init__()
        self.weights = nn.ModuleDict({name: nn.Linear(1, 1, bias=False) for name in names})
        for module in self.weights.values():
            nn.init.zeros_(module.weight)  # type: ignore[arg-type]
        self.target = target
        self.seen: list[tuple[str, str, list[str]]] = []
        self.prepared: list[str] = []
        self.calibrated: list[str] = []
        for name, value in attributes.items():
            setattr(self, name, value)

    def stages(self) -> Iterator[Stage]:
        for name, module in self.weights.items():
            yield Stage(name, module, partial(self.loss, name=name))

    def value(self, name: str) -> Tensor:
        return self.weights[name](torch.ones(1))[0]

    def loss(self, batch: Batch, name: str) -> Tensor:
        in_training = [each for each, module in self.weights.items() if module.training]
        self.seen += [(name, path, in_training) for path in batch.paths]
        return (self.value(name) - self.target).square()

    def validation_score(self, stage: Stage, batch: Batch) -> Tensor:
        return self.value(stage.name).abs().repeat(len(batch))

    def on_train_start(self, stage: Stage, batches: Iterable[Batch]) -> None:
        assert stage.name not in {name for name, _, _ in self.seen}
        assert not torch.is_grad_enabled()
        assert not stage.module.training
        self.prepared += [f"{stage.name} {path}" for batch in batches for path in batch.paths]

    def calibrate(self, batches: Iterable[Batch]) -> None:
        self.calibrated = [path for batch in batches for path in batch.paths]


@pytest.fixture(scope="module")
def data(washer: Category, tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    stored = open_images_store(washer, "train", 64, tmp_path_factory.mktemp("store"))
    held_out = washer.hold_out(0.25, 0)
    images = as_batches(stored, None, IMAGENET, CPU, 1.0)
    return TrainingData(images.select(held_out.train), images.select(held_out.validation))


def train_on(data: TrainingData, method: Method, seed: int = 0, **changes: object) -> list[StageRecord]:
    return train(method, make_training(**changes), data, seed, "toy washer")


def paths_of(images: Images | None) -> list[str]:
    assert images is not None
    return [str(sample.image) for sample in images.samples]


def test_every_train_image_is_seen_once_an_epoch(data: TrainingData) -> None:
    method = Toy()
    train_on(data, method, epochs=3)
    expected = sorted(paths_of(data.train))
    paths = [path for _, path, _ in method.seen]
    for epoch in range(3):
        assert sorted(paths[epoch * len(expected) : (epoch + 1) * len(expected)]) == expected


def test_only_normal_train_images_reach_loss_and_calibration(data: TrainingData) -> None:
    method = Toy()
    train_on(data, method)
    assert {Path(path).parts[-3:-1] for _, path, _ in method.seen} == {("train", "good")}
    assert {Path(path).parts[-3:-1] for path in method.calibrated} == {("train", "good")}


def test_held_out_images_calibrate_and_are_not_trained_on(data: TrainingData) -> None:
    method = Toy()
    train_on(data, method)
    held_out = paths_of(data.validation)
    assert not {*held_out} & {path for _, path, _ in method.seen}
    assert method.calibrated == held_out


def test_without_held_out_images_the_train_images_calibrate(data: TrainingData) -> None:
    method = Toy()
    train_on(TrainingData(data.train, None), method)
    assert method.calibrated == paths_of(data.train)


def test_stages_run_in_order_and_only_the_trained_module_is_in_training_mode(data: TrainingData) -> None:
    method = Toy(names=("first", "second"))
    train_on(data, method)
    order = [name for name, _, _ in method.seen]
    assert order == sorted(order)
    assert all(in_training == [name] for name, _, in_training in method.seen)
    assert not method.training


def test_a_stage_can_have_a_length_of_its_own(data: TrainingData) -> None:
    records = train_on(data, Toy(names=("first", "second")), stages={"second": {"epochs": 5}})
    assert [len(record.losses) for record in records] == [2, 5]


def test_the_same_seed_gives_the_same_order_and_another_seed_another(data: TrainingData) -> None:
    orders = []
    for seed in (0, 0, 1):
        method = Toy()
        train_on(data, method, seed)
        orders.append([path for _, path, _ in method.seen])
    assert orders[0] == orders[1] != orders[2]


def test_the_epoch_with_the_lowest_validation_score_is_kept(data: TrainingData) -> None:
    method = Toy(keeps_best_epoch=True)  # its score is |weight|, which training moves away from 0
    (record,) = train_on(data, method, epochs=4)
    assert record.best_epoch == 1
    assert record.selection == sorted(record.selection)
    assert method.value("first").item() == pytest.approx(record.selection[0])


def test_a_method_that_does_not_keep_the_best_epoch_uses_the_last(data: TrainingData) -> None:
    (record,) = train_on(data, Toy(), epochs=4)
    assert record.best_epoch == 4
    assert record.selection == []
    assert record.losses == sorted(record.losses, reverse=True)


@pytest.mark.parametrize("need", ["keeps_best_epoch", "needs_validation"])
def test_a_method_that_needs_validation_images_is_refused_without(data: TrainingData, need: str) -> None:
    method = Toy()
    setattr(method, need, True)
    with pytest.raises(BenchmarkError, match=r"^toy washer: there are no held-out.*validation_fraction"):
        train_on(TrainingData(data.train, None), method)


def test_a_loss_that_is_not_finite_stops_with_method_category_stage_and_epoch(data: TrainingData) -> None:
    with pytest.raises(BenchmarkError, match=r"toy washer.*'first'.*epoch \d"):
        train_on(data, Toy(), epochs=20, optimizer={"_target_": "torch.optim.SGD", "lr": 1e30})


def test_a_loss_beyond_the_limit_of_the_method_has_diverged(data: TrainingData) -> None:
    with pytest.raises(BenchmarkError, match=r"'first' became \d.*epoch \d.*a loss beyond 10 has diverged"):
        train_on(data, Toy(max_loss=10.0), epochs=20, optimizer={"_target_": "torch.optim.SGD", "lr": 1.5})


def test_steps_on_images_are_counted_in_passes_of_which_the_last_is_cut(data: TrainingData) -> None:
    method = Toy()
    (record,) = train_on(data, method, batch_size=3, stages={"first": {"steps": 11}})
    assert (len(record.losses), record.every, record.images) == (4, 3, 11 * 3)  # 9 images in 3 batches
    assert record.places == [3, 6, 9, 11]
    paths = [path for _, path, _ in method.seen]
    assert sorted(paths[18:27]) == sorted(paths_of(data.train))
    assert len({*paths[27:]}) == len(paths[27:]) == 6


def test_a_stage_sees_the_train_images_before_it_trains(data: TrainingData) -> None:
    method = Toy(names=("first", "second"))
    train_on(data, method)
    assert method.prepared == [f"{n} {path}" for n in ("first", "second") for path in paths_of(data.train)]


def test_options_of_an_unknown_stage_are_refused_by_name() -> None:
    with pytest.raises(BenchmarkError, match=r"stages\.frist.*known: first"):
        stages_of(Toy(), make_training(stages={"frist": {"epochs": 3}}))


def test_options_of_a_prefix_apply_to_all_stages_that_begin_with_it() -> None:
    training = make_training(stages={"student": {"epochs": 3}, "student_65": {"steps": 7}})
    planned = stages_of(Toy(names=("student_17", "student_33", "student_65")), training)
    assert [(config.epochs, config.steps) for _, config in planned] == [(3, None), (3, None), (None, 7)]


def test_a_finished_stage_leaves_no_gradients_in_memory(data: TrainingData) -> None:
    method = Toy()
    train_on(data, method)
    assert all(parameter.grad is None for parameter in method.parameters())


def test_progress_is_reported_with_every_loss(data: TrainingData) -> None:
    reported: list[tuple[str, int, int, float]] = []

    @contextmanager
    def progress(title: str, rounds: int, seconds: float) -> Iterator[Any]:
        yield lambda number, loss: reported.append((title, rounds, number, loss))

    (record,) = train(Toy(), make_training(epochs=3), data, 0, "toy washer", progress)
    assert reported == [("toy washer first", 3, i, loss) for i, loss in enumerate(record.losses, 1)]


def test_a_loss_that_diverges_names_the_learning_rate(data: TrainingData) -> None:
    with pytest.raises(BenchmarkError, match=r"in epoch \d+ with the learning rate 1e\+30; a lower"):
        train_on(data, Toy(), epochs=20, optimizer={"_target_": "torch.optim.SGD", "lr": 1e30})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_validation_score_that_is_no_number_stops_as_no_epoch_can_be_chosen_by_it(
    data: TrainingData, value: float
) -> None:
    method = Toy(keeps_best_epoch=True)
    method.validation_score = lambda stage, batch: torch.full((len(batch),), value)  # type: ignore[method-assign]
    with pytest.raises(
        BenchmarkError, match=r"^toy washer: the validation score of stage 'first' became (nan|inf) "
    ):
        train_on(data, method)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [({"epochs": 4, "batch_size": 4}, 12), ({"batch_size": 3, "stages": {"first": {"steps": 11}}}, 11)],
    ids=["epochs", "steps"],
)
def test_a_record_has_the_number_of_steps(data: TrainingData, changes: dict[str, Any], steps: int) -> None:
    (record,) = train_on(data, Toy(), **changes)  # 9 images: 3 batches of 4
    assert record.steps == steps
