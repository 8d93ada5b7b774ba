"""The training loop: what it trains, which epoch it keeps, what it never sees, and when it stops."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmark.data import Images, open_images
from benchmark.errors import BenchmarkError
from benchmark.schedules import FUSED, build_optimizer, schedules
from benchmark.training import ROUND, TrainingData, fit
from datasets.batch import Batch
from datasets.category import Category
from datasets.store import open_store
from methods.method import Method, Stage
from tests.benchmark.conftest import CPU, make_training


class Toy(Method):
    """One number per stage, drawn towards what `target` says; keeps the paths that it was shown."""

    def __init__(
        self, target: float = 1.0, names: tuple[str, ...] = ("first",), select: bool = False
    ) -> None:
        super().__init__()
        self.weights = nn.ModuleDict({name: nn.Linear(1, 1, bias=False) for name in names})
        for module in self.weights.values():
            nn.init.zeros_(module.weight)  # type: ignore[arg-type]
        self.target, self.select = target, select
        self.seen: list[tuple[str, str, bool]] = []
        self.calibrated: list[str] = []

    def stages(self) -> Iterator[Stage]:
        for name, module in self.weights.items():
            yield Stage(name, module, partial(self.loss, name=name), self.size if self.select else None)

    def size(self, batch: Batch) -> Tensor:
        return self.value("first").abs().repeat(len(batch))

    def value(self, name: str) -> Tensor:
        return self.weights[name](torch.ones(1))[0]

    def loss(self, batch: Batch, name: str) -> Tensor:
        self.seen += [(name, path, self.weights[name].training) for path in batch.paths]
        return (self.value(name) - self.target).square()

    def calibrate(self, batches: Iterable[Batch]) -> None:
        self.calibrated = [path for batch in batches for path in batch.paths]


@pytest.fixture(scope="module")
def splits(washer: Category, tmp_path_factory: pytest.TempPathFactory) -> tuple[Images, Images]:
    stored = open_store(washer, "train", 64, tmp_path_factory.mktemp("store"))
    held_out = washer.hold_out(0.25, 0)
    images = open_images(stored, None, CPU, 1.0)
    return images.select(held_out.train), images.select(held_out.validation)


def train(method: Method, splits: tuple[Images, Images], seed: int = 0, **changes: object) -> list:
    return fit(method, make_training(**changes), TrainingData(*splits), seed, "toy washer", progress=False)


def test_every_train_image_is_seen_once_an_epoch(splits: tuple[Images, Images]) -> None:
    method = Toy()
    train(method, splits, epochs=3)
    expected = sorted(str(sample.image) for sample in splits[0].samples)
    paths = [path for _, path, _ in method.seen]
    for epoch in range(3):
        assert sorted(paths[epoch * len(expected) : (epoch + 1) * len(expected)]) == expected


def test_only_defect_free_train_images_reach_loss_and_calibration(splits: tuple[Images, Images]) -> None:
    method = Toy()
    train(method, splits)
    assert {Path(path).parts[-3] for _, path, _ in method.seen} == {"train"}
    assert {Path(path).parts[-3] for path in method.calibrated} == {"train"}


def test_held_out_images_are_not_trained_on_and_calibrate(splits: tuple[Images, Images]) -> None:
    method = Toy()
    train(method, splits)
    held_out = {str(sample.image) for sample in splits[1].samples}
    assert not held_out & {path for _, path, _ in method.seen}
    assert set(method.calibrated) == held_out


def test_stages_run_in_order_and_only_the_trained_module_is_in_training_mode(
    splits: tuple[Images, Images],
) -> None:
    method = Toy(names=("first", "second"))
    train(method, splits)
    order = [name for name, _, _ in method.seen]
    assert order == sorted(order)
    assert all(training for _, _, training in method.seen)
    assert not method.training


def test_a_stage_can_have_a_schedule_of_its_own(splits: tuple[Images, Images]) -> None:
    method = Toy(names=("first", "second"))
    records = train(method, splits, stages={"second": {"epochs": 5}})
    assert [len(record.losses) for record in records] == [2, 5]


def test_the_same_seed_gives_the_same_order_and_another_seed_another(splits: tuple[Images, Images]) -> None:
    orders = []
    for seed in (0, 0, 1):
        method = Toy()
        train(method, splits, seed)
        orders.append([path for _, path, _ in method.seen])
    assert orders[0] == orders[1] != orders[2]


def test_the_epoch_with_the_lowest_selection_value_is_kept(splits: tuple[Images, Images]) -> None:
    method = Toy(target=1.0, select=True)  # selects |weight|, which training moves away from 0
    (record,) = train(method, splits, epochs=4)
    assert record.best_epoch == 1
    assert record.selection == sorted(record.selection)
    assert method.value("first").item() == pytest.approx(record.selection[0])


def test_without_selection_the_last_epoch_is_used(splits: tuple[Images, Images]) -> None:
    method = Toy()
    (record,) = train(method, splits, epochs=4)
    assert record.best_epoch == 4
    assert record.losses == sorted(record.losses, reverse=True)


def test_selection_without_validation_images_is_refused(splits: tuple[Images, Images]) -> None:
    with pytest.raises(BenchmarkError, match="validation_fraction"):
        fit(Toy(select=True), make_training(), TrainingData(splits[0], None), 0, "toy washer", progress=False)


def test_a_loss_that_is_not_finite_stops_with_method_category_stage_and_epoch(
    splits: tuple[Images, Images],
) -> None:
    with pytest.raises(BenchmarkError, match=r"toy washer.*'first'.*epoch \d"):
        train(Toy(), splits, epochs=20, optimizer={"_target_": "torch.optim.SGD", "lr": 1e30})


def test_a_loss_beyond_the_limit_of_its_stage_has_diverged(splits: tuple[Images, Images]) -> None:
    class Bounded(Toy):
        def stages(self) -> Iterator[Stage]:
            for stage in super().stages():
                yield replace(stage, limit=10.0)

    with pytest.raises(BenchmarkError, match=r"'first' became \d.*epoch \d.*a loss beyond 10 has diverged"):
        train(Bounded(), splits, epochs=20, optimizer={"_target_": "torch.optim.SGD", "lr": 1.5})


def test_calibration_that_insists_on_held_out_images_is_refused_without(
    splits: tuple[Images, Images],
) -> None:
    method = Toy()
    method.calibrates_on_validation = True
    with pytest.raises(BenchmarkError, match="validation_fraction"):
        fit(method, make_training(), TrainingData(splits[0], None), 0, "toy washer", progress=False)


def test_steps_are_counted_across_epochs(splits: tuple[Images, Images]) -> None:
    method = Toy()
    (record,) = train(method, splits, stages={"first": {"steps": ROUND + 5}})
    assert len(method.seen) == record.images == (ROUND + 5) * 3  # 9 images in 3 batches
    assert (len(record.losses), record.every) == (2, ROUND)


def test_a_stage_is_handed_the_train_images_before_it_trains(splits: tuple[Images, Images]) -> None:
    seen: list[str] = []

    class Prepared(Toy):
        def stages(self) -> Iterator[Stage]:
            for stage in super().stages():
                yield replace(stage, prepare=self.look)

        def look(self, batches: Iterable[Batch]) -> None:
            assert not self.seen
            assert not torch.is_grad_enabled()
            seen.extend(path for batch in batches for path in batch.paths)

    train(Prepared(), splits)
    assert seen == [str(sample.image) for sample in splits[0].samples]


def test_stages_may_share_a_schedule_and_an_own_one_goes_first(splits: tuple[Images, Images]) -> None:
    class Family(Toy):
        def stages(self) -> Iterator[Stage]:
            for stage in super().stages():
                yield replace(stage, schedule="all")

    training = make_training(stages={"all": {"epochs": 3}, "second": {"steps": 7}})
    found = schedules(Family(names=("first", "second")), training)
    assert [(schedule.epochs, schedule.steps) for _, schedule in found] == [(3, None), (None, 7)]


def test_a_schedule_of_an_unknown_stage_is_refused_by_name() -> None:
    with pytest.raises(BenchmarkError, match=r"stages\.frist.*known: first"):
        schedules(Toy(), make_training(stages={"frist": {"epochs": 3}}))


@pytest.mark.parametrize(
    "optimizer",
    [{"_target_": "torch.optim.SGD", "lr": -1.0}, {"_target_": "torch.optim.Sgd"}],
    ids=["value", "name"],
)
def test_a_wrong_optimizer_is_named(splits: tuple[Images, Images], optimizer: dict[str, object]) -> None:
    with pytest.raises(BenchmarkError, match=r"method\.training\.optimizer"):
        train(Toy(), splits, optimizer=optimizer)


def test_a_finished_stage_leaves_no_gradients_in_memory(splits: tuple[Images, Images]) -> None:
    method = Toy()
    train(method, splits)
    assert all(parameter.grad is None for parameter in method.parameters())


@pytest.mark.parametrize("name", [optimizer.__name__ for optimizer in FUSED])
def test_fused_optimizers_take_the_steps_of_plain_ones(name: str) -> None:
    settings = {"_target_": f"torch.optim.{name}", "lr": 0.01, "weight_decay": 0.1}
    weights = []
    for choice in ({}, {"fused": False}):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)).to(memory_format=torch.channels_last)
        optimizer = build_optimizer({**settings, **choice}, Stage("student", module, lambda batch: Tensor()))
        assert optimizer.defaults["fused"] == (choice == {})
        for _ in range(5):
            optimizer.zero_grad()
            module(torch.randn(2, 3, 8, 8)).square().sum().backward()
            optimizer.step()
        weights.append(module.state_dict())
    torch.testing.assert_close(weights[0], weights[1])
