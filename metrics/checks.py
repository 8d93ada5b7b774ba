"""Refuse what cannot be measured, before any measure can turn it into a number."""

import difflib
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import MetricError

_SHAPES = {1: "(N,)", 3: "(N, H, W)"}


def finite_array(name: str, values: ArrayLike, ndim: int) -> NDArray[np.floating]:
    """Return the values as a floating array of ``ndim`` axes, every one of them finite.

    float32 and float64 are kept without a copy, float16 widens to float32 and integers to float64: each
    of them exactly, so no two different scores ever become a tie.

    Raises
    ------
    MetricError
        If the values are not real numbers, have another number of axes, or contain NaN or infinity.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise MetricError(f"{name}: found dtype {array.dtype}; accepted are real numbers")
    if array.ndim != ndim:
        raise MetricError(f"{name}: found shape {array.shape}; accepted is {_SHAPES[ndim]}")
    array = array.astype(np.result_type(array.dtype, np.float32), copy=False)
    finite = np.isfinite(array)
    if not finite.all():
        bad = array.size - np.count_nonzero(finite)
        raise MetricError(
            f"{name}: found NaN or infinity in {bad} of {array.size} values; accepted are finite numbers"
        )
    return array


def binary_array(name: str, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the values as a boolean array of this shape.

    Raises
    ------
    MetricError
        If the shape differs, or any value is neither 0 nor 1.
    """
    array = np.asarray(values)
    if array.shape != shape:
        raise MetricError(f"{name}: found shape {array.shape}; accepted is {shape}, one entry for each score")
    if array.dtype == np.bool_:
        return array
    binary = array == 1
    if not (binary | (array == 0)).all():
        other = array[~(binary | (array == 0))].flat[0]
        raise MetricError(f"{name}: found the value {other!r}; accepted are booleans or the numbers 0 and 1")
    return binary


def fraction(name: str, value: float) -> float:
    """Return a number in (0, 1], or raise `MetricError`."""
    if not 0 < value <= 1:
        raise MetricError(f"{name}: found {value}; accepted is a number above 0 and at most 1")
    return value


def known_name(name: str, value: str, known: Iterable[str]) -> str:
    """Return a value that is one of the known names, or raise `MetricError` with the near ones.

    Examples
    --------
    >>> known_name("pro_variants", "exakt", ("exact", "rescaled"))
    Traceback (most recent call last):
    metrics.errors.MetricError: pro_variants: found 'exakt'; did you mean 'exact'? Known: exact, rescaled
    """
    known = list(known)
    if value in known:
        return value
    near = difflib.get_close_matches(str(value), known)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise MetricError(f"{name}: found {value!r}; {hint}Known: {', '.join(known)}")
