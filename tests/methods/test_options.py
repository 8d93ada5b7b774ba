"""Every number that a method takes has a range: what cannot be meant is refused where the method is built."""

import inspect
import math
from types import UnionType
from typing import Any, get_args, get_type_hints

import pytest

from methods.ast import AsymmetricStudentTeacher
from methods.backbone import FeatureBackbone
from methods.dinomaly import Dinomaly
from methods.errors import MethodError
from methods.feature_variance import FeatureVariance
from methods.method import Method
from methods.ranges import Range, check_option
from methods.rd import ReverseDistillation
from methods.simple_student import SimpleStudent
from methods.stfpm import STFPM
from methods.uninformed_students import UninformedStudents
from tests.methods.samples import random_backbone

BACKBONE = random_backbone("resnet18")
METHODS: list[Any] = [
    *(AsymmetricStudentTeacher, Dinomaly, FeatureVariance, ReverseDistillation),
    *(SimpleStudent, STFPM, UninformedStudents),
]


def numbers_of(method: type[Method]) -> list[str]:
    """Return the names of the options that are numbers."""
    hints = get_type_hints(method.__init__)
    kinds = {name: get_args(hint) if isinstance(hint, UnionType) else (hint,) for name, hint in hints.items()}
    return [name for name in inspect.signature(method).parameters if {*kinds[name]} & {int, float}]


NUMBERS = [(method, name) for method in METHODS for name in numbers_of(method)]


def test_all_methods_have_numbers() -> None:
    assert {method for method, _ in NUMBERS} == set(METHODS)


@pytest.mark.parametrize("value", [-(10**9), 10**12, math.nan, math.inf], ids=str)
@pytest.mark.parametrize(("method", "name"), NUMBERS, ids=lambda value: getattr(value, "__name__", value))
def test_numbers_that_cannot_be_meant_are_refused_with_the_accepted_ones(
    method: Any, name: str, value: float
) -> None:
    with pytest.raises(MethodError, match=rf"^method\.{name}: found {value}; expected .*\d"):
        method(BACKBONE, **{name: value})


@pytest.mark.parametrize("method", [STFPM, FeatureVariance, SimpleStudent])
def test_a_layer_that_would_count_twice_is_refused(method: Any) -> None:
    with pytest.raises(
        MethodError, match=r"method\.layers: found \['layer1', 'layer1'\]; expected each layer once"
    ):
        method(BACKBONE, ["layer1", "layer1"])


def test_a_layer_that_would_be_scored_twice_is_refused() -> None:
    with pytest.raises(MethodError, match=r"method\.score_layers: found .*; expected some of .*, each once"):
        ReverseDistillation(BACKBONE, score_layers=["layer1", "layer1"])


@pytest.mark.parametrize("zoom", [[1, 1000], [math.nan, 4], [1, math.inf], [-1, 4], [1, 2, 3]])
def test_other_zooms_are_refused(zoom: list[float]) -> None:
    with pytest.raises(MethodError, match=r"method\.zoom: found .*; expected \[smallest, largest\], 1 <= "):
        UninformedStudents(BACKBONE, zoom=zoom)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_of_random_weights_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(MethodError, match=rf"backbone\.seed: found {seed}; expected 0 to 4294967295"):
        FeatureBackbone("resnet18", "random", seed)


@pytest.mark.parametrize(
    ("accepted", "inside", "outside", "text"),
    [
        (Range(at_least=1), [1, 10**400], [0, -1, 0.999], "1 or more"),
        (Range(at_least=1, at_most=3), [1, 3], [0, 4], "1 to 3"),
        (Range(above=0, at_most=1), [1e-9, 1], [0, 1.1], "more than 0 and at most 1"),
        (Range(above=0, below=1), [0.5], [0, 1], "more than 0 and below 1"),
        (Range(at_least=0, below=1), [0, 0.9], [1, -0.1], "0 or more and below 1"),
        (Range(at_least=0, note="pixels"), [0], [-1], "0 or more (pixels)"),
    ],
)
def test_a_range_has_its_closed_bounds_and_says_so(
    accepted: Range, inside: list[float], outside: list[float], text: str
) -> None:
    assert all(value in accepted for value in inside)
    assert not any(value in accepted for value in [*outside, math.nan, math.inf, -math.inf])
    assert str(accepted) == text
    check_option("x", None, accepted)
    with pytest.raises(MethodError) as raised:
        check_option("x", outside[0], accepted, "backbone")
    assert str(raised.value) == f"backbone.x: found {outside[0]}; expected {text}"
