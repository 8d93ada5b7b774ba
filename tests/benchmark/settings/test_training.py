"""How stages train: a stage's own options, those of a prefix of its name, or those of the method."""

import math
from pathlib import Path

import pytest

from benchmark.errors import BenchmarkError
from benchmark.settings.training import Pretraining, Training
from benchmark.settings.values import typed
from tests.benchmark.conftest import make_training


def read(**changes: object) -> Training:
    return typed(Training, vars(make_training()) | {"pretraining": {}} | changes, "method.training")


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("image_size", [0, -64, 100_000, [64, 96], None], r"a whole number, 8 to 8192 \(pixels\)"),
        ("depth_size", [0, 100_000], r"a whole number, 8 to 8192 \(pixels\)"),
        ("batch_size", [0, 10**9, 1.5, True], "a whole number, 1 to 65536"),
        ("epochs", [0, -1, 10**12, "many"], "a whole number, 1 to 1000000"),
        ("validation_fraction", [-0.1, 1, 20, math.nan], "a number, 0 or more and below 1 "),
        ("validation_seed", [-1, 2**32], "a whole number, 0 to 4294967295"),
        ("optimizer", [None, "SGD"], "a group of options"),
        ("stages", [None, [], {1: {}}], "a group of options"),
        ("pretraining", [None, 5], "a group of options"),
    ],
)
def test_values_that_no_training_can_use_are_refused(name: str, values: list[object], expected: str) -> None:
    for value in values:
        with pytest.raises(BenchmarkError, match=rf"^method\.training\.{name}=.*: expected {expected}"):
            read(**{name: value})


def test_bounds_that_can_be_meant_are_accepted() -> None:
    changes = {
        "image_size": 8192,
        "batch_size": 1,
        "epochs": 1,
        "validation_fraction": 0,
        "validation_seed": 2**32 - 1,
    }
    assert {name: getattr(read(**changes), name) for name in changes} == changes


def test_every_value_is_needed() -> None:
    with pytest.raises(BenchmarkError, match=r"method\.training\.image_size is missing"):
        typed(Training, {}, "method.training")


def test_a_stage_has_the_options_of_the_method_that_it_does_not_override() -> None:
    training = make_training(stages={"teacher": {"steps": 50, "batch_size": 64}})
    teacher, other = training.stage("teacher"), training.stage("students")
    assert (teacher.steps, teacher.epochs, teacher.batch_size) == (50, None, 64)
    assert (other.steps, other.epochs, other.batch_size) == (None, 2, 4)
    assert teacher.optimizer == other.optimizer == training.optimizer


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"steps": 0}, r"stages\.teacher\.steps=0: expected a whole number, 1 to 1000000000, or null"),
        ({"steps": 10**12}, r"stages\.teacher\.steps=1000000000000: expected a whole number, 1 to "),
        ({"batch_size": 10**9}, r"stages\.teacher\.batch_size=1000000000: "),
        ({"steps": 5, "epochs": 5}, r"stages\.teacher has both epochs and steps"),
        ({"step": 5}, r"stages\.teacher\.step: .*did you mean 'steps'"),
        ({"epochs": "many"}, r"stages\.teacher\.epochs=many: expected a whole number"),
        (5, r"stages\.teacher=5: expected a group of options"),
    ],
)
def test_a_wrong_option_of_a_stage_is_named(stage: object, message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        make_training(stages={"teacher": stage})


@pytest.mark.parametrize(
    ("stage", "entry"),
    [
        ("teacher", "teacher"),
        ("teacher_33", "teacher"),
        ("teacher_33_deep", "teacher_33_deep"),
        ("teacher_33_deep_b", "teacher_33_deep"),
        ("teachers", None),
        ("students_33", None),
        ("33_teacher", None),
    ],
)
def test_the_longest_entry_that_is_a_prefix_up_to_an_underscore_applies(
    stage: str, entry: str | None
) -> None:
    training = make_training(stages={"teacher": {"epochs": 3}, "teacher_33_deep": {"epochs": 4}})
    assert training.entry_of(stage) == entry
    assert training.stage(stage).epochs == {"teacher": 3, "teacher_33_deep": 4, None: 2}[entry]


def test_null_leaves_an_option_as_it_is_for_the_method() -> None:
    stage = make_training(stages={"teacher": {"steps": None, "batch_size": None}}).stage("teacher")
    assert (stage.epochs, stage.steps, stage.batch_size) == (2, None, 4)


def test_images_of_the_pretraining_are_a_folder_or_those_of_the_run() -> None:
    values = {"pretraining": {"images": "photos", "limit": 5}}
    given = {name: value for name, value in vars(make_training()).items() if name != "pretraining"}
    training = typed(Training, {**given, **values}, "method.training")
    assert training.pretraining == Pretraining(Path("photos"), 5, 256)
    assert make_training().pretraining.images is None


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("limit", 0, "a whole number, 1 to "),
        ("image_size", 0, "a whole number, 8 to "),
        ("images", "", "a path or null; "),
    ],
)
def test_pretraining_without_images_or_pixels_is_refused(name: str, value: object, expected: str) -> None:
    with pytest.raises(
        BenchmarkError, match=rf"^method\.training\.pretraining\.{name}={value}: expected {expected}"
    ):
        read(pretraining={name: value})
