"""Configured values are checked against type hints; what is wrong is named, and what is accepted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from benchmark.errors import BenchmarkError
from benchmark.settings import FeatureLimits, Training, build, convert, typed
from tests.benchmark.conftest import make_training


class Plugin:
    def __init__(
        self, given: object, layers: Sequence[str], half: bool = False, kind: Literal["a", "b"] = "a"
    ) -> None:
        self.layers, self.half, self.kind = layers, half, kind


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (True, bool),
        (3, int),
        (3, float),
        (0.5, float),
        ("x", str),
        ("a", Literal["a", "b"]),
        (None, int | None),
        (["a"], Sequence[str]),
        ("results", Path),
        ("results", Path | None),
        ({"anything": 1}, dict),
    ],
)
def test_values_of_the_right_kind_pass(value: object, hint: object) -> None:
    assert convert(value, hint, "option") == (Path("results") if value == "results" else value)


@pytest.mark.parametrize(
    ("value", "hint", "accepted"),
    [
        ("yes", bool, "true, false"),
        (1, bool, "true, false"),
        (True, int, "a whole number"),
        (1.5, int, "a whole number"),
        ("many", float, "a number"),
        (True, float, "a number"),
        (1, str, "text"),
        ("c", Literal["a", "b"], "a, b"),
        ("x", int | None, "a whole number or null"),
        ("ab", Sequence[str], "a list, each item text"),
        ([1], Sequence[str], "a list, each item text"),
    ],
)
def test_values_of_another_kind_are_refused_with_what_is_accepted(
    value: object, hint: object, accepted: str
) -> None:
    with pytest.raises(BenchmarkError, match=f"^group.option=.*: accepted: {accepted}$"):
        convert(value, hint, "group.option")


def test_a_plugin_is_built_from_its_target_and_options() -> None:
    target = f"{__name__}.Plugin"
    built = build("method", {"_target_": target, "layers": ["x"], "half": True}, given=1)
    assert (built.layers, built.half, built.kind) == (["x"], True, "a")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["x"], "haf": True}, r"method\.haf: there is no such option \(did you mean 'half'\?\)"),
        ({}, r"method\.layers is missing"),
        ({"layers": ["x"], "kind": "c"}, r"method\.kind=c: accepted: a, b"),
    ],
)
def test_wrong_options_of_a_plugin_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        build("method", {"_target_": f"{__name__}.Plugin", **options}, given=1)


@pytest.mark.parametrize("target", [None, "no.such.module.Class", "torch.NoSuchClass"])
def test_a_target_that_cannot_be_imported_is_named(target: str | None) -> None:
    with pytest.raises(BenchmarkError, match=r"method\._target_"):
        build("method", {"_target_": target})


def test_groups_are_converted_with_their_values() -> None:
    def wants(limits: FeatureLimits) -> FeatureLimits:
        return limits

    assert typed(
        wants, {"limits": {"device_gb": 1, "memory_gb": 2, "disk_gb": 3}}, "trainer"
    ) == FeatureLimits(1, 2, 3)
    with pytest.raises(BenchmarkError, match=r"trainer\.limits\.disk_gb"):
        typed(wants, {"limits": {"device_gb": 1, "memory_gb": 2, "disk_gb": "much"}}, "trainer")


@pytest.mark.parametrize("name", ["image_size", "batch_size", "epochs"])
def test_a_schedule_without_images_or_epochs_is_refused(name: str) -> None:
    with pytest.raises(BenchmarkError, match=rf"method\.training\.{name}=0"):
        make_training(**{name: 0})


def test_a_schedule_needs_every_value() -> None:
    with pytest.raises(BenchmarkError, match=r"method\.training\.image_size is missing"):
        typed(Training, {}, "method.training")


def test_a_stage_takes_what_it_does_not_say_from_the_method() -> None:
    training = make_training(stages={"teacher": {"steps": 50, "batch_size": 64}})
    teacher, other = training.schedule("teacher"), training.schedule("students")
    assert (teacher.steps, teacher.epochs, teacher.batch_size) == (50, None, 64)
    assert (other.steps, other.epochs, other.batch_size) == (None, 2, 4)
    assert teacher.optimizer == other.optimizer == training.optimizer


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"steps": 0}, r"stages\.teacher\.steps=0: accepted: 1 or more"),
        ({"steps": 5, "epochs": 5}, r"stages\.teacher has both epochs and steps"),
        ({"step": 5}, r"stages\.teacher\.step: .*did you mean 'steps'"),
        ({"epochs": "many"}, r"stages\.teacher\.epochs=many: accepted: a whole number"),
        (5, r"stages\.teacher=5: accepted: a group of options"),
    ],
)
def test_a_wrong_schedule_of_a_stage_is_named(stage: object, message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        make_training(stages={"teacher": stage})
