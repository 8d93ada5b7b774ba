"""How stages train: a stage's own options, those of a prefix of its name, or those of the method."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.errors import BenchmarkError
from benchmark.settings.training import Pretraining, Training
from benchmark.settings.values import typed
from tests.benchmark.conftest import make_training


@pytest.mark.parametrize("name", ["image_size", "batch_size", "epochs"])
def test_sizes_and_lengths_below_one_are_refused(name: str) -> None:
    with pytest.raises(BenchmarkError, match=rf"method\.training\.{name}=0"):
        make_training(**{name: 0})


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
        ({"steps": 0}, r"stages\.teacher\.steps=0: expected 1 or more"),
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


def test_images_of_the_pretraining_are_a_folder_or_those_of_the_run() -> None:
    values = {"pretraining": {"images": "photos", "limit": 5}}
    given = {name: value for name, value in vars(make_training()).items() if name != "pretraining"}
    training = typed(Training, {**given, **values}, "method.training")
    assert training.pretraining == Pretraining(Path("photos"), 5, 256)
    assert make_training().pretraining.images is None


@pytest.mark.parametrize("name", ["limit", "image_size"])
def test_pretraining_without_images_or_pixels_is_refused(name: str) -> None:
    with pytest.raises(BenchmarkError, match=rf"method\.training\.pretraining\.{name}=0: expected 1 or more"):
        replace(Pretraining(), **{name: 0})  # type: ignore[arg-type]
