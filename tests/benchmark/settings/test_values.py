"""Configured values are checked against type hints; a wrong one is named, with what is expected."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from benchmark.errors import BenchmarkError
from benchmark.settings.runtime import FeatureLimits
from benchmark.settings.values import at_least_one, build, convert, one_of, typed


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


def test_numbers_below_one_are_refused_and_unset_ones_pass() -> None:
    at_least_one("group", epochs=1, steps=None)
    with pytest.raises(BenchmarkError, match=r"^group\.epochs=0: expected 1 or more$"):
        at_least_one("group", epochs=0)
