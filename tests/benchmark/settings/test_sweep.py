"""The options at the top of the configuration: the sweep's name, its tables and its seed."""

import importlib.util

import pytest

from benchmark.errors import BenchmarkError
from benchmark.settings.sweep import (
    LONGEST_NAME,
    Tracking,
    check_models,
    check_sweep_name,
    read_seed,
    read_tables,
)
from metrics import MEASURES


@pytest.mark.parametrize(
    "name", ["first", "2024-01-01_12-00-00-ab12", "v1.2:b", "größe", "a" * LONGEST_NAME, 7]
)
def test_names_of_folders_are_names_of_sweeps(name: object) -> None:
    assert check_sweep_name(name) == str(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "-x",
        ":",
        "a/b",
        "a b",
        "a\n",
        "a\\b",
        "a" * 101,
        "ä" * 51,
        None,
        True,
        [],
        {},
    ],
    ids=repr,
)
def test_names_of_no_folder_or_another_one_are_refused(name: object) -> None:
    with pytest.raises(BenchmarkError, match=r"^sweep=.*: expected letters, digits and \. : - _"):
        check_sweep_name(name)


def test_tables_are_names_of_measures() -> None:
    assert read_tables(["pro", "dice"]) == ("pro", "dice")
    assert read_tables(list(MEASURES)) == tuple(MEASURES)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([], r"^tables=\[\]: expected some of image_auroc, "),
        (None, r"^tables=null: expected a list, each item text$"),
        ("image_auroc", r"^tables=image_auroc: expected a list, each item text$"),
        ([1], r"^tables=\[1\]: expected a list"),
        (["pro", "prro"], r"^tables: found 'prro' \(did you mean 'pro'\?\); expected image_auroc, "),
        (["pro", "dice", "pro"], r"^tables: found 'pro' 2 times; expected each once$"),
        (["pro_rescaled"], r"^tables: found pro_rescaled, .*; add rescaled to evaluation\.pro_variants$"),
    ],
)
def test_other_tables_are_refused(tables: object, message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        read_tables(tables, pro_variants=["exact"])


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, "0", "", None, True, [0], float("nan")], ids=repr)
def test_seeds_that_not_every_generator_takes_are_refused(seed: object) -> None:
    with pytest.raises(BenchmarkError, match=r"^seed=.*: expected a whole number, 0 to 4294967295"):
        read_seed(seed)
    assert (read_seed(0), read_seed(2**32 - 1)) == (0, 2**32 - 1)


def tracking(model: bool, register: str | None = None) -> Tracking:
    return Tracking("sqlite:///x", "test", model=model, register=register)


@pytest.mark.parametrize(
    ("model", "register", "message"),
    [
        (False, "pro", r"^tracking\.register=pro: .*; expected tracking\.model=true$"),
        (True, "prro", r"^tracking\.register: found 'prro' \(did you mean 'pro'\?\); expected image_auroc, "),
        (True, "pro_rescaled", r"^tracking\.register: found pro_rescaled, .*; add rescaled to evaluation"),
    ],
)
def test_models_are_registered_by_a_measure_that_is_computed_if_there_are_some(
    model: bool, register: str, message: str
) -> None:
    with pytest.raises(BenchmarkError, match=message):
        check_models(tracking(model, register), pro_variants=("exact",))


def test_packages_that_models_need_are_asked_for_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_models(tracking(True, "pro"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "onnx" in name else name)
    check_models(tracking(False))
    message = (
        r'^tracking\.model=true: onnx, onnxscript, onnxruntime not installed; pip install "\.\[export\]"$'
    )
    with pytest.raises(BenchmarkError, match=message):
        check_models(tracking(True))
