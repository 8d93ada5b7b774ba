"""Configured values are checked against type hints; a wrong one is named, with what is expected."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from torch import Tensor

from benchmark.errors import BenchmarkError
from benchmark.settings.runtime import FeatureLimits
from benchmark.settings.values import build, convert, one_of, shown, typed
from methods.ranges import Range


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
        ([0.9, 1], tuple[float, float]),
        ([], tuple[int, ...]),
        (0.1, float | Tensor),
        (3, Annotated[int, Range(at_least=1, at_most=3)]),
        (None, Annotated[float, Range(above=0)] | None),
        (object, Any),
    ],
)
def test_values_of_the_right_kind_pass(value: object, hint: object) -> None:
    assert convert(value, hint, "option") == (Path("results") if value == "results" else value)


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
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
        ([0.9], tuple[float, float], "a list of 2, each item a number"),
        ([0.9, "x"], tuple[float, float], "a list of 2, each item a number"),
        (float("nan"), float, "a number"),
        (float("-inf"), float | None, "a number or null"),
        (10**400, float, "a number"),
        ([1.0, float("nan")], Sequence[float], "a list, each item a number"),
        ("x", float | Tensor, "a number"),
        (None, FeatureLimits, "a group of options"),
        ({1: 2}, FeatureLimits, "a group of options"),
        ("a\nb", Path, "a path"),
        ("a\0b", Path, "a path"),
        (0, Annotated[int, Range(at_least=1)], "a whole number, 1 or more"),
        (1.5, Annotated[int, Range(at_least=1)], "a whole number, 1 or more"),
        (0, Annotated[float, Range(above=0, below=1)] | None, "a number, more than 0 and below 1, or null"),
    ],
)
def test_values_of_another_kind_are_refused_with_the_expected_kind(
    value: object, hint: object, expected: str
) -> None:
    with pytest.raises(BenchmarkError, match=f"^group.option=.*: expected {expected}$"):
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
        ({"layers": ["x"], "kind": "c"}, r"method\.kind=c: expected a, b"),
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
        wants, {"limits": {"device_gb": 1, "memory_gb": 2, "disk_gb": 3}}, "runtime"
    ) == FeatureLimits(1, 2, 3)
    with pytest.raises(BenchmarkError, match=r"runtime\.limits\.disk_gb"):
        typed(wants, {"limits": {"device_gb": 1, "memory_gb": 2, "disk_gb": "much"}}, "runtime")


def test_names_that_are_not_known_are_refused_with_the_nearest() -> None:
    one_of("tables", ["pro", "dice"], ["pro", "dice", "ap"])
    with pytest.raises(
        BenchmarkError, match=r"tables: found 'dise' \(did you mean 'dice'\?\); expected pro, dice"
    ):
        one_of("tables", ["pro", "dise"], ["pro", "dice"])


@pytest.mark.parametrize("hint", [int, float, bool, str, Path, Literal["a"]])
def test_a_variable_of_the_shell_that_is_not_set_is_named_as_the_reason(hint: object) -> None:
    with pytest.raises(
        BenchmarkError, match=r"^x=: expected .*; the value is empty \(a shell variable that is"
    ):
        convert("", hint, "x")


def test_a_number_that_yaml_reads_as_text_is_named_as_the_reason() -> None:
    with pytest.raises(
        BenchmarkError, match=r"^lr=1e-3: expected a number; this is text, .* 0\.001 without quotes"
    ):
        convert("1e-3", float, "lr")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (False, "false"),
        ("a\nb\x1b", "a\\nb\\x1b"),
        ([1, None], "[1, None]"),
        ("x" * 500, "x" * 120 + "..."),
    ],
)
def test_a_value_is_shown_in_one_short_line(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_home_folder_that_does_not_exist_is_refused() -> None:
    assert convert("~/x", Path, "cache_dir") == Path.home() / "x"
    with pytest.raises(BenchmarkError, match=r"^cache_dir=~nobody_here/x: there is no such home folder$"):
        convert("~nobody_here/x", Path, "cache_dir")


def test_hints_that_only_type_checkers_can_read_are_refused() -> None:
    def wants(layers: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    with pytest.raises(
        BenchmarkError, match=r"^method\._target_: the type hints of .*'Nowhere' is not defined"
    ):
        typed(wants, {"layers": 1}, "method")


@pytest.mark.parametrize("values", [None, 5, "text", [1]])
def test_a_group_that_is_none_is_refused(values: Any) -> None:
    with pytest.raises(BenchmarkError, match=r"^method=.*: expected a group of options$"):
        build("method", values)
    with pytest.raises(BenchmarkError, match=r"^runtime=.*: expected a group of options$"):
        typed(FeatureLimits, values, "runtime")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("os.path", r"method\._target_=os\.path: expected a class"),
        ("builtins.len", r"method\._target_=builtins\.len: expected a class"),
        ("builtins.dict", r"method\._target_=builtins\.dict: expected a subclass of .*\.Plugin$"),
    ],
)
def test_a_target_of_another_kind_is_refused(target: str, message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        build("method", {"_target_": target}, Plugin)


def test_a_class_that_does_not_say_its_options_is_refused() -> None:
    with pytest.raises(BenchmarkError, match=r"method\._target_: .*dict.* does not say which options it has"):
        build("method", {"_target_": "builtins.dict"})
